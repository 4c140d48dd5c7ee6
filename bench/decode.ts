/**
 * How fast a decoder reads and writes, end to end: what a caller of `generate` sees.
 *
 * Each round reads the prompt from an empty state and writes the tokens; the time to the first token is the prefill's, the rest is decoding. Beside the rates
 * stand what the host spent: CPU time of this thread, which encodes, submits and waits.
 */
import type { Decoder } from "../models/index.ts";
import { type Measure, measureOf } from "./stats.ts";
import { processCpu, threadCpu } from "./surroundings.ts";

/** One pass: milliseconds of wall time, and of CPU time while decoding. */
export interface Pass {
  readonly prefill_ms: number;
  readonly decode_ms: number;
  /** Tokens that the decoding time covers: all but the first. */
  readonly decoded: number;
  readonly thread_cpu_ms: number | undefined;
  readonly process_cpu_ms: number;
  readonly ids: readonly number[];
}

/** Reads the prompt and writes `tokens` greedy tokens, at least two, none of which ends the text. */
export async function pass(decoder: Decoder, prompt: readonly number[], tokens: number): Promise<Pass> {
  const ids: number[] = [];
  const began = performance.now();
  let [first, thread, all] = [began, threadCpu(), processCpu()];
  for await (const id of decoder.generate(prompt, { tokens, stop: [] })) {
    if (ids.length === 0) [first, thread, all] = [performance.now(), threadCpu(), processCpu()];
    ids.push(id);
  }
  const [end, cpu] = [performance.now(), threadCpu()];
  return {
    prefill_ms: first - began,
    decode_ms: end - first,
    decoded: ids.length - 1,
    thread_cpu_ms: cpu === undefined || thread === undefined ? undefined : cpu - thread,
    process_cpu_ms: processCpu() - all,
    ids,
  };
}

export interface DecodeResult {
  readonly decode: {
    readonly tokens_per_second: number;
    readonly dispatches_per_token: number;
    readonly host_us_per_dispatch: number | null;
    readonly main_thread_share: number | null;
    readonly ms_per_token: number;
  };
  readonly prefill: { readonly tokens_per_second: number };
  readonly measures: readonly Measure[];
}

/** Medians of passes over one prompt; `name` stands before the measures' names. */
export function summarise(
  name: string,
  passes: readonly Pass[],
  promptLength: number,
  dispatches: number,
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
    each((p) => (1000 * cpu(p)) / (p.decoded * dispatches)),
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
      dispatches_per_token: dispatches,
      host_us_per_dispatch: known ? host.median : null,
      main_thread_share: known ? share.median : null,
      ms_per_token: 1000 / rate.median,
    },
    prefill: { tokens_per_second: reading.median },
    measures: known ? [rate, reading, host, share] : [rate, reading],
  };
}
