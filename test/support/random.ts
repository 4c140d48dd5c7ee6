/** Seeded random numbers for tests: the same on every runtime, so that a printed seed repeats a failure. */

/**
 * The seed of random programs in the suite. Always the same, so that what passed once passes again; `npm run fuzz`
 * tries others.
 */
export const SEED = 1;

/** Uniform numbers in [0, 1): a 32-bit counter through the finaliser of MurmurHash3. */
export function uniform(seed: number): () => number {
  let counter = seed >>> 0;
  return () => {
    counter = (counter + 0x9e3779b9) >>> 0;
    let x = counter;
    x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
    x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
    return ((x ^ (x >>> 16)) >>> 0) / 2 ** 32;
  };
}

/** Normally distributed numbers (Box-Muller). */
export function normal(seed: number): () => number {
  const next = uniform(seed);
  return () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
}

/** `count` token ids below `vocab`. */
export function randomIds(seed: number, count: number, vocab: number): number[] {
  const next = uniform(seed);
  return Array.from({ length: count }, () => Math.floor(next() * vocab));
}
