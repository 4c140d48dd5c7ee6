/**
 * Other WebGPU runtimes beside us: `bun run bench/peers/main.ts --shape stories15M --context 128 --tokens 32 --rounds 5
 * --json`.
 *
 * All engines load the same random weights and read the same ids on the same adapter. They take turns, each a process
 * that is stopped while others work; a ratio is the median over the rounds, so that whatever else the machine does
 * meanwhile hits all sides alike. See README.md.
 */
import { existsSync } from "node:fs";
import { cpus, loadavg } from "node:os";
import { fileURLToPath } from "node:url";
import { Command, Option } from "commander";
import { whole } from "../../cli/support/options.ts";
import { SHAPES } from "../../models/index.ts";
import { UserError } from "../../runtime/common/errors.ts";
import { runtime } from "../../scripts/runtime.mjs";
import { chooseAdapter } from "./adapters.ts";
import { Client } from "./client.ts";
import type { PeerWeights } from "./graph.ts";
import type { About, Reading, Run, Setup } from "./protocol.ts";
import {
  type Agreement,
  type Comparison,
  commonLength,
  type EngineReport,
  marginOf,
  promptIds,
  ratio,
  type Spread,
  summarise,
} from "./report.ts";

interface Options {
  readonly shape: string;
  readonly context: number;
  readonly tokens: number;
  readonly rounds: number;
  readonly weights: PeerWeights;
  readonly engines?: readonly EngineName[];
  readonly adapter: string;
  readonly ortLogits: Setup["logits"];
  readonly json?: boolean;
}

interface EngineSpec {
  readonly program: string;
  /** The package it needs in this folder's node_modules. */
  readonly needs?: string;
  readonly weights: readonly PeerWeights[];
}

const ENGINES = {
  ours: { program: "ours.ts", weights: ["f32", "q4"] },
  ort: { program: "theirs/ort.ts", needs: "onnxruntime-node", weights: ["f32", "q4"] },
  jax: { program: "theirs/jax.ts", needs: "@jax-js/jax", weights: ["f32"] },
} as const satisfies Record<string, EngineSpec>;
type EngineName = keyof typeof ENGINES;

interface Seat {
  readonly name: EngineName;
  readonly client: Client;
  readonly about: About;
  readonly runs: Run[];
}

/**
 * Tokens of a prompt that ONNX Runtime reads right on every adapter: up to 31 go through the attention that it decodes
 * with. Its attention for longer pieces (1.30) is wrong where subgroups are narrow, as on software adapters; it is
 * measured all the same, being its fastest.
 */
const SMALL_PIECE = 24;
/** Tokens that an engine makes after the prompt to warm up. */
const WARM_TOKENS = 4;

const say = (text: string): void => void process.stderr.write(`${text}\n`);
const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

function parse(args: readonly string[]): Options {
  const list = (text: string): string[] => text.split(",").map((part) => part.trim());
  const command = new Command("bench/peers")
    .description(
      "Tilestate, ONNX Runtime's WebGPU provider and jax-js on the same weights, ids and adapter, taking turns.",
    )
    .option("--shape <name>", `one of ${Object.keys(SHAPES).join(", ")}`, "stories15M")
    .option("--context <n>", "tokens of the prompt", whole(2), 128)
    .option("--tokens <n>", "tokens to make", whole(2), 32)
    .option("--rounds <n>", "turns of every engine", whole(1), 5)
    .addOption(new Option("--weights <format>", "format of the matrices").choices(["f32", "q4"]).default("f32"))
    .option("--engines <names>", `some of ${Object.keys(ENGINES).join(",")} (default: all that have the weights)`, list)
    .option("--adapter <name>", "auto, lavapipe, swiftshader, or the manifest of a Vulkan driver", "auto")
    .addOption(
      new Option("--ort-logits <which>", "prompt tokens that ONNX Runtime's graph makes logits for; others: the last")
        .choices(["last", "all"])
        .default("last"),
    )
    .option("--json", "print the result as JSON");
  return command.parse(args, { from: "user" }).opts<Options>();
}

function engineNames({ engines, weights }: Options): EngineName[] {
  const all = Object.keys(ENGINES) as EngineName[];
  const able = (name: EngineName): boolean => (ENGINES[name] as EngineSpec).weights.includes(weights);
  const names = [...new Set(engines ?? all.filter(able))];
  for (const name of names) {
    if (!all.includes(name)) throw new UserError(`unknown engine "${name}"`, { hint: `there are: ${all.join(", ")}` });
    if (!able(name)) throw new UserError(`engine "${name}" has no ${weights} weights`);
    const { needs } = ENGINES[name] as EngineSpec;
    if (needs !== undefined && !existsSync(here(`node_modules/${needs}`))) {
      throw new UserError(`engine "${name}" needs ${needs}, which is not installed`, {
        hint: "run `npm ci --ignore-scripts` in bench/peers",
      });
    }
  }
  return names;
}

/** Loads the engines one after the other and lets each warm up. */
async function seat(
  names: readonly EngineName[],
  options: Options,
  env: Readonly<Record<string, string>>,
  open: Client[],
) {
  const { shape, weights, context, tokens, ortLogits } = options;
  const setup: Setup = { shape, weights, capacity: context + tokens, logits: ortLogits };
  const seats: Seat[] = [];
  for (const name of names) {
    const client = new Client(name, here(ENGINES[name].program), env);
    open.push(client);
    const about = await client.ask("load", setup);
    say(`${name}: ${about.engine} ${about.version}${about.adapter === undefined ? "" : ` on ${about.adapter}`}`);
    await client.ask("run", { prompt: promptFor(options), tokens: Math.min(tokens, WARM_TOKENS) });
    seats.push({ name, client, about, runs: [] });
  }
  return seats;
}

function promptFor({ shape, context }: Options): number[] {
  return promptIds(context, SHAPES[shape]?.vocab ?? 2);
}

async function playRounds(seats: readonly Seat[], options: Options): Promise<void> {
  const prompt = promptFor(options);
  for (let round = 0; round < options.rounds; round++) {
    for (const { name, client, runs } of seats) {
      const run = await client.ask("run", { prompt, tokens: options.tokens });
      runs.push(run);
      const rate = (count: number, seconds: number): string => (count / seconds).toFixed(1);
      const [read, made] = [rate(prompt.length, run.prefill.seconds), rate(run.decoded, run.decode.seconds)];
      say(`round ${round + 1} of ${options.rounds}  ${name.padEnd(4)}  prefill ${read}, decode ${made} tokens/s`);
    }
  }
}

async function compare(ours: Seat, theirs: Seat, options: Options): Promise<Comparison> {
  const speeds = {
    against: theirs.name,
    prefill: ratio("prefill", ours.runs, theirs.runs),
    decode: ratio("decode", ours.runs, theirs.runs),
  };
  const measured = await agreement(ours, theirs, theirs.runs[0]?.ids ?? [], options, {});
  if (measured.parting === undefined || theirs.name !== "ort") return { ...speeds, ...measured };
  const reading = { piece: SMALL_PIECE };
  const again = await theirs.client.ask("run", { prompt: promptFor(options), tokens: options.tokens, ...reading });
  const inPieces = await agreement(ours, theirs, again.ids, options, reading);
  return { ...speeds, ...measured, in_pieces: { ...inPieces, ...reading } };
}

/** Compares ids, and asks both sides for their logits where they part. */
async function agreement(
  ours: Seat,
  theirs: Seat,
  their: readonly number[],
  options: Options,
  reading: Reading,
): Promise<Agreement> {
  const our = ours.runs[0]?.ids ?? [];
  const same = commonLength(our, their);
  const counts = { same_ids: same, of: our.length };
  if (same === our.length) return counts;
  const ids = [...promptFor(options), ...our.slice(0, same)];
  const [mine, other] = [await ours.client.ask("top", { ids }), await theirs.client.ask("top", { ids, ...reading })];
  return { ...counts, parting: { ours: mine, theirs: other, margin: marginOf(mine) } };
}

function print(engines: readonly EngineReport[], comparisons: readonly Comparison[]): void {
  const show = ({ median, least, most }: Spread, digits = 1): string =>
    `${median.toFixed(digits)} (${least.toFixed(digits)} to ${most.toFixed(digits)})`;
  const line = (cells: readonly string[]): void =>
    console.log(
      cells
        .map((c) => c.padEnd(25))
        .join("")
        .trimEnd(),
    );
  line(["engine", "decode tokens/s", "CPU ms/token", "prefill tokens/s"]);
  for (const { engine, version, decode, prefill } of engines) {
    const rates = [decode.tokens_per_second, decode.cpu_ms_per_token, prefill.tokens_per_second];
    line([`${engine} ${version}`, ...rates.map((s) => show(s))]);
  }
  if (comparisons.length > 0) line(["\nwe against", "decode", "by CPU", "prefill", "by CPU", "same ids"]);
  for (const c of comparisons) {
    const { decode, prefill } = c;
    const times = [decode.speed, decode.by_cpu, prefill.speed, prefill.by_cpu].map((s) => `${show(s, 2)}x`);
    line([c.against, ...times, agreed(c)]);
    if (c.in_pieces !== undefined)
      console.log(`  with its prompt read ${c.in_pieces.piece} tokens at a time: ${agreed(c.in_pieces)}`);
  }
}

/** `7 of 32, then 11517 or 17332, 1.8e-1 deviations apart`. */
function agreed({ same_ids, of, parting }: Agreement): string {
  if (parting === undefined) return `${same_ids} of ${of}`;
  const { best, second } = parting.ours;
  return `${same_ids} of ${of}, then ${best.id} or ${second.id}, ${parting.margin.toExponential(1)} deviations apart`;
}

async function main(options: Options): Promise<void> {
  if (SHAPES[options.shape] === undefined) {
    throw new UserError(`unknown shape "${options.shape}"`, { hint: `there are: ${Object.keys(SHAPES).join(", ")}` });
  }
  const names = engineNames(options);
  const adapter = chooseAdapter(options.adapter);
  const open: Client[] = [];
  // A stopped process would outlive us.
  process.on("exit", () => {
    for (const client of open) client.close();
  });
  for (const [signal, code] of [
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const)
    process.on(signal, () => process.exit(code));
  const load = loadavg()[0];
  try {
    const seats = await seat(names, options, adapter.env, open);
    await playRounds(seats, options);
    const engines = seats.map((s) => summarise(s.about, s.runs, options.context));
    const ours = seats.find((s) => s.name === "ours");
    const comparisons: Comparison[] = [];
    for (const s of seats) if (ours !== undefined && s !== ours) comparisons.push(await compare(ours, s, options));
    if (!options.json) return print(engines, comparisons);
    const { shape, weights, context, tokens, rounds, ortLogits } = options;
    const setting = { shape, weights, context, tokens, rounds, ort_logits: ortLogits, adapter: options.adapter };
    const machine = { runtime, cores: cpus().length, load_before: load, load_after: loadavg()[0] };
    console.log(JSON.stringify({ ...setting, machine, engines, comparisons }, undefined, 2));
  } finally {
    for (const client of open) client.close();
    adapter.done();
  }
}

try {
  await main(parse(process.argv.slice(2)));
} catch (error) {
  if (!(error instanceof UserError)) throw error;
  say(`error: ${error.message}${error.hint === undefined ? "" : `\n  hint: ${error.hint}`}`);
  process.exitCode = 1;
}
