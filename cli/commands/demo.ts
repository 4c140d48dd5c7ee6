/**
 * `tilestate demo`: what `npm start` runs. A tale from the embedded model, then one table: how much of long tales is remembered with the full cache, and with
 * an eighth, a quarter and a half of it, under a window and under TOVA.
 *
 * It has to be done in two minutes on any machine, so the first tale's time decides how many are read; on very slow ones the last rows are left out.
 */
import { type Command, Option } from "commander";
import type { Reading } from "../../models/eval/recall.ts";
import type { ModelSource } from "../../models/index.ts";
import type { Gpu } from "../../runtime/index.ts";
import type { Context } from "../context.ts";
import { bytes, type Column, heading, rate, row } from "../format.ts";
import { type AdapterOptions, adapterOption, examples, whole } from "../options.ts";
import { type StateScore, scoreState, share } from "./eval.ts";
import { HEARTH_PROMPT } from "./generate.ts";

interface Options extends AdapterOptions {
  readonly seed: number;
  readonly tokens: number;
  readonly seconds: number;
  readonly cut?: number;
}

/** State of the tale that is told. */
const TOLD_WITH = "tova:128";
const TEMPERATURE = 0.8;
const PARTS: readonly number[] = [8, 4, 2];
/**
 * Which of the 48 tales are read, in this order. A few tales are a small sample, so these are the ones whose first one, two, three, … together come closest
 * to the recorded figures of all 48 (test/cli/demo.test.ts holds them to that).
 */
export const TYPICAL: readonly number[] = [45, 4, 14, 25, 32, 41, 0, 15];

export function configure(command: Command, context: Context): void {
  examples(command, ["tilestate demo", "tilestate demo --adapter swiftshader"])
    .addOption(adapterOption())
    .option("--seed <n>", "another tale", whole(0), 7)
    .option("--tokens <n>", "length of the tale", whole(1), 110)
    .option("--seconds <n>", "about how long to take; more seconds, more tales", whole(1), 105)
    .addOption(new Option("--cut <n>", "only so many tokens of one tale, for tests").argParser(whole(1)).hideHelp())
    .action((options: Options) => demo(options, context));
}

async function demo(options: Options, context: Context): Promise<void> {
  const { io } = context;
  const began = performance.now();
  const [{ openModel }, { prepare, readTales }, { hearthFile }, session] = await Promise.all([
    import("../../models/index.ts"),
    import("../../models/eval/recall.ts"),
    import("../../models/hearth/index.ts"),
    import("../session.ts"),
  ]);
  const source = await openModel(undefined);
  const tokenizer = await source.tokenizer();
  const tales = await readTales(hearthFile("recall.jsonl"));
  const { cut = source.config.context } = options;
  const readings = TYPICAL.slice(0, options.cut === undefined ? TYPICAL.length : 1)
    .flatMap((i) => tales[i] ?? [])
    .map((tale) => prepare(tale, tokenizer, cut));
  await session.withGpu(context, options.adapter, async (gpu) => {
    io.out(`adapter  ${session.adapterLine(gpu)}\n`);
    for (const note of gpu.device.notes) io.out(`         ${note}\n`);
    await tell(gpu, source, options, context);
    await compare(gpu, source, readings, began + options.seconds * 1000, context);
  });
  io.out(`\n${Math.round((performance.now() - began) / 1000)} s. Next: npx tilestate --help\n`);
}

/** The memory contract and a tale. */
async function tell(gpu: Gpu, source: ModelSource, options: Options, { io }: Context): Promise<void> {
  const { Decoder } = await import("../../models/index.ts");
  const { contractLine } = await import("../session.ts");
  const tokenizer = await source.tokenizer();
  const decoder = await Decoder.load(gpu, source, { state: TOLD_WITH });
  const { contract: c } = decoder;
  io.out(`memory   ${contractLine(source, TOLD_WITH, c)}\n`);
  io.out(
    `         A token takes the state's next free slot or an old one's: ${bytes(c.state)} after ten tokens, and after a million.\n`,
  );
  io.out(`\nA tale (state ${TOLD_WITH}, temperature ${TEMPERATURE}, seed ${options.seed}):\n\n`);
  const ids = tokenizer.encode(HEARTH_PROMPT);
  const stream = tokenizer.stream();
  for (const id of ids) io.out(stream.push(id));
  const { tokens, seed } = options;
  let made = 0;
  let first = performance.now();
  for await (const id of decoder.generate(ids, { tokens, seed, temperature: TEMPERATURE })) {
    if (made++ === 0) first = performance.now();
    io.out(stream.push(id));
  }
  io.out(`${stream.end()} …\n\n${made} tokens at ${rate(made - 1, performance.now() - first)} tokens/s\n`);
  decoder.destroy();
}

const COLUMNS: readonly Column[] = [
  { title: "state", width: 18 },
  { title: "of the context", width: 14, right: true },
  { title: "questions right", width: 16, right: true },
  { title: "state bytes", width: 11, right: true },
  { title: "tokens/s", width: 8, right: true },
];

/** The table. It is to be done at `deadline`, by the clock of `performance.now`. */
async function compare(
  gpu: Gpu,
  source: ModelSource,
  all: readonly Reading[],
  deadline: number,
  { io }: Context,
): Promise<void> {
  const { context } = source.config;
  const began = performance.now();
  const first = await scoreState(gpu, source, "full", all.slice(0, 1));
  const each = performance.now() - began;
  const rows = PARTS.flatMap((part) => statesOf(context / part).map((state) => ({ part, state })));
  // The full cache is the slowest state, so its time (and a tenth for what else the machine does) tells how many tales there is time for.
  const left = deadline - performance.now();
  const tales = Math.max(1, Math.min(all.length, Math.floor((left + each) / (1.1 * each * (rows.length + 1)))));
  const readings = all.slice(0, tales);
  const rest = tales === 1 ? first : await scoreState(gpu, source, "full", readings.slice(1));
  const full = tales === 1 ? first : together(first, rest);
  const long = Math.round(full.tokens / tales / 10) * 10;
  const what = tales === 1 ? `A tale of some ${long} tokens` : `${tales} tales of some ${long} tokens each`;
  io.out(`\n${what}, with ${full.questions} questions about what was said earlier:\n\n`);
  io.out(`${heading(COLUMNS)}\n`);
  const print = (part: string, s: StateScore): void => {
    const cells = [s.state, part, share(s), bytes(s.stateBytes), String(rate(s.tokens, s.milliseconds))];
    io.out(`${row(COLUMNS, cells)}\n`);
  };
  print("all", full);
  const omitted: string[] = [];
  let last = each * tales;
  for (const [i, { part, state }] of rows.entries()) {
    const started = performance.now();
    // The smallest states are what it is about; the others give way where time is short.
    if (i >= rows.length / PARTS.length && started + last > deadline) omitted.push(state);
    else {
      print(`1/${part}`, await scoreState(gpu, source, state, readings));
      last = performance.now() - started;
    }
  }
  if (omitted.length > 0) io.out(`(left out for lack of time, --seconds gives more: ${omitted.join("  ")})\n`);
  io.out(HONESTY);
}

function together(a: StateScore, b: StateScore): StateScore {
  const sum = { right: a.right + b.right, questions: a.questions + b.questions, each: a.each + b.each };
  return { ...a, ...sum, tokens: a.tokens + b.tokens, milliseconds: a.milliseconds + b.milliseconds };
}

function statesOf(slots: number): string[] {
  return [`window:${slots}`, `tova:${slots}`, `tova:${slots},recent=16`];
}

const HONESTY = `
A window keeps the newest tokens. TOVA drops the token that the newest query attends to least, and so keeps what matters for longer.
Read it with care: hearth is a small model that was trained to live in a bounded state (models/hearth/README.md). It misses questions
even with the full cache, and an ordinary checkpoint will show a smaller gap. A few tales are a small sample; those read here were chosen
because they come out like all 48 of them together, which "tilestate eval recall" reads.
`;
