/**
 * The noise of a draw as numbers should have it, in float64 and from another form than the kernels': a word is a place
 * among 2^32 of a uniform number, what is left to 1 behind it is the tail of an exponential, and the noise is minus the
 * logarithm of that exponential.
 */

const FACTOR = 747796405;
const TERM = 2891336453;
const TWIST = 277803737;

/** The hash of dsl/helpers.ts in the host's integers. */
export function pcg(word: number): number {
  const state = (Math.imul(word, FACTOR) + TERM) >>> 0;
  const mixed = Math.imul(((state >>> ((state >>> 28) + 4)) ^ state) >>> 0, TWIST) >>> 0;
  return ((mixed >>> 22) ^ mixed) >>> 0;
}

/** The word of (seed, counter, lane). */
export function wordAt(seed: number, counter: number, lane: number): number {
  return pcg((pcg((pcg(seed) ^ counter) >>> 0) ^ lane) >>> 0);
}

/** The lane at which (seed, counter) has this word. */
export function laneOf(seed: number, counter: number, word: number): number {
  return (unpcg(word) ^ pcg((pcg(seed) ^ counter) >>> 0)) >>> 0;
}

/** What `pcg` takes to this word. */
function unpcg(word: number): number {
  const twisted = Math.imul((word ^ (word >>> 22)) >>> 0, inverse(TWIST)) >>> 0;
  const by = (twisted >>> 28) + 4;
  let state = twisted;
  for (let known = by; known < 32; known += by) state = ((state >>> by) ^ twisted) >>> 0;
  return Math.imul(state - TERM, inverse(FACTOR)) >>> 0;
}

/** The odd number that makes 1 of an odd number, in 32 bits. */
function inverse(odd: number): number {
  let x = odd;
  for (let i = 0; i < 5; i++) x = Math.imul(x, 2 - Math.imul(odd, x));
  return x;
}

/** The share of (0, 1) that lies above a word. */
export function tail(word: number): number {
  return (2 ** 32 - word - 0.5) / 2 ** 32;
}

/** The noise of a word. */
export function noise(word: number): number {
  return -Math.log(-Math.log1p(-tail(word)));
}
