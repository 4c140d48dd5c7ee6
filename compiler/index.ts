/**
 * The compiler's doors: load kernels, generate shaders, interpret programs. Nothing here imports ts-morph until source
 * must be compiled.
 */

export { BundleError, bundle, isBundle, type KernelBundle, programsOf, registerBundle } from "./artefacts/bundle.ts";
export { cacheEntries, cacheFolder, clearCache, tuningFolder } from "./artefacts/cache.ts";
export { type KernelModule, type Loaded, loadPrograms, type Shipped, templatesOf, type Way } from "./artefacts/load.ts";
export { planPacking } from "./bindings/plan.ts";
export { type Peek, type Traffic, type Work, workOf } from "./debug/cost.ts";
export type { Statics, StaticValue, Template, Templates } from "./frontend/syntax.ts";
export { type Diagnostic, KernelError } from "./host/diagnostics.ts";
export { sha256 } from "./host/hash.ts";
export { cacheRoot, libraryRoots, makeFolder, readText, writeWhole } from "./host/paths.ts";
export type { SourceText, Span } from "./host/source-text.ts";
export type { Binding, Member, Packing, Parted, Place } from "./ir/binding.ts";
export type { StorageType } from "./ir/formats.ts";
export type {
  Atom,
  Buffer,
  LaneProgram,
  LaneType,
  MatrixStmt,
  MatrixUnits,
  Rhs,
  Room,
  Stmt,
  Width,
} from "./ir/lane/program.ts";
export type { BinaryOp, ReduceKind, UnaryOp, ValueType } from "./ir/operators.ts";
export type {
  Axis,
  Branch,
  Carried,
  GridDim,
  Loop,
  Op,
  Param,
  ScalarParam,
  Specialised,
  TensorParam,
  TileProgram,
  Value,
} from "./ir/tile/program.ts";
export { type HostTensor, type InterpretOptions, interpret } from "./oracle/interpret.ts";
export { generate } from "./pipeline.ts";
export type { Generated } from "./pipeline-types.ts";
export type { AxisLayout, Digit } from "./schedule/layout.ts";
export type { Knobs, MatrixShape, Target } from "./schedule/target.ts";
export type { MatrixPlan, Operand, Staging, TileLoop, TilePlan, TileSum } from "./schedule/tile-plan.ts";
export type { AdapterTraits } from "./schedule/traits.ts";
export type { Schedule } from "./schedule/types.ts";
export { PROBE_WORDS, subgroupProbe } from "./wgsl/probe.ts";
