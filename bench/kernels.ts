/**
 * The benchmark of kernels: every case in turn, each line handed out as soon as it is measured.
 */

import { widthsOf } from "../models/config/widths.ts";
import { Decoder, type ModelSource, type ModelSpec, type WeightFormat } from "../models/index.ts";
import { type Gpu, UserError } from "../runtime/index.ts";
import { Breakdown } from "./breakdown.ts";
import { Bench, CASES, type Case, FORMATS, matvecCase } from "./cases.ts";
import { warmUp } from "./decode.ts";
import { type Effort, machineOf, measure, type Times } from "./harness.ts";
import { promptOf } from "./subject.ts";

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
export function casesOfShape(config: ModelSpec, weights?: string): readonly Case[] {
  const formats = weights === undefined ? FORMATS : FORMATS.filter((f) => f === weights);
  if (formats.length === 0) throw new UserError(`unknown weight format "${weights}"`, { hint: FORMATS.join(", ") });
  const { layers, dim, heads, groups, headDim, ff, vocab } = widthsOf(config);
  const shapes: readonly (readonly [rows: number, k: number, count: number])[] = [
    [(heads + 2 * groups) * headDim, dim, layers],
    [dim, heads * headDim, layers],
    [2 * ff, dim, layers],
    [dim, ff, layers],
    [vocab, dim, 1],
  ];
  return formats.flatMap((f) => shapes.map(([rows, k, count]) => ({ ...matvecCase(f, rows, k, true), count })));
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
    if (c.on !== undefined && c.on !== machine.kind) continue;
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

/** The decoder's kernels that read matrices. */
const MATRIX_KERNELS: ReadonlySet<string> = new Set(["qkv", "project", "swiglu", "logits"]);
/** Tokens read before a step is taken apart. */
const CONTEXT = 32;

/** A step's matrix kernels against the hand-written products of the same matrices. */
export interface StepLine {
  readonly name: "step";
  readonly dtype: string;
  readonly shape: string;
  readonly ours_ms: number;
  readonly handwritten_ms: number;
  readonly ratio: number;
  readonly cpu_ratio?: number;
}

/**
 * The decoder's own matrix kernels, with norm, rotation, residual and SiLU in them, against bare hand-written products:
 * `lines` are those of `casesOfShape` in this format. Each kernel runs over all layers in a row, so ours reads its
 * weights from memory where the products' one matrix may stay in a cache.
 */
export async function stepLine(
  gpu: Gpu,
  source: ModelSource,
  weights: WeightFormat,
  lines: readonly (Times & { readonly count: number })[],
  rounds: number,
): Promise<StepLine> {
  const decoder = await Decoder.load(gpu, source, { weights, state: `full:${CONTEXT + 16}` });
  try {
    await warmUp(decoder, promptOf(source.config.vocab, CONTEXT), 2);
    const breakdown = await Breakdown.of(gpu, decoder.plan);
    for (let i = 0; i < rounds; i++) await breakdown.round();
    const [wall, cpu] = breakdown.sums((g) => MATRIX_KERNELS.has(g.kernel));
    const sum = (of: (l: (typeof lines)[number]) => number): number => lines.reduce((n, l) => n + l.count * of(l), 0);
    const hand = sum((l) => l.handwritten_ms);
    const byCpu = cpu / sum((l) => l.handwritten_cpu_ms ?? Number.NaN);
    const line = { name: "step", dtype: weights, shape: source.config.name } as const;
    const times = { ours_ms: wall, handwritten_ms: hand, ratio: wall / hand };
    return { ...line, ...times, ...(Number.isNaN(byCpu) ? {} : { cpu_ratio: byCpu }) };
  } finally {
    decoder.destroy();
  }
}
