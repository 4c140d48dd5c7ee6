/**
 * The benchmark of kernels: every case in turn, each line handed out as soon as it is measured.
 */

import type { LlamaConfig } from "../models/index.ts";
import { type Gpu, UserError } from "../runtime/index.ts";
import { Bench, CASES, type Case, FORMATS, matvecCase } from "./cases.ts";
import { type Effort, machineOf, measure, type Times } from "./harness.ts";

/** One line of the report; times in milliseconds, rates of our kernel by its wall time. */
export interface Line extends Times {
  readonly name: string;
  readonly dtype: string;
  readonly shape: string;
  readonly gb_s: number;
  readonly gflop_s: number;
}

/** Cases whose "name dtype shape" contains `only`. */
export function select(only: string | undefined): readonly Case[] {
  return CASES.filter((c) => only === undefined || titleOf(c).includes(only));
}

/**
 * The matrix-vector products of a step of this shape, each with how often a step does it, in one format or in all four.
 * @throws UserError for a format that is none.
 */
export function casesOfShape(config: LlamaConfig, weights?: string): readonly Case[] {
  const formats = weights === undefined ? FORMATS : FORMATS.filter((f) => f === weights);
  if (formats.length === 0) throw new UserError(`unknown weight format "${weights}"`, { hint: FORMATS.join(", ") });
  const { layers, dim, heads, groups, headDim, ff, vocab } = config;
  const shapes: readonly (readonly [rows: number, k: number, count: number])[] = [
    [(heads + 2 * groups) * headDim, dim, layers],
    [dim, heads * headDim, layers],
    [2 * ff, dim, layers],
    [dim, ff, layers],
    [vocab, dim, 1],
  ];
  return formats.flatMap((f) => shapes.map(([rows, k, count]) => ({ ...matvecCase(f, rows, k), count })));
}

export function titleOf(c: { readonly name: string; readonly dtype: string; readonly shape: string }): string {
  return `${c.name} ${c.dtype} ${c.shape}`;
}

/**
 * Measures the cases one after the other. `stop` is asked between them.
 * @throws UserError when the adapter has no subgroups of one known size; Error when two sides disagree.
 */
export async function* benchKernels(
  gpu: Gpu,
  cases: readonly Case[],
  effort: Effort,
  stop: () => boolean = () => false,
): AsyncGenerator<Line> {
  const machine = machineOf(gpu);
  if (machine === undefined) {
    throw new UserError(
      `${gpu.capabilities.name} offers no subgroups of one known size, which the hand-written shaders need`,
    );
  }
  const bench = await Bench.open(gpu, machine);
  for (const c of cases) {
    if (stop()) return;
    try {
      const times = await measure(gpu, titleOf(c), c.duel(bench), effort);
      const { name, dtype, shape } = c;
      yield {
        name,
        dtype,
        shape,
        ...times,
        gb_s: c.bytes / times.ours_ms / 1e6,
        gflop_s: c.flops / times.ours_ms / 1e6,
      };
    } finally {
      bench.free();
    }
  }
}
