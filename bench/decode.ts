/**
 * How fast a decoder reads and writes, end to end: what a caller of `generate` sees.
 *
 * Each round reads the prompt from an empty state and writes the tokens; the time to the first token is the prefill's,
 * the rest is decoding. Beside the rates stand what the host spent: CPU time of this thread, which encodes, submits and
 * waits.
 */
import type { Decoder } from "../models/index.ts";
import { UserError } from "../runtime/common/errors.ts";
import { type Measure, measureOf, median } from "./stats.ts";
import { processCpu, threadCpu } from "./surroundings.ts";

/** One pass: milliseconds of wall time and of CPU time. */
export interface Pass {
  readonly prefill_ms: number;
  /** CPU time of all threads until the first token. */
  readonly prefill_cpu_ms: number;
  readonly decode_ms: number;
  /** Tokens that the decoding time covers, of all sequences together. */
  readonly decoded: number;
  /** Steps that it took: as many as tokens, but for a batch. */
  readonly steps: number;
  readonly thread_cpu_ms: number | undefined;
  /** CPU time of all threads while decoding. */
  readonly process_cpu_ms: number;
  readonly ids: readonly number[];
}

/**
 * Reads the prompt and writes `tokens` greedy tokens, at least two, none of which ends the text. A decoder of a batch
 * reads it for every sequence; what counts is the stretch in which all of them write.
 */
export async function pass(decoder: Decoder, prompt: readonly number[], tokens: number): Promise<Pass> {
  return decoder.batch > 1 ? batchPass(decoder, prompt, tokens) : singlePass(decoder, prompt, tokens);
}

async function singlePass(decoder: Decoder, prompt: readonly number[], tokens: number): Promise<Pass> {
  const ids: number[] = [];
  const [began, before] = [performance.now(), processCpu()];
  let [first, thread, all] = [began, threadCpu(), before];
  for await (const id of decoder.generate(prompt, { tokens, stop: [] })) {
    if (ids.length === 0) [first, thread, all] = [performance.now(), threadCpu(), processCpu()];
    ids.push(id);
  }
  const [end, cpu] = [performance.now(), threadCpu()];
  if (ids.length < 2) throw new UserError(`expected at least two tokens to time, got ${ids.length}`);
  return {
    prefill_ms: first - began,
    prefill_cpu_ms: all - before,
    decode_ms: end - first,
    decoded: ids.length - 1,
    steps: ids.length - 1,
    thread_cpu_ms: cpu === undefined || thread === undefined ? undefined : cpu - thread,
    process_cpu_ms: processCpu() - all,
    ids,
  };
}

/**
 * Tokens that each sequence of a batch may write for `tokens` of them to be timed: those that begin first write while
 * the others' prompts are read, which takes no longer than as many steps as the prompts have tokens, and some for what
 * comes with a prompt.
 */
export function tokensOfBatch(batch: number, tokens: number, context: number): number {
  return batch > 1 ? tokens + batch * (context + 64) : tokens;
}

/** Compiles and settles whatever a pass needs: a whole pass with few tokens, untimed. */
export async function warmUp(decoder: Decoder, prompt: readonly number[], tokens: number): Promise<void> {
  const prompts = new Array<readonly number[]>(decoder.batch).fill(prompt);
  for await (const { id } of decoder.generateAll(prompts, { tokens, stop: [] })) void id;
}

interface Mark {
  readonly at: number;
  readonly thread: number | undefined;
  readonly all: number;
}

async function batchPass(decoder: Decoder, prompt: readonly number[], tokens: number): Promise<Pass> {
  const { batch } = decoder;
  const mark = (): Mark => ({ at: performance.now(), thread: threadCpu(), all: processCpu() });
  const made: number[] = new Array(batch).fill(0);
  const ids: number[] = [];
  const [began, before] = [performance.now(), processCpu()];
  let [start, end, counted]: [Mark | undefined, Mark, number] = [undefined, mark(), 0];
  const most = tokensOfBatch(batch, tokens, prompt.length);
  const texts = decoder.generateAll(new Array<readonly number[]>(batch).fill(prompt), { tokens: most, stop: [] });
  for await (const { sequence, id } of texts) {
    made[sequence] = (made[sequence] ?? 0) + 1;
    if (sequence === 0 && ids.length < tokens) ids.push(id);
    if (start !== undefined) counted++;
    else if (made.every((n) => n > 0)) start = mark();
    end = mark();
    // Once a sequence is at its end the batch is no longer full.
    if ((made[sequence] ?? 0) >= most || counted >= batch * (tokens - 1)) break;
  }
  if (start === undefined || counted < batch) {
    throw new UserError(
      `a batch of ${batch} wrote too little together to be timed: some texts ended before all had begun`,
      {
        hint: "take more tokens, or a shorter context",
      },
    );
  }
  return {
    prefill_ms: (start.at - began) / batch,
    prefill_cpu_ms: (start.all - before) / batch,
    decode_ms: end.at - start.at,
    decoded: counted,
    steps: counted / batch,
    thread_cpu_ms: start.thread === undefined || end.thread === undefined ? undefined : end.thread - start.thread,
    process_cpu_ms: end.all - start.all,
    ids,
  };
}

export interface DecodeResult {
  readonly decode: {
    readonly tokens_per_second: number;
    readonly dispatches_per_token: number;
    readonly host_us_per_dispatch: number | null;
    readonly main_thread_share: number | null;
    /** Of a step, which writes a token of every sequence. */
    readonly ms_per_step: number;
  };
  readonly prefill: { readonly tokens_per_second: number };
  readonly measures: readonly Measure[];
}

/** Medians of passes over one prompt; `name` stands before the measures' names. */
export function summarise(
  name: string,
  passes: readonly Pass[],
  promptLength: number,
  { dispatches, batch }: Pick<Decoder, "dispatches" | "batch">,
): DecodeResult {
  const each = (of: (p: Pass) => number): number[] => passes.map(of);
  const rate = measureOf(
    `${name}decode`,
    "tokens/s",
    "higher",
    each((p) => (1000 * p.decoded) / p.decode_ms),
  );
  const reading = measureOf(
    `${name}prefill`,
    "tokens/s",
    "higher",
    each((p) => (1000 * promptLength) / p.prefill_ms),
  );
  const cpu = (p: Pass): number => p.thread_cpu_ms ?? Number.NaN;
  const host = measureOf(
    `${name}host`,
    "us/dispatch",
    "lower",
    each((p) => (1000 * cpu(p)) / (p.steps * dispatches)),
  );
  const share = measureOf(
    `${name}main thread`,
    "of a core",
    "lower",
    each((p) => cpu(p) / p.decode_ms),
  );
  const known = passes.every((p) => p.thread_cpu_ms !== undefined);
  return {
    decode: {
      tokens_per_second: rate.median,
      dispatches_per_token: dispatches / batch,
      host_us_per_dispatch: known ? host.median : null,
      main_thread_share: known ? share.median : null,
      ms_per_step: median(each((p) => p.decode_ms / p.steps)),
    },
    prefill: { tokens_per_second: reading.median },
    measures: known ? [rate, reading, host, share] : [rate, reading],
  };
}
