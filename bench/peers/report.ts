/**
 * What the rounds say: medians with their spread, ratios of neighbouring runs, and where greedy texts part.
 */
import { median } from "../stats.ts";
import type { About, Run, Span, Top } from "./protocol.ts";

/** The median and the extremes of some values. */
export interface Spread {
  readonly median: number;
  readonly least: number;
  readonly most: number;
}

export interface Phase {
  readonly tokens_per_second: Spread;
  /** CPU time a token over all threads of the engine's process; on a software adapter that is the work itself. */
  readonly cpu_ms_per_token: Spread;
}

export interface EngineReport extends About {
  readonly prefill: Phase;
  readonly decode: Phase;
  readonly ids: readonly number[];
  /** Whether every round gave the same ids. */
  readonly steady: boolean;
}

/** How many times faster we are, round by round; `by_cpu` is the same of CPU times. */
export interface Ratio {
  readonly speed: Spread;
  readonly by_cpu: Spread;
}

export interface Comparison extends Agreement {
  readonly against: string;
  readonly prefill: Ratio;
  readonly decode: Ratio;
  /**
   * The same for a run outside the measurement, in which they read the prompt in small pieces; only where the measured
   * texts part.
   */
  readonly in_pieces?: Agreement & { readonly piece: number };
}

export interface Agreement {
  /** Tokens that are the same from the start, of all that were made. */
  readonly same_ids: number;
  readonly of: number;
  /** Where the texts part: what each side thought of the next token there. */
  readonly parting?: Parting;
}

export interface Parting {
  readonly ours: Top;
  readonly theirs: Top;
  /** How far apart our two likeliest tokens are, in standard deviations of the logits. */
  readonly margin: number;
}

export function spread(values: readonly number[]): Spread {
  if (values.length === 0) throw new RangeError("expected at least one value");
  return { median: median(values), least: Math.min(...values), most: Math.max(...values) };
}

/** All rounds of one engine. `prompt` is the number of tokens that were read in each. */
export function summarise(about: About, runs: readonly Run[], prompt: number): EngineReport {
  const ids = runs[0]?.ids ?? [];
  const phase = (part: "prefill" | "decode", tokens: (run: Run) => number): Phase => ({
    tokens_per_second: spread(runs.map((r) => tokens(r) / r[part].seconds)),
    cpu_ms_per_token: spread(runs.map((r) => (r[part].cpu * 1e3) / tokens(r))),
  });
  return {
    ...about,
    prefill: phase("prefill", () => prompt),
    decode: phase("decode", (r) => r.decoded),
    ids,
    steady: runs.every((r) => commonLength(r.ids, ids) === ids.length),
  };
}

/** How many times faster we were: their time over ours, for the prompt or for each decoded token. */
export function ratio(part: "prefill" | "decode", ours: readonly Run[], theirs: readonly Run[]): Ratio {
  if (ours.length !== theirs.length) throw new RangeError(`${ours.length} rounds against ${theirs.length}`);
  const time = (r: Run, what: keyof Span): number => r[part][what] / (part === "decode" ? r.decoded : 1);
  const of = (what: keyof Span): Spread => spread(ours.map((r, i) => time(theirs[i] as Run, what) / time(r, what)));
  return { speed: of("seconds"), by_cpu: of("cpu") };
}

/** How many elements two lists share from the start. */
export function commonLength(a: readonly number[], b: readonly number[]): number {
  const end = a.findIndex((x, i) => x !== b[i]);
  return end < 0 ? a.length : end;
}

/** The distance between the two likeliest tokens, in standard deviations of the logits. */
export function marginOf({ best, second, deviation }: Top): number {
  return (best.logit - second.logit) / deviation;
}

/** The prompt of every run: ids that look random and are the same for all. */
export function promptIds(length: number, vocab: number): number[] {
  return Array.from({ length }, (_, i) => 1 + ((i * 7919) % (vocab - 1)));
}
