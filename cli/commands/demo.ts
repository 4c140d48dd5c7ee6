/**
 * `tilestate demo`: what `npm start` runs. A tale from the embedded model, then one table: how much of long tales is
 * remembered with the full cache, and with an eighth, a quarter and a half of it, under a window and under TOVA.
 *
 * It has to be done in two minutes on any machine, so the first tale's time decides how many are read; on very slow
 * ones the last rows are left out.
 */
import { type Command, Option } from "commander";
import type { ModelSource } from "../../models/index.ts";
import type { Gpu } from "../../runtime/index.ts";
import { ASKED, compare, TYPICAL } from "../demo/compare.ts";
import type { Context } from "../support/context.ts";
import { bytes, rate } from "../support/format.ts";
import { type AdapterOptions, adapterOption, examples, whole } from "../support/options.ts";
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
  const [{ openModel }, { prepare, questionOf, readTales }, { readRecorded }, { hearthFile }, session] =
    await Promise.all([
      import("../../models/index.ts"),
      import("../../models/eval/recall.ts"),
      import("../../models/eval/recorded.ts"),
      import("../../models/embedded/hearth/index.ts"),
      import("../support/session.ts"),
    ]);
  const source = await openModel(undefined);
  const tokenizer = await source.tokenizer();
  const tales = await readTales(hearthFile("recall.jsonl"));
  const { cut = source.config.context } = options;
  const read = TYPICAL.slice(0, options.cut === undefined ? TYPICAL.length : 1).flatMap((i) => tales[i] ?? []);
  const question = questionOf(read[0] ?? { text: "", questions: [] }, ASKED, tokenizer);
  const matter = {
    readings: read.map((tale) => prepare(tale, tokenizer, cut)),
    asked: question.ids.length < cut ? question : undefined,
    plain: await readRecorded(hearthFile("recall-plain.json")),
  };
  await session.withGpu(context, options.adapter, async (gpu) => {
    io.out(`adapter  ${session.adapterLine(gpu)}\n`);
    for (const note of gpu.device.notes) io.out(`         ${note}\n`);
    await tell(gpu, source, options, context);
    await compare(gpu, source, matter, began + options.seconds * 1000, context);
  });
  io.out(`\n${Math.round((performance.now() - began) / 1000)} s. Next: npx tilestate --help\n`);
}

/** The memory contract and a tale. */
async function tell(gpu: Gpu, source: ModelSource, options: Options, { io }: Context): Promise<void> {
  const { Decoder } = await import("../../models/index.ts");
  const { contractLine } = await import("../support/session.ts");
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
