/**
 * Small functions written in the kernel language itself.
 *
 * They are inlined where they are called, like any helper function of a user: nothing here is known to the compiler.
 */
import { bitcast, cast, exp, full, log } from "./words.ts";

/** x · sigmoid(x), the activation of SwiGLU (Shazeer 2020). */
export function silu(x: number): number {
  return x / (1 + exp(-x));
}

/** 1 / (1 + e^-x). */
export function sigmoid(x: number): number {
  return 1 / (1 + exp(-x));
}

/** A hash of one word (PCG output function RXS-M-XS, O'Neill 2014): u32 -> u32. */
export function pcg(word: number): number {
  const state = cast(word, "u32") * 747796405 + 2891336453;
  const mixed = ((state >> ((state >> 28) + 4)) ^ state) * 277803737;
  return (mixed >> 22) ^ mixed;
}

/** A uniform number in (0, 1), the same for the same (seed, counter, lane) on every adapter. */
export function uniform(seed: number, counter: number, lane: number): number {
  const bits = pcg(pcg(pcg(seed) ^ cast(counter, "u32")) ^ cast(lane, "u32"));
  return (cast(bits >> 8, "f32") + 0.5) * 5.9604644775390625e-8;
}

/** Gumbel noise: adding it to logits and taking the largest draws from their softmax. */
export function gumbel(seed: number, counter: number, lane: number): number {
  return -log(-log(uniform(seed, counter, lane)));
}

/** A list of the dim `k` that holds nothing yet, for `topk` in a loop. */
export function emptyTopk(k: string): [values: number, places: number] {
  return [full(k, -Infinity), full(k, cast(0xffffffff, "u32"))];
}

/** Bits of an f32 as a u32 that sorts in the same order. */
export function sortable(x: number): number {
  const bits = bitcast(x, "u32");
  const sign = bits >> 31;
  return bits ^ ((0 - sign) | 0x80000000);
}
