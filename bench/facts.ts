/**
 * Facts about two runs, and which of them differ: settings, which must not, and surroundings, which are worth a word.
 */

export type Fact = string | number | boolean;
/** Facts by the words for them. */
export type Facts = Readonly<Record<string, Fact>>;

export interface Difference {
  readonly what: string;
  readonly a: Fact | undefined;
  readonly b: Fact | undefined;
}

/** Facts that differ, or that only one side has, in the order of the first. */
export function differences(a: Facts, b: Facts): Difference[] {
  const names = new Set([...Object.keys(a), ...Object.keys(b)]);
  return [...names].filter((what) => a[what] !== b[what]).map((what) => ({ what, a: a[what], b: b[what] }));
}

/** `adapter: llvmpipe here, SwiftShader there`; the names of the sides are up to the caller. */
export function differenceLine({ what, a, b }: Difference, here: string, there: string): string {
  const shown = (x: Fact | undefined): string => (x === undefined ? "nothing" : x === "" ? "empty" : String(x));
  return `${what}: ${shown(a)} ${here}, ${shown(b)} ${there}`;
}
