/** `tilestate eval recall`: questions about earlier text, answered under several state policies. */
import type { Command } from "commander";
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
import { givenStates, type PolicyOptions, policyOption } from "../support/policies.ts";
import { scoreState, share } from "../support/score-state.ts";

interface Options extends ModelOptions, PolicyOptions {
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
    .addOption(policyOption())
    .option("--limit <n>", "read only the first n tales", whole(1))
    .addOption(modelOption())
    .addOption(adapterOption())
    .addOption(jsonOption())
    .action((options: Options) => run(options, context));
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
  const { states, policies } = await givenStates(options.state ?? ["full", "tova:128"], options.policy);
  // What cannot be read is said before minutes are spent on what can.
  for (const state of states) parsePolicy(state, policies);
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
      const s = await scoreState(gpu, source, { state, policies }, readings);
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
