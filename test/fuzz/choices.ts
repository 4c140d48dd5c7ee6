/**
 * Random choices that can be replayed and shrunk.
 *
 * A generator asks for small numbers; what it got is remembered. A failing program is made smaller by making the list of answers smaller (shorter, or nearer
 * to zero) and generating again, so every shrunk program is well-typed by construction. The idea is Hypothesis's.
 */
export class Choices {
  readonly taken: number[] = [];
  readonly #given: readonly number[] | undefined;
  #state: number;

  constructor(seed: number, given?: readonly number[]) {
    this.#state = seed >>> 0;
    this.#given = given;
  }

  /** A number below `n`; 0 is the simplest answer and what a replay gives once its list has run out. */
  below(n: number): number {
    const fresh = this.#given === undefined ? this.#next() : (this.#given[this.taken.length] ?? 0);
    const value = fresh % n;
    this.taken.push(value);
    return value;
  }

  of<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T;
  }

  chance(percent: number): boolean {
    return this.below(100) >= 100 - percent;
  }

  /** Mulberry32. */
  #next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  }
}

/** The smallest list found for which `fails` still holds, within `budget` tries. */
export async function shrink(
  first: readonly number[],
  fails: (choices: readonly number[]) => Promise<boolean>,
  budget: number,
): Promise<readonly number[]> {
  let best = first;
  let left = budget;
  const attempt = async (next: readonly number[]): Promise<boolean> => {
    if (left <= 0) return false;
    left--;
    if (!(await fails(next))) return false;
    best = next;
    return true;
  };
  for (let size = Math.ceil(best.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = 0; at < best.length && left > 0; ) {
      const shorter = [...best.slice(0, at), ...best.slice(at + size)];
      if (!(await attempt(shorter))) at += size;
    }
  }
  for (let at = 0; at < best.length && left > 0; ) {
    const value = best[at] ?? 0;
    let smallerFails = false;
    for (const smaller of [0, value >> 1, value - 1]) {
      if (smaller >= value || smaller < 0) continue;
      smallerFails = await attempt(best.map((x, i) => (i === at ? smaller : x)));
      if (smallerFails) break;
    }
    if (!smallerFails) at++;
  }
  return best;
}
