/**
 * The two row orders of rotary query and key projections.
 *
 * llama2.c (and GGUF) keep the two numbers that RoPE turns together side by side: rows 2i and 2i+1 of a head. Hugging
 * Face keeps them half a head apart: rows i and i + headDim/2. Both are the same model: a dot product does not care
 * about the order of its terms as long as q and k share it.
 */
import type { WeightData } from "../weights/source.ts";

/**
 * Rows of a projection [heads * headDim, width], reordered per head from side-by-side pairs to rotate-half order.
 * The result is a new array; `headDim` is even.
 */
export function halvesFromPairs(rows: Float32Array | Uint16Array, headDim: number, width: number): WeightData {
  const out = rows instanceof Float32Array ? new Float32Array(rows.length) : new Uint16Array(rows.length);
  const half = headDim / 2;
  for (let row = 0; row * width < rows.length; row++) {
    const head = row - (row % headDim);
    const within = row % headDim;
    const from = head + (within < half ? 2 * within : 2 * (within - half) + 1);
    out.set(rows.subarray(from * width, (from + 1) * width), row * width);
  }
  return out;
}
