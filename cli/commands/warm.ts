/**
 * `tilestate warm`: compiles all that runs of a model can need, so that the first real one on this machine or in this
 * image need not.
 */
import type { Command } from "commander";
import type { AnyPolicy, Decoder, ModelSource, Warmed, WeightFormat } from "../../models/index.ts";
import type { Gpu } from "../../runtime/index.ts";
import { type Context, printJson } from "../support/context.ts";
import { bytes, type Column, heading, row } from "../support/format.ts";
import {
  adapterOption,
  examples,
  jsonOption,
  repeated,
  stateOption,
  weightsOption,
  whole,
} from "../support/options.ts";
import { givenStates, type PolicyOptions, policyOption } from "../support/policies.ts";
import type { Cache, Caches } from "../warm/caches.ts";

interface Options extends PolicyOptions {
  readonly model?: readonly string[];
  readonly shape?: readonly string[];
  readonly state?: readonly string[];
  readonly batch: number;
  readonly weights?: WeightFormat;
  readonly adapter?: string;
  readonly json?: boolean;
}

export function configure(command: Command, context: Context): void {
  const states = stateOption().argParser(repeated).default(undefined);
  states.description += " (default: full); may be given several times";
  examples(command, [
    "tilestate warm",
    "tilestate warm ./TinyLlama --state full --state tova:512 --weights q4",
    "tilestate warm --shape stories15M --state full:192 --batch 8 --json",
  ])
    .argument("[models...]", 'Hugging Face folders or llama2.c .bin files (default: "hearth", the embedded model)')
    .option("--model <path>", "a model like those, as other commands take it; may be given several times", repeated)
    .option("--shape <name>", "random weights of a shape such as stories15M; may be given several times", repeated)
    .addOption(states)
    .addOption(policyOption())
    .option("--batch <n>", "sequences that are decoded together", whole(1), 1)
    .addOption(weightsOption())
    .addOption(adapterOption())
    .addOption(jsonOption())
    .action((models: string[], options: Options) => warm(models, options, context));
}

const COLUMNS: readonly Column[] = [
  { title: "part", width: 28 },
  { title: "pipelines", width: 9, right: true },
  { title: "dispatches", width: 10, right: true },
  { title: "made in ms", width: 10, right: true },
  { title: "first run ms", width: 12, right: true },
];

async function warm(models: readonly string[], options: Options, context: Context): Promise<void> {
  const { io } = context;
  const [{ openModel, parsePolicy, randomSource }, { adapterJson, adapterLine, withGpu }, { cachesOf }] =
    await Promise.all([import("../../models/index.ts"), import("../support/session.ts"), import("../warm/caches.ts")]);
  const { states, policies } = await givenStates(options.state ?? ["full"], options.policy);
  // What is wrong with any of them should not be found out after minutes of compiling.
  for (const state of states) parsePolicy(state, policies);
  const paths = [...models, ...(options.model ?? [])];
  const sources = await Promise.all(paths.map((path) => openModel(path)));
  sources.push(...(options.shape ?? []).map((name) => randomSource(name)));
  if (sources.length === 0) sources.push(await openModel(undefined));
  const began = performance.now();
  await withGpu(context, options.adapter, async (gpu) => {
    const opened = performance.now() - began;
    io.err(`adapter  ${adapterLine(gpu)}, opened in ${digits(opened)} ms\n`);
    for (const note of gpu.device.notes) io.err(`         ${note}\n`);
    const decoders: DecoderReport[] = [];
    for (const source of sources) {
      for (const state of states) decoders.push(await warmDecoder(gpu, source, { state, policies }, options, context));
    }
    const caches = await cachesOf(gpu.device);
    const took = performance.now() - began;
    if (options.json) {
      const milliseconds = { open_milliseconds: rounded(opened), milliseconds: rounded(took) };
      printJson(io, { adapter: adapterJson(gpu), ...milliseconds, decoders, caches });
      return;
    }
    for (const line of cacheLines(caches)) io.out(`${line}\n`);
    io.out(`together  ${gpu.device.pipelines} pipelines in ${digits(took)} ms\n`);
  });
}

/** What is said of one decoder in JSON. */
interface DecoderReport {
  readonly model: string;
  readonly weights: string;
  readonly state: string;
  readonly batch: number;
  readonly load: { readonly pipelines: number; readonly milliseconds: number };
  readonly parts: readonly Record<string, string | number>[];
  readonly check: Check;
}

async function warmDecoder(
  gpu: Gpu,
  source: ModelSource,
  given: { readonly state: string; readonly policies: readonly AnyPolicy[] },
  { batch, weights, json }: Options,
  { io }: Context,
): Promise<DecoderReport> {
  const [{ Decoder }, { contractLine }] = await Promise.all([
    import("../../models/index.ts"),
    import("../support/session.ts"),
  ]);
  const show = (text: string): void => (json ? undefined : io.out(text));
  const before = gpu.device.pipelines;
  const began = performance.now();
  const decoder = await Decoder.load(gpu, source, { ...given, batch, weights });
  try {
    const load = { pipelines: gpu.device.pipelines - before, milliseconds: rounded(performance.now() - began) };
    io.err(`memory   ${contractLine(source, given.state, decoder.contract)}\n`);
    show(
      `${source.config.name}, ${given.state}, batch ${batch}, weights ${weights ?? "as stored"}\n${heading(COLUMNS)}\n`,
    );
    show(`${row(COLUMNS, ["loading: weights and step", String(load.pipelines), "", digits(load.milliseconds)])}\n`);
    const parts = await decoder.warm((part) => show(`${partRow(part)}\n`));
    const check = await checkText(gpu, decoder);
    const { tokens, first_milliseconds: first, milliseconds_each: each } = check;
    const rate = each === undefined ? "" : `, then one in ${digits(each)} ms`;
    show(`check     ${tokens} tokens without another pipeline: the first after ${digits(first)} ms${rate}\n\n`);
    return {
      model: source.config.name,
      weights: weights ?? "stored",
      ...{ state: decoder.policy.text, batch, load },
      parts: parts.map(({ name, pipelines, dispatches, making, running }) => {
        return { name, pipelines, dispatches, make_milliseconds: rounded(making), run_milliseconds: rounded(running) };
      }),
      check,
    };
  } finally {
    decoder.destroy();
  }
}

function partRow({ name, pipelines, dispatches, making, running }: Warmed): string {
  return row(COLUMNS, [name, String(pipelines), String(dispatches), digits(making), digits(running)]);
}

/** Tokens that the check writes. */
const TOKENS = 8;

interface Check {
  readonly tokens: number;
  readonly first_milliseconds: number;
  /** Of those after the first. */
  readonly milliseconds_each: number | undefined;
}

/**
 * Writes a short text on a decoder that was warmed up. Throws when that makes a pipeline, or when no token can be
 * chosen.
 */
async function checkText(gpu: Gpu, decoder: Decoder): Promise<Check> {
  const before = gpu.device.pipelines;
  const began = performance.now();
  const ids: number[] = [];
  let first = began;
  for await (const id of decoder.generate([decoder.config.bos[0] ?? 0], { tokens: TOKENS, stop: [] })) {
    if (ids.length === 0) first = performance.now();
    ids.push(id);
  }
  const took = performance.now() - first;
  decoder.reset();
  const wrong = verdict(gpu.device.pipelines - before);
  if (wrong !== undefined) throw wrong;
  return {
    tokens: ids.length,
    first_milliseconds: rounded(first - began),
    milliseconds_each: ids.length > 1 ? rounded(took / (ids.length - 1)) : undefined,
  };
}

/** What is wrong with having made so many pipelines after warming up. */
export function verdict(made: number): Error | undefined {
  if (made === 0) return undefined;
  return new Error(`a decoder that was warmed up made ${made} more ${made === 1 ? "pipeline" : "pipelines"}`);
}

function cacheLines({ kernels, embedded, driver }: Caches): string[] {
  const line = (name: string, { folder, files, bytes: size, note }: Cache): string => {
    const what =
      folder === undefined ? note : `${folder}: ${bytes(size)} in ${files} ${files === 1 ? "file" : "files"} (${note})`;
    return `${name.padEnd(9)} ${what}`;
  };
  const lines = [line("driver", driver), line("kernels", kernels)];
  return embedded === undefined ? lines : [...lines, line("adapter", embedded)];
}

function rounded(milliseconds: number): number {
  return Math.round(milliseconds * 10) / 10;
}

/** Milliseconds with as many digits as mean something. */
function digits(milliseconds: number): string {
  return milliseconds >= 10 ? milliseconds.toFixed(0) : milliseconds.toFixed(1);
}
