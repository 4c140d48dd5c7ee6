/** `tilestate bench kernels`: generated kernels beside hand-written ones, both in one run. */

import type { Case } from "../../bench/cases.ts";
import { checkSettings } from "../../bench/compare.ts";
import type { Line, StepLine } from "../../bench/kernels.ts";
import { runtime } from "../../bench/surroundings.ts";
import type { WeightFormat } from "../../models/index.ts";
import { UserError } from "../../runtime/common/errors.ts";
import { type Context, UsageError } from "../support/context.ts";
import { type Column, heading, row } from "../support/format.ts";
import { adapterJson, adapterLine, withGpu } from "../support/session.ts";
import type { PairOptions } from "./options.ts";
import { finish, quiet, readReport, sayer } from "./output.ts";

export interface KernelOptions extends PairOptions {
  readonly adapter?: string;
  readonly only?: string;
  readonly shape?: string;
  readonly weights?: string;
  readonly rounds: number;
  readonly json?: string | true;
}

/** Milliseconds of one batch: long against the steps in which the end of the work is looked for. */
export const BATCH_MS = 40;

const COLUMNS: readonly Column[] = [
  { title: "kernel", width: 8 },
  { title: "dtype", width: 5 },
  { title: "shape", width: 13 },
  { title: "ours ms", width: 9, right: true },
  { title: "hand ms", width: 9, right: true },
  { title: "ratio", width: 6, right: true },
  { title: "by CPU", width: 6, right: true },
  { title: "GB/s", width: 6, right: true },
  { title: "GFLOP/s", width: 7, right: true },
];

/** The cases that the options name. */
export async function casesFor(options: Pick<KernelOptions, "only" | "shape" | "weights">): Promise<readonly Case[]> {
  const bench = await import("../../bench/kernels.ts");
  if (options.shape === undefined) {
    if (options.weights !== undefined) throw new UsageError("--weights belongs to --shape");
    const cases = bench.select(options.only);
    if (cases.length > 0) return cases;
    const all = bench.select(undefined).map(bench.titleOf);
    throw new UserError(`no case contains "${options.only}"`, { hint: `there are: ${all.join(", ")}` });
  }
  const { randomSource } = await import("../../models/index.ts");
  const all = bench.casesOfShape(randomSource(options.shape).config, options.weights);
  const cases = all.filter((c) => options.only === undefined || bench.titleOf(c).includes(options.only));
  if (cases.length > 0) return cases;
  const there = all.map(bench.titleOf).join(", ");
  throw new UserError(`no case contains "${options.only}"`, { hint: `there are: ${there}` });
}

export async function benchKernels(options: KernelOptions, context: Context): Promise<void> {
  const { signal } = context;
  const bench = await import("../../bench/kernels.ts");
  const { copyRate } = await import("../../bench/harness.ts");
  const cases = await casesFor(options);
  const before = options.compare === undefined ? undefined : await readReport(options.compare);
  await withGpu(context, options.adapter, async (gpu) => {
    const settings = { benchmark: "kernels", runtime: runtime().name, adapter: gpu.capabilities.name };
    if (before !== undefined) checkSettings(before, settings, options.compare ?? "");
    const copy = await copyRate(gpu, 3);
    const say = sayer(context, { ...options });
    if (!quiet(options)) {
      context.io.err(`adapter  ${adapterLine(gpu)}\n`);
      context.io.err(`copy     ${copy.toFixed(1)} GB/s between two buffers\n`);
      say(heading(COLUMNS));
    }
    const lines: (Line & { of_copy: number; count: number })[] = [];
    const effort = { rounds: options.rounds, batch: BATCH_MS };
    for await (const l of bench.benchKernels(gpu, cases, effort, () => signal.aborted)) {
      const count = cases.find((c) => bench.titleOf(c) === bench.titleOf(l))?.count ?? 1;
      lines.push({ ...l, of_copy: l.gb_s / copy, count });
      if (quiet(options)) continue;
      const ms = (x: number): string => x.toFixed(x < 1 ? 4 : 3);
      const cells = [l.name, l.dtype, l.shape, ms(l.ours_ms), ms(l.handwritten_ms), l.ratio.toFixed(2)];
      say(row(COLUMNS, [...cells, l.cpu_ratio?.toFixed(2) ?? "", l.gb_s.toFixed(1), l.gflop_s.toFixed(1)]));
    }
    const steps: StepLine[] = [];
    if (options.shape !== undefined && options.only === undefined) {
      for (const line of sums(lines)) say(line);
      const { randomSource } = await import("../../models/index.ts");
      for (const dtype of new Set(lines.map((l) => l.dtype as WeightFormat))) {
        const own = lines.filter((l) => l.dtype === dtype);
        const step = await bench.stepLine(gpu, randomSource(options.shape), dtype, own, options.rounds);
        steps.push(step);
        const cpu = step.cpu_ratio === undefined ? "" : `, ${step.cpu_ratio.toFixed(2)} by CPU time`;
        say(
          `a decoder's own matrix kernels in ${dtype}: ${step.ours_ms.toFixed(3)} ms a step, ratio to hand-written ${step.ratio.toFixed(2)}${cpu}`,
        );
      }
    }
    const adapter = adapterJson(gpu);
    const whole = [...lines, ...steps].map((l) => ({ ...l, adapter, runtime: runtime() }));
    await finish(context, options, before, whole);
  });
}

/** What a step spends on its matrix-vector products, by format. */
function sums(
  lines: readonly { dtype: string; count: number; ours_ms: number; handwritten_ms: number; ratio: number }[],
): string[] {
  return [...new Set(lines.map((l) => l.dtype))].map((dtype) => {
    const total = (of: (l: (typeof lines)[number]) => number): number =>
      lines.filter((l) => l.dtype === dtype).reduce((sum, l) => sum + l.count * of(l), 0);
    // Ours by the rounds' own ratios, so that a slow moment of the machine hits both sides.
    const [ours, hand] = [total((l) => l.ratio * l.handwritten_ms), total((l) => l.handwritten_ms)];
    return `a step in ${dtype}: ours ${ours.toFixed(3)} ms, hand-written ${hand.toFixed(3)} ms, ratio ${(ours / hand).toFixed(2)}`;
  });
}
