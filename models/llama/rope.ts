/**
 * The two tables behind models/kernels/rotate.ts: angles of positions 0 … 1023, and of their multiples by 1024, as cos and sin in f64 rounded to f32.
 */
import { decodeBF16, decodeF16, encodeBF16, encodeF16 } from "../../runtime/dtype.ts";
import { ROPE_ROWS } from "../kernels/rotate.ts";
import type { LlamaConfig } from "./config.ts";

/** Positions that the tables reach. */
export const MOST_POSITIONS: number = ROPE_ROWS * ROPE_ROWS;

/** Angle a position advances each pair by: theta^(-2i/headDim). */
export function frequencies(
  config: Pick<LlamaConfig, "headDim" | "ropeTheta">,
  rounding: "none" | "f16" | "bf16" = "none",
): Float64Array {
  const exact = Float64Array.from(
    { length: config.headDim / 2 },
    (_, i) => config.ropeTheta ** ((-2 * i) / config.headDim),
  );
  if (rounding === "none") return exact;
  const single = Float32Array.from(exact);
  return Float64Array.from(rounding === "f16" ? decodeF16(encodeF16(single)) : decodeBF16(encodeBF16(single)));
}

/**
 * Which frequencies a checkpoint is run with: `exact`, `stored` (rounded to the format of its weights) or, by default, `auto`.
 *
 * Casting a whole model to 16 bits in its training framework also casts the table of frequencies, and reference logits recorded from such a model carry that
 * rounding; loading the same files afresh does not. No config says which it was. Rounded angles drift with the position, by up to half a turn in a few hundred
 * for bf16, so `auto` follows the cast only where the whole context is too short for it to hurt, and is exact for every model anyone trains for use.
 */
export type RopeFrequencies = "auto" | "exact" | "stored";

/** Longest context for which `auto` follows the cast. */
const SHORT_CONTEXT = 256;

export function roundingOf(
  choice: RopeFrequencies,
  config: Pick<LlamaConfig, "context">,
  weights: "f32" | "f16" | "bf16",
): "none" | "f16" | "bf16" {
  if (weights === "f32" || choice === "exact") return "none";
  return choice === "stored" || config.context <= SHORT_CONTEXT ? weights : "none";
}

/** [fine and coarse, 1024, cos and sin, headDim/2]. */
export function ropeTables(freq: Float64Array): Float32Array {
  const half = freq.length;
  const out = new Float32Array(2 * ROPE_ROWS * 2 * half);
  for (let scale = 0; scale < 2; scale++) {
    for (let row = 0; row < ROPE_ROWS; row++) {
      for (let i = 0; i < half; i++) {
        const angle = row * (scale === 0 ? 1 : ROPE_ROWS) * (freq[i] ?? 0);
        const at = (scale * ROPE_ROWS + row) * 2 * half + i;
        out[at] = Math.cos(angle);
        out[at + half] = Math.sin(angle);
      }
    }
  }
  return out;
}
