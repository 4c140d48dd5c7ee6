/** Tuning records: their form, and those that ship with the package. */
import type { Knobs } from "../../compiler/index.ts";

/** One finding. Times are medians in microseconds, with and without the knobs. */
export interface TuningRecord {
  readonly adapter: string;
  readonly kernel: string;
  /** Of the tile IR. */
  readonly hash: string;
  readonly binding: string;
  readonly knobs: Knobs;
  readonly us: number;
  readonly untunedUs: number;
}

/** The form of a file of records. */
export interface TuningFile {
  readonly tilestate: number;
  readonly records: readonly TuningRecord[];
}

/** What `tilestate kernels tune` found for adapters that we have. */
export const shipped: TuningFile = { tilestate: 1, records: [] };
