/** `tilestate generate`: continues a text, token by token as it comes. */
import { type Command, Option } from "commander";
import type { ModelSource, Tokenizer, WeightFormat } from "../../models/index.ts";
import { UserError } from "../../runtime/common/errors.ts";
import { type Context, type Io, printJson, UsageError } from "../support/context.ts";
import { rate } from "../support/format.ts";
import {
  adapterOption,
  examples,
  idList,
  jsonOption,
  type ModelOptions,
  modelOption,
  prefillOption,
  real,
  stateOption,
  weightsOption,
  whole,
} from "../support/options.ts";
import { givenState, type PolicyOptions, policyOption } from "../support/policies.ts";
import { promptFromFile } from "../support/prompt.ts";

interface Options extends ModelOptions, PolicyOptions {
  readonly promptFile?: string;
  readonly raw?: boolean;
  readonly special: "parse" | "text";
  readonly ids?: number[];
  readonly tokens: number;
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly seed: number;
  readonly state: string;
  readonly weights?: WeightFormat;
  readonly prefill: "recurrent" | "oneshot";
  readonly ignoreEos?: boolean;
  readonly json?: boolean;
  readonly quiet?: boolean;
}

/** What hearth's texts begin with. */
export const HEARTH_PROMPT = "A tale from";

export function configure(command: Command, context: Context): void {
  examples(command, [
    "tilestate generate",
    'tilestate generate "A tale from" --state tova:128 --temperature 0.8 --seed 7 --tokens 400',
    "tilestate generate --model stories260K.bin --tokens 200",
    "tilestate generate --model ./TinyLlama --prompt-file letter.txt --state tova:512 --prefill oneshot",
    "tilestate generate --prompt-file - --special text < letter.txt",
  ])
    .argument("[prompt]", `the text to continue (default for hearth: "${HEARTH_PROMPT}")`)
    .option("--prompt-file <file>", 'take the prompt from a file, or from standard input with "-"')
    .option("--raw", "with --prompt-file: keep a byte order mark, CR LF and the last line end")
    .addOption(
      new Option(
        "--special <how>",
        'control tokens spelled out in the prompt, as "</s>": parse them, or take them as text',
      )
        .choices(["parse", "text"])
        .default("parse"),
    )
    .option("--ids <list>", "the prompt as token ids, as in 1,2,3, for models without a tokenizer", idList)
    .option("--tokens <n>", "most tokens to generate", whole(1), 128)
    .option("--temperature <t>", "0 takes the most likely token each time", real, 0)
    .option("--top-k <k>", "draw from the k most likely tokens; 0 = all", whole(0), 0)
    .option("--top-p <p>", "draw from the most likely tokens that hold this much probability", real, 1)
    .option("--seed <n>", "start of the random numbers: the same seed gives the same text", whole(0), 0)
    .addOption(stateOption())
    .addOption(policyOption())
    .addOption(prefillOption())
    .option("--ignore-eos", "go on after the model's end of text")
    .addOption(modelOption())
    .addOption(weightsOption())
    .addOption(adapterOption())
    .option("--quiet", "nothing but the text")
    .addOption(jsonOption())
    .action((prompt: string | undefined, options: Options) =>
      generate(prompt, options, withoutEffect(command), context),
    );
}

/** The options given that narrow or begin a draw, where nothing is drawn. */
function withoutEffect(command: Command): string[] {
  const given = (name: string): boolean => command.getOptionValueSource(name) === "cli";
  if (command.opts<Options>().temperature !== 0) return [];
  return [
    ["topK", "--top-k"],
    ["topP", "--top-p"],
    ["seed", "--seed"],
  ].flatMap(([name = "", flag = ""]) => (given(name) ? [flag] : []));
}

function listed(names: readonly string[]): string {
  return names.length === 1 ? `${names[0]}` : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}

async function generate(
  prompt: string | undefined,
  options: Options,
  idle: readonly string[],
  context: Context,
): Promise<void> {
  const { io } = context;
  if ([prompt, options.promptFile, options.ids].filter((x) => x !== undefined).length > 1) {
    throw new UsageError("give one prompt: as an argument, with --prompt-file, or with --ids");
  }
  if (options.raw === true && options.promptFile === undefined) throw new UsageError("--raw goes with --prompt-file");
  const [{ Decoder, openModel }, { adapterJson, announce, withGpu }] = await Promise.all([
    import("../../models/index.ts"),
    import("../support/session.ts"),
  ]);
  const given = await givenState(options.state, options.policy);
  const source = await openModel(options.model);
  const { text: asked, ids, tokenizer } = await readPrompt(prompt, options, source, io);
  await withGpu(context, options.adapter, async (gpu) => {
    const { weights } = options;
    // Rows of the output matrix beyond the tokenizer's ids are padding, and have no text.
    const vocab = tokenizer === undefined ? undefined : Math.min(tokenizer.vocab, source.config.vocab);
    const decoder = await Decoder.load(gpu, source, { ...given, weights, vocab });
    const talk = options.quiet !== true;
    if (talk) announce(context, gpu, source, decoder);
    if (talk && idle.length > 0)
      io.err(
        `note: ${listed(idle)} ${idle.length === 1 ? "has" : "have"} no effect at temperature 0, where the most likely token is taken\n`,
      );
    const show = options.json === true ? (): void => {} : io.out;
    const stream = streamOf(tokenizer);
    const said: string[] = [];
    const say = (part: string): void => {
      said.push(part);
      show(part);
    };
    const made: number[] = [];
    const began = performance.now();
    let first = began;
    const { tokens, temperature, topK, topP, seed, prefill } = options;
    const settings = { tokens, temperature, topK, topP, seed, prefill, ...(options.ignoreEos ? { stop: [] } : {}) };
    // The prompt is shown once it was accepted, so that a complaint about it stands alone.
    const showPrompt = once(() => ids.forEach((id) => void say(stream.push(id))));
    const { context: trained } = source.config;
    const beyond = once(() => io.err(`\nnote: ${beyondContext(trained)}\n`));
    for await (const id of decoder.generate(ids, settings)) {
      await io.flush?.();
      if (made.length === 0) first = performance.now();
      showPrompt();
      made.push(id);
      say(stream.push(id));
      if (talk && ids.length + made.length > trained) beyond();
    }
    showPrompt();
    say(stream.end());
    show("\n");
    const speed = made.length > 1 ? rate(made.length - 1, performance.now() - first) : undefined;
    const full = made.length < tokens && ids.length + made.length > decoder.positions;
    if (options.json) {
      const { name } = source.config;
      printJson(io, {
        model: name,
        adapter: adapterJson(gpu),
        state: decoder.policy.text,
        bytes: { weights: decoder.contract.weights, state: decoder.contract.state, scratch: decoder.contract.scratch },
        prompt: asked,
        prompt_ids: ids,
        ids: made,
        text: tokenizer === undefined ? undefined : said.join(""),
        ended: full ? "state is full" : made.length < tokens ? "end of text" : "tokens",
        prompt_milliseconds: Math.round(first - began),
        tokens_per_second: speed,
      });
    } else if (talk) {
      io.err(`\n${ids.length} prompt tokens in ${Math.round(first - began)} ms, ${made.length} new ones`);
      io.err(speed === undefined ? "\n" : ` at ${speed} tokens/s\n`);
    }
    if (full && talk) {
      io.err(`stopped early: all ${decoder.positions} positions of state "${decoder.policy.text}" are taken\n`);
      io.err("hint: a state that drops tokens, such as tova:128, goes on without end\n");
    }
  });
}

/** What to say once when a text passes the positions that its model was trained on. */
function beyondContext(trained: number): string {
  return (
    `the text is longer than the ${trained} positions that this model was trained on (max_position_embeddings); ` +
    "beyond them it may get worse, whatever the state keeps"
  );
}

function once(action: () => void): () => void {
  let done = false;
  return () => {
    if (!done) action();
    done = true;
  };
}

interface Prompt {
  readonly text: string | undefined;
  readonly ids: number[];
  readonly tokenizer: Tokenizer | undefined;
}

async function readPrompt(prompt: string | undefined, options: Options, source: ModelSource, io: Io): Promise<Prompt> {
  if (options.ids !== undefined) {
    // With ids at hand a missing tokenizer is no obstacle: ids come out instead of text.
    const tokenizer = await source.tokenizer().catch((error: unknown) => {
      if (error instanceof UserError) return undefined;
      throw error;
    });
    return { text: undefined, ids: options.ids, tokenizer };
  }
  const tokenizer = await source.tokenizer();
  const isHearth = options.model === undefined || options.model === "hearth";
  const { promptFile, raw = false, special } = options;
  const read = promptFile === undefined ? undefined : await promptFromFile(promptFile, raw, io);
  const text = prompt ?? read ?? (isHearth ? HEARTH_PROMPT : "");
  const ids = tokenizer.encode(text, { special });
  if (ids.length === 0) throw new UsageError("give a prompt: this model's tokenizer has no token to begin a text with");
  return { text, ids, tokenizer };
}

/** Text as it comes; ids where there is no tokenizer. */
function streamOf(tokenizer: Tokenizer | undefined): { push(id: number): string; end(): string } {
  return tokenizer?.stream() ?? { push: (id) => `${id} `, end: () => "" };
}
