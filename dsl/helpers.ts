/**
 * Small functions written in the kernel language itself.
 *
 * They are inlined where they are called, like any helper function of a user: nothing here is known to the compiler.
 */
import { bitcast, cast, exp, full, log, min, select } from "./words.ts";

/**
 * x · sigmoid(x), the activation of SwiGLU (Shazeer 2020).
 * @param x f32
 */
export function silu(x: number): number {
  return x / (1 + exp(-x));
}

/**
 * 1 / (1 + e^-x).
 * @param x f32
 */
export function sigmoid(x: number): number {
  return 1 / (1 + exp(-x));
}

/**
 * A hash of one word (PCG output function RXS-M-XS, O'Neill 2014): u32 -> u32.
 * @param word u32
 */
export function pcg(word: number): number {
  const state = cast(word, "u32") * 747796405 + 2891336453;
  const mixed = ((state >> ((state >> 28) + 4)) ^ state) * 277803737;
  return (mixed >> 22) ^ mixed;
}

/** A word that depends on (seed, counter, lane) alone: u32. */
function wordOf(seed: number, counter: number, lane: number): number {
  return pcg(pcg(pcg(seed) ^ cast(counter, "u32")) ^ cast(lane, "u32"));
}

/**
 * The middle of the word's place among 2^32 in (0, 1), as f32 has it: what is less than half a step below 1 stays below
 * 1.
 */
function share(word: number): number {
  return min((cast(word, "f32") + 0.5) * 2.3283064365386963e-10, 0.99999994);
}

/**
 * A uniform number in (0, 1), the same for the same (seed, counter, lane) on every adapter.
 * @param seed u32, of a text
 * @param counter u32, of a draw
 * @param lane u32, of a number in it
 */
export function uniform(seed: number, counter: number, lane: number): number {
  return share(wordOf(seed, counter, lane));
}

/**
 * Gumbel noise: adding it to logits and taking the largest draws from their softmax. From -3.2 to 22.9, the same for
 * the same (seed, counter, lane) on every adapter, but for the last digits.
 * @param seed u32, of a text
 * @param counter u32, of a draw
 * @param lane u32, of a number in it
 */
export function gumbel(seed: number, counter: number, lane: number): number {
  return -log(waiting(wordOf(seed, counter, lane)));
}

/**
 * -log of the middle of the word's place in (0, 1). A draw is decided by words near 2^32, where f32 has few numbers and
 * adapters know log to a step at best: there it is the logarithm of 1 - t for the share t that is left, of which f32
 * has all 32 bits, as the series of artanh(t / (2 - t)).
 */
function waiting(word: number): number {
  const t = (cast(~word, "f32") + 0.5) * 2.3283064365386963e-10;
  const s = t / (2 - t);
  const q = s * s;
  const series = 2 * s * (1 + q * (0.3333333333 + q * (0.2 + q * 0.1428571429)));
  return select(t < 0.25, series, -log(share(word)));
}

/**
 * A list of the dim `k` that holds nothing yet, for `topk` in a loop.
 * @param k name of the dim
 */
export function emptyTopk(k: string): [values: number, places: number] {
  return [full(k, -Infinity), full(k, cast(0xffffffff, "u32"))];
}

/**
 * A u32 that sorts as the f32 does; both zeros are one.
 * @param x f32
 */
export function sortable(x: number): number {
  const bits = bitcast(x, "u32");
  return select(bitcast(x, "i32") < 0, 0 - bits, bits | 0x80000000);
}
