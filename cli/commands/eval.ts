/** `tilestate eval recall`: questions about earlier text, answered under several state policies. */
import type { Command } from "commander";
import type { Asked, Reading, Score } from "../../models/eval/recall.ts";
import type { ModelSource } from "../../models/index.ts";
import type { Gpu } from "../../runtime/index.ts";
import { type Context, printJson } from "../support/context.ts";
import { bytes, type Column, heading, rate, row } from "../support/format.ts";
import {
  adapterOption,
  examples,
  jsonOption,
  type ModelOptions,
  modelOption,
  repeated,
  stateOption,
  whole,
} from "../support/options.ts";

interface Options extends ModelOptions {
  readonly tales?: string;
  readonly state: readonly string[];
  readonly limit?: number;
  readonly json?: boolean;
}

export function configure(command: Command, context: Context): void {
  const recall = command
    .command("recall")
    .description("Read tales token by token and count the questions whose answer was the most likely continuation.")
    .summary("questions about earlier text, answered with a bounded state")
    .option("--stack", "show where an error was thrown");
  examples(recall, [
    "tilestate eval recall --limit 4",
    "tilestate eval recall --state full --state window:128 --state tova:128,recent=16 --limit 8 --json",
  ])
    .option("--tales <file>", 'one {"text", "questions": [{"at", "answer"}]} a line (default: the embedded tales)')
    .addOption(stateOption().argParser(repeated).default(undefined, "full and tova:128; may be given several times"))
    .option("--limit <n>", "read only the first n tales", whole(1))
    .addOption(modelOption())
    .addOption(adapterOption())
    .addOption(jsonOption())
    .action((options: Options) => run(options, context));
}

/** One state's result with what it took. */
export interface StateScore extends Score {
  readonly state: string;
  readonly stateBytes: number;
  /** What it says to the question that it was asked. */
  readonly said: string | undefined;
}

/**
 * Reads the tales under one state, and then asks `asked`, if there is such a question. The first few tokens are read twice: a kernel's first run is not what is
 * measured, and neither is the question.
 */
export async function scoreState(
  gpu: Gpu,
  source: ModelSource,
  state: string,
  readings: readonly Reading[],
  asked?: Asked,
): Promise<StateScore> {
  const [{ Decoder }, { answerTo, recall }] = await Promise.all([
    import("../../models/index.ts"),
    import("../../models/eval/recall.ts"),
  ]);
  const decoder = await Decoder.load(gpu, source, { state });
  try {
    // Adapters compile when a kernel first runs, those of a prompt in pieces too; that is not to be timed.
    await decoder.predict((readings[0]?.ids ?? [0]).slice(0, 48));
    const score = await recall(decoder, readings);
    const said = asked === undefined ? undefined : await answerTo(asked, decoder, await source.tokenizer());
    return { ...score, said, state: decoder.policy.text, stateBytes: decoder.contract.state };
  } finally {
    decoder.destroy();
  }
}

const COLUMNS: readonly Column[] = [
  { title: "state", width: 22 },
  { title: "right", width: 16, right: true },
  { title: "state bytes", width: 11, right: true },
  { title: "tokens/s", width: 8, right: true },
];

async function run(options: Options, context: Context): Promise<void> {
  const { io } = context;
  const [{ openModel, parsePolicy }, { prepare, readTales }, { hearthFile }, session] = await Promise.all([
    import("../../models/index.ts"),
    import("../../models/eval/recall.ts"),
    import("../../models/embedded/hearth/index.ts"),
    import("../support/session.ts"),
  ]);
  const states = options.state ?? ["full", "tova:128"];
  // What cannot be read is said before minutes are spent on what can.
  for (const state of states) parsePolicy(state);
  const file = options.tales ?? hearthFile("recall.jsonl");
  const tales = await readTales(file, options.limit);
  const source = await openModel(options.model);
  const tokenizer = await source.tokenizer();
  const readings = tales.map((tale) => prepare(tale, tokenizer, source.config.context));
  const tokens = readings.reduce((n, r) => n + r.ids.length, 0);
  const questions = readings.reduce((n, r) => n + r.answers.length, 0);
  await session.withGpu(context, options.adapter, async (gpu) => {
    io.err(`adapter  ${session.adapterLine(gpu)}\n`);
    io.err(`tales    ${tales.length} of ${file}: ${tokens} tokens, ${questions} questions\n`);
    if (!options.json) io.out(`${heading(COLUMNS)}\n`);
    const results: Record<string, unknown> = {};
    for (const state of states) {
      const s = await scoreState(gpu, source, state, readings);
      const speed = rate(s.tokens, s.milliseconds);
      results[s.state] = {
        right: s.right,
        questions: s.questions,
        each: s.each,
        state_bytes: s.stateBytes,
        tokens: s.tokens,
        tokens_per_second: speed,
      };
      if (!options.json) io.out(`${row(COLUMNS, [s.state, share(s), bytes(s.stateBytes), String(speed)])}\n`);
    }
    const { name } = source.config;
    if (options.json)
      printJson(io, { model: name, adapter: session.adapterJson(gpu), tales: tales.length, states: results });
  });
}

/** `8/14  57.1 %`. */
export function share({ right, questions }: Pick<Score, "right" | "questions">): string {
  const percent = questions === 0 ? "-" : ((100 * right) / questions).toFixed(1);
  return `${right}/${questions} ${percent.padStart(5)} %`;
}
