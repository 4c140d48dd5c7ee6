/**
 * The two tables behind models/kernels/rotate.ts: angles of positions 0 … 1023, and of their multiples by 1024, as cos and sin in f64 rounded to f32.
 */

import type { LlamaConfig } from "../config/model-config.ts";
import { ROPE_ROWS } from "../kernels/rotate.ts";

/** Positions that the tables reach. */
export const MOST_POSITIONS: number = ROPE_ROWS * ROPE_ROWS;

/** Angle in radians that a position advances each pair by: theta^(-2i / headDim), in f64 whatever the weights are stored as. */
export function frequencies(config: Pick<LlamaConfig, "headDim" | "ropeTheta">): Float64Array {
  return Float64Array.from({ length: config.headDim / 2 }, (_, i) => config.ropeTheta ** ((-2 * i) / config.headDim));
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
