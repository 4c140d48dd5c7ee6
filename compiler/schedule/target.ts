/**
 * What scheduling is told: the adapter as far as code generation cares, and the choices that an author or a tuner may make.
 */
import type { AdapterTraits } from "./traits.ts";

/** What the adapter offers, as far as code generation cares. */
export interface Target {
  readonly profile: "software" | "gpu";
  /** Lanes of a subgroup where its size is one known number and subgroup operations may be used; 0 otherwise (rung L0). */
  readonly subgroup: number;
  /** The size is pinned by the shader, since the adapter has several (rung L3). */
  readonly pinned: boolean;
  readonly maxInvocations: number;
  readonly storageBuffers: number;
  /** Bytes of workgroup memory; what every WebGPU has unless told. */
  readonly workgroupBytes?: number;
  /** Shapes that the subgroup's matrix units multiply (rung L4). */
  readonly matrix?: readonly MatrixShape[];
  /** Bytes of one binding; the adapter's own limit unless told. */
  readonly bindingBytes?: number;
  /** What the adapter is like beyond features and limits. */
  readonly traits: AdapterTraits;
}

/** A shape of matrix units as the adapter names it: [M, K] · [K, N] of `component` into [M, N] of `result`. */
export interface MatrixShape {
  readonly component: string;
  readonly result: string;
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

/** Knobs that an author or a tuner may set. */
export interface Knobs {
  readonly lanes?: number;
  /** Elements of one owned block of an over-loop. */
  readonly unroll?: number;
  /** Rows of a block without a size. */
  readonly rows?: number;
  /** Registers a lane takes along a spread over-loop. */
  readonly depth?: number;
  /** Elements of a workgroup's tile of a matrix product along the rows, the columns and the reduced dim; 0 rows: no such tiles. */
  readonly tileRows?: number;
  readonly tileColumns?: number;
  readonly tileDepth?: number;
  /** 1: tiles are loaded when they are needed; 2 (the default): while the ones before them are multiplied. */
  readonly tileStages?: number;
  /** Bits of a matrix product's operands: 16 allows matrix units of f16 for any, 32 for none. */
  readonly precision?: number;
}
