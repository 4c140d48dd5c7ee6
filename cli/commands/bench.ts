/** `tilestate bench`: generated kernels beside hand-written ones, both in one run. */
import type { Command } from "commander";
import { UserError } from "../../runtime/errors.ts";
import { type Context, printJson } from "../context.ts";
import { type Column, heading, row } from "../format.ts";
import { adapterOption, examples, jsonOption, whole } from "../options.ts";
import { adapterJson, adapterLine, withGpu } from "../session.ts";

interface KernelOptions {
  readonly adapter?: string;
  readonly only?: string;
  readonly rounds: number;
  readonly json?: boolean;
}

/** Milliseconds of one batch: long against the steps in which the end of the work is looked for. */
const BATCH_MS = 40;

export function configure(command: Command, context: Context): void {
  const kernels = command
    .command("kernels", { isDefault: true })
    .summary("generated kernels against hand-written WGSL")
    .description(
      "Time generated kernels against hand-written WGSL for the same adapter. Both sides run in turn; a ratio is the median of the rounds' ratios (ours over hand-written).",
    )
    .option("--stack", "show where an error was thrown");
  examples(kernels, ["tilestate bench kernels", "tilestate bench kernels --only matvec --adapter swiftshader --json"])
    .addOption(adapterOption())
    .option("--only <text>", 'only cases whose line contains this text, as in "matvec q4"')
    .option("--rounds <n>", "rounds of both sides", whole(1), 7)
    .addOption(jsonOption())
    .action((options: KernelOptions) => benchKernels(options, context));
}

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

async function benchKernels(options: KernelOptions, context: Context): Promise<void> {
  const { io, signal } = context;
  const bench = await import("../../bench/kernels.ts");
  const { copyRate } = await import("../../bench/harness.ts");
  const cases = bench.select(options.only);
  if (cases.length === 0) {
    const all = bench.select(undefined).map(bench.titleOf);
    throw new UserError(`no case contains "${options.only}"`, { hint: `there are: ${all.join(", ")}` });
  }
  await withGpu(context, options.adapter, async (gpu) => {
    const copy = await copyRate(gpu, 3);
    if (!options.json) {
      io.err(`adapter  ${adapterLine(gpu)}\n`);
      io.err(`copy     ${copy.toFixed(1)} GB/s between two buffers\n`);
      io.out(`${heading(COLUMNS)}\n`);
    }
    const lines: unknown[] = [];
    const effort = { rounds: options.rounds, batch: BATCH_MS };
    for await (const l of bench.benchKernels(gpu, cases, effort, () => signal.aborted)) {
      lines.push({ ...l, of_copy: l.gb_s / copy });
      if (options.json) continue;
      const ms = (x: number): string => x.toFixed(x < 1 ? 4 : 3);
      const cells = [l.name, l.dtype, l.shape, ms(l.ours_ms), ms(l.handwritten_ms), l.ratio.toFixed(2)];
      io.out(`${row(COLUMNS, [...cells, l.cpu_ratio?.toFixed(2) ?? "", l.gb_s.toFixed(1), l.gflop_s.toFixed(1)])}\n`);
    }
    if (options.json)
      printJson(
        io,
        lines.map((l) => ({ ...(l as object), adapter: adapterJson(gpu) })),
      );
  });
}
