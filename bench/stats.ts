/** Medians with their spread, and what of a change is more than noise. */

/** A measured figure: median and quartiles of its rounds. */
export interface Measure {
  readonly name: string;
  readonly unit: string;
  /** Which way is up. */
  readonly better: "higher" | "lower";
  readonly median: number;
  readonly low: number;
  readonly high: number;
  readonly rounds: number;
  /** False for what belongs to the surroundings or follows from other figures: being worse in it is no regression. */
  readonly judged?: false;
}

/** The middle of some numbers; of an even count the mean of the middle two. */
export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** The value below which a share of the numbers lies, with straight lines between neighbours; NaN of nothing. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (sorted.length - 1) * share;
  const [low, high] = [sorted[Math.floor(at)] ?? Number.NaN, sorted[Math.ceil(at)] ?? Number.NaN];
  return low + (high - low) * (at - Math.floor(at));
}

export function measureOf(name: string, unit: string, better: "higher" | "lower", values: readonly number[]): Measure {
  const [low, middle, high] = [0.25, 0.5, 0.75].map((share) => quantile(values, share));
  return {
    name,
    unit,
    better,
    median: middle ?? Number.NaN,
    low: low ?? Number.NaN,
    high: high ?? Number.NaN,
    rounds: values.length,
  };
}

/** `12.3 tokens/s (11.9 to 12.6)`, or `±3 %` where there is no room. */
export function spreadOf(m: Measure): string {
  return m.rounds < 2 || m.median === 0 ? "" : `±${((100 * (m.high - m.low)) / 2 / Math.abs(m.median)).toFixed(0)} %`;
}

/** A median with the interval that holds the true one. */
export interface Interval {
  readonly median: number;
  readonly low: number;
  readonly high: number;
  /** The chance that an interval made like this one holds the true median, whatever the values' distribution. */
  readonly coverage: number;
  readonly count: number;
}

/**
 * Fewer values than this have no interval of 95 %: that the true median lies outside all n of them happens with a
 * chance of 2^(1-n).
 */
export const FEWEST_FOR_INTERVAL = 6;

/**
 * The interval of the median between two of the sorted values, as far from either end: the narrowest that holds the
 * true median with a chance of 95 % at least. The number of values below the true median is binomial with a chance of
 * one half, which assumes that values do not depend on one another and nothing else (the sign test turned round). Of
 * fewer than six values it goes from -Infinity to Infinity.
 */
export function medianInterval(values: readonly number[]): Interval {
  const sorted = values.toSorted((a, b) => a - b);
  const n = sorted.length;
  let [outside, term, rank] = [0, 2 ** -n, 0];
  // `outside` is the chance that at most `rank - 1` values lie on one side of the true median.
  while (rank < n / 2 && 2 * (outside + term) <= 0.05) {
    outside += term;
    rank++;
    term *= (n - rank + 1) / rank;
  }
  const found = rank > 0;
  return {
    median: median(sorted),
    low: found ? (sorted[rank - 1] as number) : Number.NEGATIVE_INFINITY,
    high: found ? (sorted[n - rank] as number) : Number.POSITIVE_INFINITY,
    coverage: found ? 1 - 2 * outside : 1,
    count: n,
  };
}
