/**
 * The block-quantised formats: 32 neighbours of the last dim share one f16 scale, as in GGUF's Q8_0 and Q4_0, whose rounding this follows.
 *
 * The bytes lie as the compiler reads them (compiler/lower/load-store.ts): all elements first, four (q8) or eight (q4) to a word, then all scales. In a q4 word the low
 * nibbles of the four bytes are elements 0-3 and the high nibbles elements 4-7, so that both halves unpack with one mask.
 */
import { decodeF16, encodeF16 } from "./dtype.ts";

export const QUANT_BLOCK = 32;

/** Rounds floats to blocks; the length must be a multiple of 32. */
export function quantise(values: Float32Array, format: "q8" | "q4"): Uint8Array<ArrayBuffer> {
  const { elements, scales } = quantiseBlocks(values, format);
  const out = new Uint8Array(elements.length + scales.byteLength);
  out.set(elements);
  out.set(new Uint8Array(scales.buffer), elements.length);
  return out;
}

/** The two parts of a block format, for those who write a large tensor piece by piece. Models have billions of elements, so the loops are plain. */
export function quantiseBlocks(
  values: Float32Array,
  format: "q8" | "q4",
): { readonly elements: Uint8Array<ArrayBuffer>; readonly scales: Uint16Array<ArrayBuffer> } {
  const scales = new Float32Array(values.length / QUANT_BLOCK);
  const elements = new Uint8Array(format === "q8" ? values.length : values.length / 2);
  for (let b = 0; b < scales.length; b++) {
    const [from, to] = [b * QUANT_BLOCK, (b + 1) * QUANT_BLOCK];
    // The element of largest magnitude, with its sign: q4 has one more step below zero than above it.
    let extreme = 0;
    for (let i = from; i < to; i++) {
      const x = values[i] as number;
      if (Math.abs(x) > Math.abs(extreme)) extreme = x;
    }
    scales[b] = format === "q8" ? Math.abs(extreme) / 127 : extreme / -8;
    const inverse = scales[b] === 0 ? 0 : 1 / (scales[b] as number);
    if (format === "q8") {
      for (let i = from; i < to; i++) elements[i] = Math.floor((values[i] as number) * inverse + 0.5);
      continue;
    }
    for (let i = from; i < to; i++) {
      const q = Math.max(0, Math.min(15, Math.floor((values[i] as number) * inverse + 8.5)));
      const byte = (i >> 3) * 4 + (i & 3);
      elements[byte] = (elements[byte] as number) | (q << (i & 4));
    }
  }
  return { elements, scales: encodeF16(scales) };
}

/** The values that the blocks stand for: `count` elements, and behind them their scales. */
export function dequantise(bytes: Uint8Array, count: number, format: "q8" | "q4"): Float32Array<ArrayBuffer> {
  const start = count * (format === "q8" ? 1 : 0.5);
  const scales = new Uint16Array(bytes.slice(start, start + (count / QUANT_BLOCK) * 2).buffer);
  return dequantiseBlocks(bytes, scales, count, format);
}

/** The same from the two parts, with the bits of the scales. */
export function dequantiseBlocks(
  elements: Uint8Array,
  scaleBits: Uint16Array,
  count: number,
  format: "q8" | "q4",
): Float32Array<ArrayBuffer> {
  const scales = decodeF16(scaleBits);
  return Float32Array.from({ length: count }, (_, i) => {
    const scale = scales[Math.floor(i / QUANT_BLOCK)] ?? 0;
    if (format === "q8") return (((elements[i] ?? 0) << 24) >> 24) * scale;
    const byte = elements[(i >> 3) * 4 + (i & 3)] ?? 0;
    return (((byte >> (i & 4)) & 15) - 8) * scale;
  });
}
