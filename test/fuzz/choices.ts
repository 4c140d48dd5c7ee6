/**
 * Random choices that can be replayed and shrunk: fast-check draws them, and makes a failing list of them smaller.
 *
 * A generator asks for small numbers; what it got is remembered. A failing program is made smaller by making the list
 * of answers smaller (shorter, or nearer to zero) and generating again, so every shrunk program is well-typed by
 * construction. The idea is Hypothesis's.
 */
import fc from "fast-check";

/** Any word of 32 bits, all alike likely. */
const WORD: fc.Arbitrary<number> = fc.nat({ max: 2 ** 32 - 1 });

export class Choices {
  readonly taken: number[] = [];
  readonly #given: readonly number[] | undefined;
  readonly #words: Iterator<number>;

  /** Draws from `seed`, or replays what was `given`. */
  constructor(seed: number, given?: readonly number[]) {
    this.#given = given;
    const [words] = fc.sample(fc.infiniteStream(fc.noBias(WORD)), { seed: seed | 0, numRuns: 1 });
    this.#words = words as Iterator<number>;
  }

  /** A number below `n`; 0 is the simplest answer and what a replay gives once its list has run out. */
  below(n: number): number {
    const word = this.#given === undefined ? this.#words.next().value : this.#given[this.taken.length];
    const value = (word ?? 0) % n;
    this.taken.push(value);
    return value;
  }

  of<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T;
  }

  chance(percent: number): boolean {
    return this.below(100) >= 100 - percent;
  }
}

/** The smallest list found for which `fails` still holds, within `budget` tries. */
export async function shrink(
  first: readonly number[],
  fails: (choices: readonly number[]) => Promise<boolean>,
  budget: number,
): Promise<readonly number[]> {
  let left = budget;
  const passes = fc.asyncProperty(fc.array(WORD), async (choices) => left-- <= 0 || !(await fails(choices)));
  const { counterexample } = await fc.check(passes, { examples: [[[...first]]], numRuns: 1 });
  return counterexample?.[0] ?? first;
}
