/** The compiler's doors: load kernels, generate shaders, interpret programs. Nothing here imports ts-morph until source must be compiled. */

export { BundleError, bundle, isBundle, type KernelBundle, programsOf, registerBundle } from "./artefacts/bundle.ts";
export { cacheEntries, cacheFolder, clearCache, tuningFolder } from "./artefacts/cache.ts";
export { type KernelModule, type Loaded, loadPrograms, type Shipped, type Way } from "./artefacts/load.ts";
export { type Member, type Packing, type Place, planPacking } from "./bindings/plan.ts";
export { type Peek, type Traffic, type Work, workOf } from "./debug/cost.ts";
export type { Statics, StaticValue } from "./frontend/syntax.ts";
export { type Diagnostic, KernelError } from "./host/diagnostics.ts";
export { sha256 } from "./host/hash.ts";
export { cacheRoot, libraryRoots, makeFolder, readText, writeWhole } from "./host/paths.ts";
export type { Param, ScalarParam, StorageType, TensorParam, TileProgram } from "./ir/tile/program.ts";
export { type HostTensor, interpret } from "./oracle/interpret.ts";
export type { Binding } from "./passes/specialise.ts";
export { type Generated, generate } from "./pipeline.ts";
export type { Knobs, Schedule, Target } from "./schedule/default.ts";
