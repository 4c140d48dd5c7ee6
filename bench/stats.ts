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
