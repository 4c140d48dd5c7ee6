/** The compiler's doors: load kernels, generate shaders, interpret programs. Nothing here imports ts-morph until source must be compiled. */

export { BundleError, bundle, isBundle, type KernelBundle, programsOf, registerBundle } from "./artefacts/bundle.ts";
export { cacheEntries, cacheFolder, clearCache, tuningFolder } from "./artefacts/cache.ts";
export { type KernelModule, type Loaded, loadPrograms, type Shipped, type Way } from "./artefacts/load.ts";
export { planPacking } from "./bindings/plan.ts";
export { type Peek, type Traffic, type Work, workOf } from "./debug/cost.ts";
export type { Statics, StaticValue } from "./frontend/syntax.ts";
export { type Diagnostic, KernelError } from "./host/diagnostics.ts";
export { sha256 } from "./host/hash.ts";
export { cacheRoot, libraryRoots, makeFolder, readText, writeWhole } from "./host/paths.ts";
export type { Binding, Member, Packing, Place } from "./ir/binding.ts";
export type { StorageType } from "./ir/formats.ts";
export type { Param, ScalarParam, TensorParam, TileProgram } from "./ir/tile/program.ts";
export { type HostTensor, interpret } from "./oracle/interpret.ts";
export { generate } from "./pipeline.ts";
export type { Generated } from "./pipeline-types.ts";
export type { Knobs, Target } from "./schedule/target.ts";
export type { AdapterTraits } from "./schedule/traits.ts";
export type { Schedule } from "./schedule/types.ts";
