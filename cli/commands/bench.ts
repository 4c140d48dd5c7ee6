/**
 * `tilestate bench`: how fast decoders and kernels are, where the time goes, and what changed. Each benchmark is loaded
 * when it is asked for.
 */
import type { Command } from "commander";
import { REALS } from "../../compiler/ir/formats.ts";
import type { PairedBenchmark } from "../bench/against.ts";
import type { KernelOptions } from "../bench/kernels.ts";
import {
  type FlatOptions,
  idsOption,
  lengthOptions,
  PAIRS,
  type PairOptions,
  pairOptions,
  type ReportOptions,
  reportOptions,
  type SubjectOptions,
  subjectOptions,
  svgOption,
  worseOption,
} from "../bench/options.ts";
import type { SweepOptions } from "../bench/sweeps.ts";
import type { Context } from "../support/context.ts";
import { adapterOption, examples, stateOption, whole, wholes } from "../support/options.ts";
import { policyOption } from "../support/policies.ts";

/** Runs a benchmark of this checkout alone, or, with --against, of this one and another in turn. */
function paired<T extends PairOptions & { readonly rounds: number }>(
  benchmark: PairedBenchmark,
  context: Context,
  alone: (options: T) => Promise<void>,
): (options: T, command: Command) => Promise<void> {
  return async (options, command) => {
    if (options.against === undefined) return alone(options);
    const rounds = command.getOptionValueSource("rounds") === "default" ? PAIRS : options.rounds;
    await (await import("../bench/against.ts")).benchAgainst(benchmark, { ...options, rounds }, context);
  };
}

export function configure(command: Command, context: Context): void {
  const sub = (name: string, summary: string, description: string, isDefault = false): Command =>
    command
      .command(name, { isDefault })
      .summary(summary)
      .description(description)
      .option("--stack", "show where an error was thrown");

  const all = sub("all", "a set of all of them on a small shape", "Run a sensible set of all benchmarks.", true);
  examples(pairOptions(reportOptions(subjectOptions(all), 5)), [
    "tilestate bench",
    "tilestate bench --json report.json",
    "tilestate bench --against ../before",
  ])
    .addOption(svgOption())
    .action(
      paired("all", context, async (options: SubjectOptions) =>
        (await import("../bench/all.ts")).benchAll(options, context),
      ),
    );

  const decode = sub(
    "decode",
    "one decoder in depth: rates, host, kernels, greedy ids",
    "Read a prompt and write tokens, over and over; then say where a step's time goes, kernel by kernel.",
  );
  examples(lengthOptions(pairOptions(reportOptions(subjectOptions(decode), 5)), 128, 64), [
    "tilestate bench decode --shape stories15M --weights q4",
    "tilestate bench decode --model ./TinyLlama --state tova:128 --context 1024 --json -",
    "tilestate bench decode --shape Llama-3.2-1B --weights f16 --svg roofline.svg",
    "tilestate bench decode --shape stories15M --weights q4 --against ../before",
  ])
    .addOption(stateOption())
    .addOption(policyOption())
    .addOption(idsOption())
    .option("--batch <n>", "sequences that are decoded together", whole(1), 1)
    .addOption(svgOption())
    .action(
      paired("decode", context, async (options: SubjectOptions) =>
        (await import("../bench/decode.ts")).benchDecode(options, context),
      ),
    );

  const sweep = (name: "prefill" | "batch" | "state" | "policy", summary: string, text: string, list: string): void => {
    const command = pairOptions(reportOptions(subjectOptions(sub(name, summary, text)), 5));
    const made = lengthOptions(command, ...SWEEP_LENGTHS[name]);
    if (name === "prefill" || name === "batch") made.addOption(stateOption());
    if (name !== "state") made.addOption(policyOption());
    examples(made, [`tilestate bench ${name} --shape stories15M`])
      .option("--over <list>", list, wholes)
      .action(
        paired(name, context, async (options: SweepOptions) =>
          (await import("../bench/sweeps.ts")).benchSweep(name, options, context),
        ),
      );
  };
  sweep(
    "prefill",
    "reading prompts of several lengths",
    "Read prompts of several lengths, side by side.",
    "lengths of the prompt (default: an eighth, a quarter, half and all of --context)",
  );
  sweep(
    "batch",
    "several sequences at a time",
    "Decode several sequences together.",
    "sizes of the batch (default: 1,2,4,8)",
  );
  sweep(
    "state",
    "a full cache against bounded ones",
    "Compare a full cache with tova at fractions of its slots, and with what the bytes of a step predict.",
    "slots of tova (default: a half, a quarter and an eighth of --context)",
  );
  sweep(
    "policy",
    "all policies at one size",
    "Compare all state policies at one number of slots with the full cache.",
    "slots (default: an eighth of --context)",
  );

  const kernels = sub(
    "kernels",
    "generated kernels against hand-written WGSL",
    "Time generated kernels against hand-written WGSL for the same adapter. Both sides run in turn; a ratio is the median of the rounds' ratios (ours over hand-written).",
  );
  examples(pairOptions(kernels), [
    "tilestate bench kernels",
    "tilestate bench kernels --only matvec --adapter swiftshader --json",
    "tilestate bench kernels --shape stories15M --weights q4",
  ])
    .addOption(adapterOption())
    .option("--only <text>", 'only cases whose line contains this text, as in "matvec q4"')
    .option("--shape <name>", "the matrices of a shape instead, and their sum over a step")
    .option("--weights <format>", `with --shape: one of ${REALS.join(", ")} (default: f32, f16, q8 and q4)`)
    .option("--rounds <n>", "rounds of both sides", whole(1), 7)
    .option("--json [file]", 'print the lines as JSON, or write them to a file ("-" is standard output)')
    .option("--compare <file>", "say what changed since an earlier table")
    .action(
      paired("kernels", context, async (options: KernelOptions) =>
        (await import("../bench/kernels.ts")).benchKernels(options, context),
      ),
    );

  const host = sub(
    "host",
    "what the host pays for a dispatch",
    "Replay a recorded step on Dawn's null backend, which computes nothing, and count the CPU time of this thread.",
  );
  examples(pairOptions(reportOptions(subjectOptions(host), 9)), ["tilestate bench host"])
    .addOption(stateOption())
    .action(
      paired("host", context, async (options: SubjectOptions) =>
        (await import("../bench/host.ts")).benchHost(options, context),
      ),
    );

  const cold = sub("cold", "from the start of a process to its first token", "Start the demo model in new processes.");
  examples(pairOptions(reportOptions(cold, 5)), ["tilestate bench cold"]).action(
    paired("cold", context, async (options: ReportOptions) =>
      (await import("../bench/host.ts")).benchCold(options, context),
    ),
  );

  const flat = sub(
    "flat",
    "whether a late step is as fast and as small as an early one",
    "Step a bounded state to a late step and compare it with an early one, side by side.",
  );
  examples(reportOptions(subjectOptions(flat), 160).addOption(worseOption()), [
    "tilestate bench flat",
    "tilestate bench flat --late 10000",
  ])
    .option("--state <policy>", "a state that drops tokens", "tova:128")
    .option("--early <n>", "the early step", whole(1), 1000)
    .option("--late <n>", "the late step", whole(2), 100_000)
    .option("--settle <seconds>", "look at memory until it has not fallen for so long", whole(0), 20)
    .action(async (options: FlatOptions) => (await import("../bench/host.ts")).benchFlat(options, context));
}

/** Context and tokens of each sweep. */
const SWEEP_LENGTHS: Readonly<Record<"prefill" | "batch" | "state" | "policy", readonly [number, number]>> = {
  prefill: [512, 8],
  batch: [32, 32],
  state: [1024, 32],
  policy: [1024, 32],
};
