/**
 * 4-bit blocks in the two layouts that matter here: ours (runtime/memory/quantise.ts) and that of ONNX Runtime's
 * MatMulNBits.
 *
 * Both hold 32 neighbours of a row as (q - 8) · scale. MatMulNBits wants elements 2j and 2j+1 in byte j, and takes
 * scales as f32; ours are f16, widened here, so that both sides multiply the very same numbers.
 */

import { blockOf } from "../../compiler/ir/formats.ts";
import { decodeF16 } from "../../runtime/memory/dtype.ts";
import { dequantise, quantise } from "../../runtime/memory/quantise.ts";

export interface NBits {
  /** [rows, blocks in a row, 16]. */
  readonly packed: Uint8Array<ArrayBuffer>;
  /** [rows, blocks in a row]. */
  readonly scales: Float32Array<ArrayBuffer>;
}

/** Quantises as our q4 does, into the layout of MatMulNBits; the length of a row must be a multiple of 32. */
export function toNBits(values: Float32Array): NBits {
  const ours = quantise(values, "q4");
  const packed = new Uint8Array(values.length / 2);
  // Ours: in each word of eight elements the low nibbles are elements 0-3, the high nibbles 4-7.
  const nibble = (i: number): number => ((ours[(i >> 3) * 4 + (i & 3)] ?? 0) >> (i & 4)) & 15;
  for (let j = 0; j < packed.length; j++) packed[j] = nibble(2 * j) | (nibble(2 * j + 1) << 4);
  const blocks = values.length / blockOf("q4");
  const at = packed.length;
  const scales = decodeF16(new Uint16Array(ours.slice(at, at + blocks * 2).buffer));
  return { packed, scales };
}

/** The numbers that our q4 keeps of these. */
export function roundedToQ4(values: Float32Array): Float32Array<ArrayBuffer> {
  return dequantise(quantise(values, "q4"), values.length, "q4");
}
