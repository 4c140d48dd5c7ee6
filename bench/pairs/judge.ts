/** What pairs of measurements say: ratios with intervals, and whether things are as before. */
import { type Interval, measureOf, medianInterval } from "../stats.ts";
import type { Part, Turn } from "./protocol.ts";
import type { Pair } from "./turns.ts";

/** Pairs below which nothing is called as before. */
export const ENOUGH_PAIRS = 15;
/** A ratio above which things are worse, unless told. */
export const WORSE = 1.03;

/**
 * `worse` where the interval lies wholly beyond the limit, `as before` where its upper end does not reach beyond it in
 * at least 15 pairs, and otherwise `undecided`: more rounds may tell.
 */
export type Verdict = "as before" | "undecided" | "worse";

export interface Ratio extends Interval {
  readonly verdict: Verdict;
  /** This over the other, in the order of the rounds. */
  readonly rounds: readonly number[];
}

/**
 * One figure of a case, in milliseconds: the medians of both sides, and the ratios of the rounds, this side's over the
 * other's.
 */
export interface CaseReport {
  readonly name: string;
  readonly this_ms: number;
  readonly other_ms: number;
  readonly clock: Ratio;
  readonly this_cpu_ms: number | null;
  readonly other_cpu_ms: number | null;
  /** Null where CPU time was not measured, or too little to be told from none. */
  readonly cpu: Ratio | null;
  readonly verdict: Verdict;
}

export function judge({ low, high, count }: Interval, worse: number): Verdict {
  if (low > worse) return "worse";
  return high <= worse && count >= ENOUGH_PAIRS ? "as before" : "undecided";
}

function ratioOf(pairs: readonly Pair<number>[], worse: number): Ratio {
  const rounds = pairs.map(([here, there]) => here / there);
  const interval = medianInterval(rounds);
  return { ...interval, verdict: judge(interval, worse), rounds };
}

/** The worst of several verdicts. */
export function overall(verdicts: readonly Verdict[]): Verdict {
  if (verdicts.includes("worse")) return "worse";
  return verdicts.length === 0 || verdicts.includes("undecided") ? "undecided" : "as before";
}

/** Every part of the turns is a figure, named by the case and the part. */
export function caseReports(title: string, pairs: readonly Pair<Turn>[], worse: number): CaseReport[] {
  const names = Object.keys(pairs[0]?.[0].parts ?? {});
  return names.map((part) => {
    const of = (turn: Turn): Part => turn.parts[part] ?? { clock_ms: Number.NaN };
    const parts = pairs.map(([here, there]): Pair<Part> => [of(here), of(there)]);
    const middle = (values: readonly number[]): number => measureOf("", "ms", "lower", values).median;
    const clock = ratioOf(
      parts.map(([a, b]) => [a.clock_ms, b.clock_ms]),
      worse,
    );
    const cpu = parts.map(([a, b]): Pair<number> => [a.cpu_ms ?? 0, b.cpu_ms ?? 0]);
    const measured = cpu.every(([a, b]) => a > 0 && b > 0);
    const byCpu = measured ? ratioOf(cpu, worse) : null;
    return {
      name: names.length > 1 ? `${title}, ${part}` : title,
      this_ms: middle(parts.map(([a]) => a.clock_ms)),
      other_ms: middle(parts.map(([, b]) => b.clock_ms)),
      clock,
      this_cpu_ms: measured ? middle(cpu.map(([a]) => a)) : null,
      other_cpu_ms: measured ? middle(cpu.map(([, b]) => b)) : null,
      cpu: byCpu,
      verdict: overall([clock.verdict, ...(byCpu === null ? [] : [byCpu.verdict])]),
    };
  });
}

/** How many numbers two results share from the start, where they are ids. */
export function sameFromStart(a: readonly number[], b: readonly number[]): number {
  const end = a.findIndex((x, i) => x !== b[i]);
  return end < 0 ? a.length : end;
}

/** True when sums over results differ by more than rounding in another order does. */
export function sumsDiffer(a: readonly number[], b: readonly number[]): boolean {
  const size = Math.max(...a.map(Math.abs), ...b.map(Math.abs), 0);
  return a.length !== b.length || a.some((x, i) => !(Math.abs(x - (b[i] as number)) <= 1e-3 * size));
}
