/** `tilestate bench … --against DIR`: this checkout and another one, measured in turn. */
import { existsSync } from "node:fs";
import { basename, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import type { Case } from "../../bench/cases.ts";
import { titleOf } from "../../bench/kernels.ts";
import type { CaseReport, Ratio } from "../../bench/pairs/judge.ts";
import type { DecoderJob, Job, KernelJob } from "../../bench/pairs/protocol.ts";
import { type PairsReport, runPairs, type Sides } from "../../bench/pairs/run.ts";
import { type Entrant, roomFor } from "../../bench/run.ts";
import { FEWEST_FOR_INTERVAL } from "../../bench/stats.ts";
import { stateFor } from "../../bench/subject.ts";
import { UserError } from "../../runtime/common/errors.ts";
import { type Context, UsageError } from "../support/context.ts";
import { CONTEXT, contextOf, DEFAULT_SHAPE } from "./decode.ts";
import { BATCH_MS, casesFor } from "./kernels.ts";
import type { PairOptions, SubjectOptions } from "./options.ts";
import { digits, sayer, table, writeReport } from "./output.ts";
import { entrantsOf, type Sweep, type SweepOptions } from "./sweeps.ts";

/** Benchmarks that two checkouts can be measured by. */
export type PairedBenchmark = "all" | "decode" | Sweep | "kernels" | "host" | "cold";

/** What the commands' options say together; those of a benchmark that has no such option are undefined. */
export type AgainstOptions = Partial<SubjectOptions & SweepOptions> &
  PairOptions & { readonly rounds: number; readonly only?: string };

const HOME: string = fileURLToPath(new URL("../../", import.meta.url));
/** Room for a state without a number of slots. */
const HOST_POSITIONS = 256;

/**
 * Measures both, says what came of it, and writes it where it was asked for. Throws a `UserError` when this checkout is
 * worse.
 */
export async function benchAgainst(
  benchmark: PairedBenchmark,
  options: AgainstOptions,
  context: Context,
  here: string = HOME,
): Promise<void> {
  const { against, adapter, rounds, worse } = options;
  if (against === undefined) throw new Error("nothing to compare with");
  if (!existsSync(resolve(here, "package.json"))) {
    throw new UserError("--against measures checkouts by their sources, and this is the built package", {
      hint: "run it in a checkout: npm run bench -- decode --against DIR",
    });
  }
  if (options.compare !== undefined) throw new UsageError("give --compare or --against, not both");
  if (options.svg !== undefined) throw new UsageError("--svg draws one run, and --against makes two");
  if (rounds < FEWEST_FOR_INTERVAL) {
    throw new UsageError(`--against takes at least ${FEWEST_FOR_INTERVAL} rounds: fewer have no interval of 95 %`);
  }
  const say = sayer(context, options);
  let said: readonly string[] = [];
  const report = await runPairs({
    ...{ here, there: resolve(against), jobs: await jobsOf(benchmark, options), adapter, rounds, worse },
    stop: () => context.signal.aborted,
    opened: (sides) => {
      said = sides.notes;
      saySides(say, sides);
    },
    done: (round) => context.io.err(`round ${round} of ${rounds}\n`),
  });
  if (context.signal.aborted) return;
  sayReport(say, { ...report, notes: report.notes.filter((n) => !said.includes(n)) }, worse);
  await writeReport(context, options, { benchmark, against: resolve(against), rounds, worse, ...report });
  const bad = report.cases.filter((c) => c.verdict === "worse").map((c) => c.name);
  if (bad.length > 0)
    throw new UserError(
      `worse by a factor of more than ${worse}: ${bad.join("; ")} (${bad.length} of ${report.cases.length})`,
    );
}

/** What a benchmark measures, as both sides are asked for it. */
export async function jobsOf(benchmark: PairedBenchmark, options: AgainstOptions): Promise<Job[]> {
  switch (benchmark) {
    case "all":
      return allJobs(options);
    case "decode": {
      const { tokens = 64, batch = 1, state = "full" } = options;
      return [decoderJob(options, { state, batch, context: contextOf(options), tokens })];
    }
    case "prefill":
    case "batch":
    case "state":
    case "policy":
      return entrantsOf(benchmark, options as SweepOptions).map((e) => entrantJob(options, e));
    case "kernels":
      return (await casesFor(options)).map(kernelJob);
    case "host":
      return [
        { kind: "host", title: "host", ...subject(options), state: stateFor(options.state ?? "full", HOST_POSITIONS) },
      ];
    case "cold":
      return [{ kind: "cold", title: "cold start" }];
  }
}

/** Decoding and prompts in f32 and q4, a batch, all kernels and cold starts. */
async function allJobs(options: AgainstOptions): Promise<Job[]> {
  const full = { state: "full", batch: 1, context: CONTEXT, tokens: 32 };
  const formats = options.weights === undefined ? ([undefined, "q4"] as const) : [options.weights];
  return [
    ...formats.map((weights) => decoderJob({ ...options, weights }, full)),
    decoderJob(options, { ...full, batch: 4, context: 16, tokens: 16 }),
    ...(await casesFor({})).map(kernelJob),
    { kind: "cold", title: "cold start" },
  ];
}

type Subject = Pick<DecoderJob, "model" | "shape" | "weights">;

/** The model or shape; the embedded model is this checkout's for both. */
function subject({ model, shape, weights }: AgainstOptions): Subject {
  if (model !== undefined && shape !== undefined) throw new UsageError("give --model or --shape, not both");
  const format = weights === undefined ? {} : { weights };
  if (model === undefined) return { shape: shape ?? DEFAULT_SHAPE, ...format };
  return { model: model === "hearth" ? resolve(HOME, "models/embedded/hearth") : resolve(model), ...format };
}

function decoderJob(
  options: AgainstOptions,
  lengths: Pick<DecoderJob, "state" | "batch" | "context" | "tokens">,
  label?: string,
): DecoderJob {
  const { state, batch, context, tokens } = lengths;
  const of = subject(options);
  const name = of.shape ?? basename(of.model ?? "");
  const parts = [
    name,
    of.weights ?? "as stored",
    ...(state === "full" ? [] : [state]),
    ...(batch > 1 ? [`batch of ${batch}`] : []),
  ];
  const { ids } = options;
  return {
    kind: "decoder",
    title: label ?? parts.join(" "),
    ...of,
    ...{ state: stateFor(state, roomFor(context, tokens, batch)), batch, context, tokens },
    ...(ids === undefined ? {} : { ids }),
  };
}

function entrantJob(options: AgainstOptions, { label, decoder, context, tokens }: Entrant): DecoderJob {
  const { state = "full", batch = 1 } = decoder;
  return decoderJob(options, { state, batch, context, tokens }, label);
}

function kernelJob(c: Case): KernelJob {
  const job = {
    kind: "kernel",
    title: titleOf(c),
    batch_ms: BATCH_MS,
    ...(c.on === undefined ? {} : { on: c.on }),
  } as const;
  if (c.name !== "weights") return job;
  const [rows = 0, k = 0] = c.shape.split("x").map(Number);
  return { ...job, matrix: { format: c.dtype as "f32" | "f16" | "q8" | "q4", rows, k } };
}

function saySides(say: (line: string) => void, { this: here, other, settings, notes }: Sides): void {
  const line = (facts: Sides["this"]): string =>
    `tilestate ${facts.tilestate}${facts.commit === undefined ? "" : ` at ${facts.commit}, ${facts["working tree"]}`}`;
  say(`this      ${line(here)}`);
  say(`other     ${line(other)}`);
  for (const [what, value] of Object.entries(settings)) say(`${what.padEnd(9)} ${value}`);
  for (const note of notes) say(`differs   ${note}`);
}

/** `1.004 (0.991 to 1.018)`. */
function ratioText(r: Ratio | null): string {
  return r === null ? "-" : `${r.median.toFixed(3)} (${r.low.toFixed(3)} to ${r.high.toFixed(3)})`;
}

function verdictText({ verdict, clock, cpu }: CaseReport): string {
  if (cpu === null || clock.verdict === cpu.verdict) return verdict;
  return `${clock.verdict} by the clock, ${cpu.verdict} by CPU time`;
}

function sayReport(say: (line: string) => void, report: PairsReport, worse: number): void {
  say("");
  if (report.cases.length > 0) {
    const rows = report.cases.map((c) => [
      c.name,
      digits(c.this_ms),
      digits(c.other_ms),
      ratioText(c.clock),
      ratioText(c.cpu),
      verdictText(c),
    ]);
    say(table(["", "this ms", "other ms", "this / other by the clock", "by CPU time", "verdict"], rows));
    const [first] = report.cases;
    say(
      `Medians of the ratios of ${first?.clock.count} pairs, each with an interval of ${(100 * (first?.clock.coverage ?? 0)).toFixed(1)} %.`,
    );
  }
  for (const { title, reason } of grouped(report.left_out)) say(`left out  ${title}: ${reason}`);
  for (const note of report.notes) say(`note      ${note}`);
  const { others_during: others } = report.load;
  if (others !== undefined) say(`load      other programs kept ${others.toFixed(2)} cores busy`);
  const of = (verdict: CaseReport["verdict"]): number => report.cases.filter((c) => c.verdict === verdict).length;
  say(
    `verdict   ${report.verdict}: ${of("as before")} as before, ${of("undecided")} undecided, ${of("worse")} worse, of ${report.cases.length} at --worse ${worse}`,
  );
}

/** Cases with one reason in one line. */
function grouped(left: PairsReport["left_out"]): { title: string; reason: string }[] {
  const reasons = [...new Set(left.map((l) => l.reason))];
  const titles = (reason: string): string[] => left.filter((l) => l.reason === reason).map((l) => l.title);
  return reasons.map((reason) => ({ title: titles(reason).join(", "), reason }));
}
