/**
 * Runs of decoders: one of them in depth, or several side by side.
 *
 * Side by side, all decoders are loaded and take turns, a pass each a round, so that what the machine does meanwhile
 * hits all alike, and ratios are medians of the rounds' own ratios. Where they do not fit into memory together they
 * come one after the other instead.
 */
import { totalmem } from "node:os";
import { contract, Decoder, type DecoderOptions, type ModelSource, parsePolicy } from "../models/index.ts";
import { canonicalShapes, elements } from "../models/weights/source.ts";
import { type Gpu, UserError } from "../runtime/index.ts";
import { Breakdown, groupsOf, type KernelLine } from "./breakdown.ts";
import type { Ceiling } from "./ceiling.ts";
import { type DecodeResult, type Pass, pass, summarise, tokensOfBatch, warmUp } from "./decode.ts";
import { type Measure, measureOf, median } from "./stats.ts";
import { promptOf, stateFor } from "./subject.ts";

export interface RunOptions {
  readonly source: ModelSource;
  readonly decoder: DecoderOptions;
  /** Tokens of the prompt. */
  readonly context: number;
  /** Tokens to write, at least two. */
  readonly tokens: number;
  readonly ids?: readonly number[] | undefined;
  readonly rounds: number;
  readonly stop?: () => boolean;
}

/** A step as counted and as timed. */
export interface StepReport {
  readonly position: number;
  readonly dispatches: number;
  readonly bytes: number;
  readonly operations: number;
  /** Rates of decoding, end to end. */
  readonly gb_s: number;
  readonly gflop_s: number;
  readonly of_copy: number;
  readonly of_arithmetic: number;
  /** The sum of the kernels' times, each alone back to back, and a token's time as parts of it. */
  readonly kernels_ms: number;
  readonly over_kernels: number;
  /** The same by CPU time of the whole process, which on software adapters is the work itself; null on others. */
  readonly over_kernels_cpu: number | null;
}

export interface DecodeReport extends DecodeResult {
  readonly model: string;
  readonly state: string;
  readonly weights: string;
  readonly batch: number;
  readonly context: number;
  readonly tokens: number;
  readonly bytes: { readonly weights: number; readonly state: number; readonly scratch: number };
  readonly step: StepReport;
  readonly kernels: readonly KernelLine[];
  readonly ids: readonly number[];
}

/** Positions that a pass takes, and a few more for the replays of the breakdown. */
export function roomFor(context: number, tokens: number, batch = 1): number {
  return context + tokensOfBatch(batch, tokens, context) + 8;
}

/**
 * One decoder in depth: rates, host, kernels and greedy ids. Throws a `UserError` when the state cannot hold prompt and
 * tokens.
 */
export async function runDecode(gpu: Gpu, ceiling: Ceiling, options: RunOptions): Promise<DecodeReport> {
  const { source, context, tokens, ids, rounds } = options;
  const state = stateFor(
    options.decoder.state ?? "full",
    roomFor(context, tokens, options.decoder.batch),
    options.decoder.policies,
  );
  const decoder = await Decoder.load(gpu, source, { ...options.decoder, state });
  try {
    const prompt = promptOf(source.config.vocab, context, ids);
    // Pipelines compile at their first dispatch; a whole pass also settles the pace of waiting.
    await warmUp(decoder, prompt, Math.min(tokens, 16));
    const position = decoder.seen;
    const breakdown = await Breakdown.of(gpu, decoder.plan);
    const passes: Pass[] = [];
    const sums: { wall: number; cpu: number }[] = [];
    for (let i = 0; i < rounds && !(i > 0 && options.stop?.()); i++) {
      passes.push(await pass(decoder, prompt, tokens));
      sums.push(await breakdown.round());
    }
    // What was asked for is what follows the given ids, also when the timed prompt repeats them.
    const asked = ids !== undefined && ids.length !== context ? (await pass(decoder, ids, tokens)).ids : passes[0]?.ids;
    if (passes.some((p) => p.ids.some((id, i) => id !== passes[0]?.ids[i])))
      throw new Error("two passes over one prompt gave different ids");
    const result = summarise("", passes, context, decoder);
    const { measures, step } = stepReport(gpu, breakdown, passes, sums, result, ceiling, position);
    const { weights, state: held, scratch } = decoder.contract;
    return {
      model: source.config.name,
      state,
      weights: options.decoder.weights ?? "stored",
      batch: decoder.batch,
      context,
      tokens,
      bytes: { weights, state: held, scratch },
      ...result,
      measures: [...result.measures, ...measures],
      step,
      kernels: breakdown.lines(ceiling),
      ids: asked ?? [],
    };
  } finally {
    decoder.destroy();
  }
}

function stepReport(
  gpu: Gpu,
  breakdown: Breakdown,
  passes: readonly Pass[],
  sums: readonly { wall: number; cpu: number }[],
  result: DecodeResult,
  ceiling: Ceiling,
  position: number,
): { measures: Measure[]; step: StepReport } {
  const total = (of: (g: Breakdown["groups"][number]) => number): number =>
    breakdown.groups.reduce((sum, g) => sum + of(g), 0);
  const [bytes, operations] = [total((g) => g.bytes), total((g) => g.operations)];
  const ms = result.decode.ms_per_step;
  const over = measureOf(
    "token time / kernels alone",
    "ratio",
    "lower",
    passes.map((p, i) => p.decode_ms / p.steps / (sums[i]?.wall ?? Number.NaN)),
  );
  const byCpu = median(passes.map((p, i) => p.process_cpu_ms / p.steps / (sums[i]?.cpu ?? Number.NaN)));
  const kernels = measureOf(
    "kernels alone",
    "ms",
    "lower",
    sums.map((s) => s.wall),
  );
  const [gb, gflop] = [bytes / ms / 1e6, operations / ms / 1e6];
  const step: StepReport = {
    position,
    dispatches: breakdown.groups.reduce((n, g) => n + g.dispatches.length, 0),
    bytes,
    operations,
    gb_s: gb,
    gflop_s: gflop,
    of_copy: gb / ceiling.copy_gb_s,
    of_arithmetic: gflop / ceiling.arithmetic_gflop_s,
    kernels_ms: kernels.median,
    over_kernels: over.median,
    over_kernels_cpu: gpu.capabilities.kind === "software" ? byCpu : null,
  };
  // Faster kernels alone make it larger.
  return { measures: [kernels, { ...over, judged: false }], step };
}

/**
 * Multiplications and additions of one token in the layers' matrices: how a prompt is read is the decoder's choice, but
 * these have to be made.
 */
export function matrixOperations({ config }: ModelSource): number {
  let count = 0;
  for (const [name, shape] of canonicalShapes(config)) {
    if (name.startsWith("layers.") && !name.endsWith("norm")) count += 2 * elements(shape);
  }
  return count;
}

/** One of several decoders that are compared. */
export interface Entrant {
  readonly label: string;
  readonly decoder: DecoderOptions;
  readonly context: number;
  readonly tokens: number;
}

export interface SweepLine {
  readonly label: string;
  readonly state: string;
  readonly context: number;
  readonly batch: number;
  readonly dispatches: number;
  readonly state_bytes: number;
  /** Bytes and operations of a step after the prompt. */
  readonly step_bytes: number;
  readonly step_operations: number;
  readonly decode_tokens_per_second: number;
  readonly prefill_tokens_per_second: number;
  /** Of the layers' matrix products alone. */
  readonly prefill_gflop_s: number;
  /** Decoding against the first entrant: measured, and what the bytes of a step predict. */
  readonly over_first: number;
  readonly predicted_over_first: number;
}

/** Measures decoders of one model against one another. */
export async function runSweep(
  gpu: Gpu,
  source: ModelSource,
  entrants: readonly Entrant[],
  rounds: number,
  stop: () => boolean = () => false,
): Promise<{ readonly lines: readonly SweepLine[]; readonly measures: readonly Measure[] }> {
  const runners = entrants.map((e) => new Runner(gpu, source, e));
  const size = runners.reduce((sum, r) => sum + r.size(), 0);
  const together = size < (gpu.capabilities.kind === "software" ? totalmem() / 4 : 8 * 2 ** 30);
  try {
    for (const batch of together ? [runners] : runners.map((r) => [r])) {
      for (const r of batch) await r.prepare();
      for (let i = 0; i < rounds && !stop(); i++)
        for (const r of i % 2 === 0 ? batch : batch.toReversed()) await r.round();
      for (const r of batch) r.destroy();
    }
  } finally {
    for (const r of runners) r.destroy();
  }
  const [first] = runners;
  if (first === undefined || first.passes.length === 0) throw new UserError("nothing was measured");
  const results = runners.map((r) => r.result());
  return { lines: runners.map((r) => r.line(first)), measures: results.flatMap((r) => r.measures.slice(0, 2)) };
}

class Runner {
  readonly passes: Pass[] = [];
  readonly #gpu: Gpu;
  readonly #source: ModelSource;
  readonly #entrant: Entrant;
  readonly #state: string;
  #decoder: Decoder | undefined;
  #shape = { dispatches: 0, batch: 1 };
  #step = { bytes: 0, operations: 0 };

  constructor(gpu: Gpu, source: ModelSource, entrant: Entrant) {
    this.#gpu = gpu;
    this.#source = source;
    this.#entrant = entrant;
    this.#state = stateFor(
      entrant.decoder.state ?? "full",
      roomFor(entrant.context, entrant.tokens, entrant.decoder.batch),
      entrant.decoder.policies,
    );
  }

  #contract(): ReturnType<typeof contract> {
    const { f16 } = this.#gpu.capabilities;
    return contract(
      this.#source,
      parsePolicy(this.#state, this.#entrant.decoder.policies),
      f16,
      this.#entrant.decoder.batch,
      this.#entrant.decoder.weights,
    );
  }

  /** Bytes that the decoder takes on the device. */
  size(): number {
    const { weights, state, scratch } = this.#contract();
    return weights + state + scratch;
  }

  async prepare(): Promise<void> {
    const decoder = await Decoder.load(this.#gpu, this.#source, { ...this.#entrant.decoder, state: this.#state });
    this.#decoder = decoder;
    this.#shape = { dispatches: decoder.dispatches, batch: decoder.batch };
    await warmUp(decoder, this.#prompt(), 2);
    for (const g of await groupsOf(this.#gpu, decoder.plan)) {
      this.#step = { bytes: this.#step.bytes + g.bytes, operations: this.#step.operations + g.operations };
    }
  }

  async round(): Promise<void> {
    if (this.#decoder === undefined) throw new Error("not prepared");
    this.passes.push(await pass(this.#decoder, this.#prompt(), this.#entrant.tokens));
  }

  #prompt(): number[] {
    return promptOf(this.#source.config.vocab, this.#entrant.context);
  }

  result(): DecodeResult {
    return summarise(`${this.#entrant.label}: `, this.passes, this.#entrant.context, this.#shape);
  }

  line(first: Runner): SweepLine {
    const { decode, prefill } = this.result();
    const time = (p: Pass | undefined): number => (p === undefined ? Number.NaN : p.decode_ms / p.decoded);
    return {
      label: this.#entrant.label,
      state: this.#state,
      context: this.#entrant.context,
      batch: this.#shape.batch,
      dispatches: this.#shape.dispatches,
      state_bytes: this.#contract().state,
      step_bytes: this.#step.bytes,
      step_operations: this.#step.operations,
      decode_tokens_per_second: decode.tokens_per_second,
      prefill_tokens_per_second: prefill.tokens_per_second,
      prefill_gflop_s: (prefill.tokens_per_second * matrixOperations(this.#source)) / 1e9,
      over_first: median(this.passes.map((p, i) => time(first.passes[i]) / time(p))),
      predicted_over_first: ((first.#step.bytes / this.#step.bytes) * this.#shape.batch) / first.#shape.batch,
    };
  }

  destroy(): void {
    this.#decoder?.destroy();
    this.#decoder = undefined;
  }
}
