/**
 * Index expressions as polynomials: sums of products of quantities whose values are not known.
 *
 * A quantity stands for the same number wherever its key and all that it varies with are the same. Arithmetic is that
 * of u32, so equalities hold modulo 2^32; bounds are those of natural numbers.
 */

/**
 * A number that is not known while compiling: a size, an index of an axis, the turn of a loop, a quotient, an element
 * of a tensor.
 */
export interface Quantity {
  readonly key: string;
  /** What its value depends on: `axis:3` (the place along an axis), `turn:7` (the turn of a loop), `program:rows`. */
  readonly varies: ReadonlySet<string>;
  /** The least value, and numbers that each are larger than every value. */
  readonly from: Polynomial;
  readonly below: readonly Polynomial[];
  /** May be taken for a natural number: it is u32 and does not come from a tensor. */
  readonly natural: boolean;
  readonly least: number;
  /** It is one of its own variables, so equal values mean equal places. */
  readonly variable?: string;
  /** How it came about, where equal results tell something of the operands. */
  readonly made?: { readonly fn: "div" | "rem" | "xor"; readonly x: Polynomial; readonly y: Polynomial };
  /** Read from a tensor somewhere. */
  readonly data: boolean;
}

export interface Term {
  readonly by: number;
  readonly factors: readonly Quantity[];
}

/** Terms by the keys of their factors; no term has the factor 0. */
export type Polynomial = ReadonlyMap<string, Term>;

/** More terms than this are not worth looking at. */
const MOST_TERMS = 48;

export const ZERO: Polynomial = new Map();

export function ofNumber(value: number): Polynomial {
  // 2^32 - 1 is how u32 says -1.
  const by = value >= 2 ** 31 ? value - 2 ** 32 : value;
  return by === 0 ? ZERO : new Map([["", { by, factors: [] }]]);
}

export function ofQuantity(q: Quantity): Polynomial {
  return new Map([[q.key, { by: 1, factors: [q] }]]);
}

function collect(terms: Iterable<Term>): Polynomial {
  const out = new Map<string, Term>();
  for (const t of terms) {
    const key = t.factors.map((f) => f.key).join(" ");
    const by = (out.get(key)?.by ?? 0) + t.by;
    if (by === 0) out.delete(key);
    else out.set(key, { by, factors: t.factors });
  }
  return out;
}

/** a + by · b */
export function plus(a: Polynomial, b: Polynomial, by = 1): Polynomial {
  return collect([...a.values(), ...[...b.values()].map((t) => ({ ...t, by: t.by * by }))]);
}

/** a · b; undefined where it has too many terms or too large numbers. */
export function times(a: Polynomial, b: Polynomial): Polynomial | undefined {
  if (a.size * b.size > MOST_TERMS) return undefined;
  const made = collect(
    [...a.values()].flatMap((s) =>
      [...b.values()].map((t) => ({
        by: s.by * t.by,
        factors: [...s.factors, ...t.factors].sort(byKey),
      })),
    ),
  );
  return [...made.values()].every((t) => Math.abs(t.by) < 2 ** 31) ? made : undefined;
}

/** The polynomial in other quantities. */
export function renamed(p: Polynomial, to: (q: Quantity) => Quantity): Polynomial {
  const sorted = (factors: readonly Quantity[]): Quantity[] => [...factors].sort(byKey);
  return collect([...p.values()].map((t) => ({ by: t.by, factors: sorted(t.factors.map(to)) })));
}

function byKey(x: Quantity, y: Quantity): number {
  return x.key < y.key ? -1 : x.key > y.key ? 1 : 0;
}

/** A text that is the same for equal polynomials. */
export function textOf(p: Polynomial): string {
  const terms = [...p.entries()].map(([key, t]) => `${t.by}*${key}`);
  return `{${terms.sort().join(" + ")}}`;
}

export function quantitiesOf(p: Polynomial): Quantity[] {
  return [...p.values()].flatMap((t) => t.factors);
}

/** Is this larger than 0, whatever the quantities are? */
export function positive(p: Polynomial): boolean {
  let least = 0;
  for (const { by, factors } of p.values()) {
    if (factors.length > 0 && (by < 0 || !factors.every((f) => f.natural))) return false;
    least += by * factors.reduce((n, f) => n * f.least, 1);
  }
  return least > 0;
}

/** Is this surely a natural number? */
export function notNegative(p: Polynomial): boolean {
  return positive(plus(p, ofNumber(1)));
}

/**
 * The largest (`sign` 1) or least (-1) value of a polynomial over the quantities that vary, as a polynomial in the
 * others; undefined where it has no bound. `which` chooses among the bounds of a quantity that has several.
 */
export function extreme(
  p: Polynomial,
  sign: 1 | -1,
  varies: (q: Quantity) => boolean,
  which: number,
): Polynomial | undefined {
  let sum: Polynomial | undefined = ZERO;
  for (const t of p.values()) {
    const [own, ...more] = t.factors.filter(varies);
    const rest: Polynomial = collect([{ by: t.by, factors: t.factors.filter((f) => f !== own) }]);
    if (own === undefined) {
      sum = plus(sum, rest);
      continue;
    }
    if (more.length > 0 || !t.factors.every((f) => f === own || f.natural)) return undefined;
    const below = own.below[Math.min(which, own.below.length - 1)];
    const top = t.by * sign > 0;
    if (top ? below === undefined : !own.natural) return undefined;
    const bound: Polynomial = top && below !== undefined ? plus(below, ofNumber(1), -1) : own.from;
    const product: Polynomial | undefined = times(rest, bound);
    if (product === undefined) return undefined;
    sum = plus(sum, product);
  }
  return sum;
}
