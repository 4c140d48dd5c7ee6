/**
 * What scheduling is told: the adapter as far as code generation cares, and the choices that an author or a tuner may
 * make.
 */
import type { AdapterTraits } from "./traits.ts";

/** What the adapter offers, as far as code generation cares. */
export interface Target {
  /** A CPU that acts as a GPU, or a GPU: which of the two kinds of schedule is used. */
  readonly profile: "software" | "gpu";
  /**
   * Lanes of a subgroup where its size is one known number and subgroup operations may be used; 0 otherwise (feature
   * level L0).
   */
  readonly subgroup: number;
  /** The size is pinned by the shader, since the adapter has several (feature level L3). */
  readonly pinned: boolean;
  /** Most invocations in a workgroup. */
  readonly maxInvocations: number;
  /** Most storage buffers of a kernel. */
  readonly storageBuffers: number;
  /** Bytes of workgroup memory; what every WebGPU has unless told. */
  readonly workgroupBytes?: number;
  /** Shapes that the subgroup's matrix units multiply (feature level L4). */
  readonly matrix?: readonly MatrixShape[];
  /** Bytes of one binding; the adapter's own limit unless told. */
  readonly bindingBytes?: number;
  /** What the adapter is like beyond features and limits. */
  readonly traits: AdapterTraits;
}

/** A shape of matrix units as the adapter names it: [M, K] · [K, N] of `component` into [M, N] of `result`. */
export interface MatrixShape {
  /** Type of the operands, as `f16`. */
  readonly component: string;
  /** Type of the sums, as `f32`. */
  readonly result: string;
  /** Rows of the left operand and of the result. */
  readonly M: number;
  /** Columns of the right operand and of the result. */
  readonly N: number;
  /** Columns of the left operand, rows of the right. */
  readonly K: number;
}

/** Knobs that an author or a tuner may set. */
export interface Knobs {
  /** Lanes that share one program. */
  readonly lanes?: number;
  /** Elements of one owned block of an over-loop. */
  readonly unroll?: number;
  /** Rows of a block without a size. */
  readonly rows?: number;
  /** Registers a lane takes along a spread over-loop. */
  readonly depth?: number;
  /** Rows of a workgroup's tile of a matrix product, in elements; 0: no such tiles. */
  readonly tileRows?: number;
  /** Columns of that tile, in elements. */
  readonly tileColumns?: number;
  /** Elements of the reduced dim that are loaded for it at a time. */
  readonly tileDepth?: number;
  /** 1: tiles are loaded when they are needed; 2 (the default): while the ones before them are multiplied. */
  readonly tileStages?: number;
  /** Bits of a matrix product's operands: 16 allows matrix units of f16 for any, 32 for none. */
  readonly precision?: number;
}
