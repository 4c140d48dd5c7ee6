/** The compiler's doors: load kernels, generate shaders, interpret programs. Nothing here imports ts-morph until source must be compiled. */
export { type Generated, generate } from "./backend.ts";
export { BundleError, bundle, isBundle, type KernelBundle, programsOf, registerBundle } from "./bundle.ts";
export { cacheEntries, cacheFolder, clearCache, tuningFolder } from "./cache.ts";
export { type Diagnostic, KernelError } from "./diagnostics.ts";
export { cacheRoot, libraryRoots, makeFolder, readText, writeWhole } from "./folders.ts";
export { sha256 } from "./hash.ts";
export { type HostTensor, interpret } from "./interpret.ts";
export type { Param, ScalarParam, StorageType, TensorParam, TileProgram } from "./ir.ts";
export { type KernelModule, type Loaded, loadPrograms, type Shipped, type Way } from "./load.ts";
export { type Member, type Packing, type Place, planPacking } from "./packing.ts";
export type { Knobs, Schedule, Target } from "./schedule.ts";
export type { Binding } from "./specialise.ts";
export type { Statics, StaticValue } from "./syntax.ts";
export { type Peek, type Traffic, type Work, workOf } from "./work.ts";
