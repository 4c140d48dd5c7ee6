/**
 * The block-quantised formats: 32 neighbours of the last dim share one f16 scale, as in GGUF's Q8_0 and Q4_0, whose rounding this follows.
 *
 * The bytes lie as the compiler reads them (compiler/memory.ts): all elements first, four (q8) or eight (q4) to a word, then all scales. In a q4 word the low
 * nibbles of the four bytes are elements 0-3 and the high nibbles elements 4-7, so that both halves unpack with one mask.
 */
import { decodeF16, encodeF16 } from "./dtype.ts";

export const QUANT_BLOCK = 32;

/** Rounds floats to blocks; the length must be a multiple of 32. */
export function quantise(values: Float32Array, format: "q8" | "q4"): Uint8Array<ArrayBuffer> {
  const blocks = values.length / QUANT_BLOCK;
  const per = format === "q8" ? 1 : 0.5;
  const scales = new Float32Array(blocks);
  const out = new Uint8Array(values.length * per + blocks * 2);
  for (let b = 0; b < blocks; b++) {
    const part = values.subarray(b * QUANT_BLOCK, (b + 1) * QUANT_BLOCK);
    // The element of largest magnitude, with its sign: q4 has one more step below zero than above it.
    const extreme = part.reduce((m, x) => (Math.abs(x) > Math.abs(m) ? x : m), 0);
    scales[b] = format === "q8" ? Math.abs(extreme) / 127 : extreme / -8;
    const inverse = scales[b] === 0 ? 0 : 1 / (scales[b] as number);
    for (const [i, x] of part.entries()) {
      const at = b * QUANT_BLOCK + i;
      if (format === "q8") out[at] = Math.max(-127, Math.min(127, Math.round(x * inverse)));
      else {
        const q = Math.max(0, Math.min(15, Math.floor(x * inverse + 8.5)));
        const byte = (at >> 3) * 4 + (at & 3);
        out[byte] = (out[byte] as number) | (q << (at & 4));
      }
    }
  }
  out.set(new Uint8Array(encodeF16(scales).buffer), values.length * per);
  return out;
}

/** The values that the blocks stand for. */
export function dequantise(bytes: Uint8Array, count: number, format: "q8" | "q4"): Float32Array<ArrayBuffer> {
  const per = format === "q8" ? 1 : 0.5;
  const start = count * per;
  const scales = decodeF16(new Uint16Array(bytes.slice(start, start + (count / QUANT_BLOCK) * 2).buffer));
  return Float32Array.from({ length: count }, (_, i) => {
    const scale = scales[Math.floor(i / QUANT_BLOCK)] ?? 0;
    if (format === "q8") return (((bytes[i] ?? 0) << 24) >> 24) * scale;
    const byte = bytes[(i >> 3) * 4 + (i & 3)] ?? 0;
    return (((byte >> (i & 4)) & 15) - 8) * scale;
  });
}
