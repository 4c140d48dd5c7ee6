/**
 * Element types of tensors in device memory, and the two 16-bit float formats that JavaScript lacks.
 *
 * Rounding is to nearest, ties to even, in both directions of doubt: denormals, overflow to infinity and NaN behave as IEEE 754 hardware does. The
 * tricks are the usual ones: rebias the exponent in integer arithmetic and let a carry run into it; for f16 denormals let an f32 addition round.
 */

/** How an element is stored. Kernels widen f16 and bf16 to f32 when they load them. */
export type DType = (typeof DTYPES)[number];
export const DTYPES = ["f32", "f16", "bf16", "q8", "q4", "u32", "i32"] as const;

/** Bytes of one stored element; the block formats share the two bytes of a scale among 32 elements. */
export function bytesOf(dtype: DType): number {
  if (dtype === "q8") return 1 + 2 / 32;
  if (dtype === "q4") return 0.5 + 2 / 32;
  return dtype === "f16" || dtype === "bf16" ? 2 : 4;
}

/** f32 values to IEEE half bit patterns; what is above 65519.99 becomes infinity. */
export function encodeF16(values: Float32Array): Uint16Array<ArrayBuffer> {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const out = new Uint16Array(values.length);
  for (let i = 0; i < out.length; i++) {
    const word = bits[i] as number;
    const sign = (word >>> 16) & 0x8000;
    const size = word & 0x7fffffff;
    if (size > 0x7f800000) {
      out[i] = sign | 0x7e00 | ((size >>> 13) & 0x1ff);
    } else if (size >= 0x47800000) {
      out[i] = sign | 0x7c00;
    } else if (size >= 0x38800000) {
      const rebiased = size - 0x38000000;
      out[i] = sign | ((rebiased + 0xfff + ((rebiased >>> 13) & 1)) >>> 13);
    } else {
      // Below 2^-14 the spacing is 2^-24, which is that of f32 just above one half.
      roundFloat[0] = Math.abs(values[i] as number) + 0.5;
      out[i] = sign | ((roundBits[0] as number) - 0x3f000000);
    }
  }
  return out;
}

/** IEEE half bit patterns to f32 values, exactly. */
export function decodeF16(halves: Uint16Array): Float32Array<ArrayBuffer> {
  const table = f16Table();
  const out = new Float32Array(halves.length);
  const bits = new Uint32Array(out.buffer);
  // Bits, not numbers, so that a NaN keeps its payload.
  for (let i = 0; i < bits.length; i++) bits[i] = table[halves[i] as number] as number;
  return out;
}

/** f32 values to bfloat16 bit patterns. */
export function encodeBF16(values: Float32Array): Uint16Array<ArrayBuffer> {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const out = new Uint16Array(values.length);
  for (let i = 0; i < out.length; i++) {
    const word = bits[i] as number;
    const noNumber = (word & 0x7fffffff) > 0x7f800000;
    // A NaN whose payload sits in the lower half would otherwise turn into an infinity.
    out[i] = noNumber ? (word >>> 16) | 0x40 : (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
  }
  return out;
}

/** bfloat16 bit patterns to f32 values, exactly. */
export function decodeBF16(halves: Uint16Array): Float32Array<ArrayBuffer> {
  const out = new Float32Array(halves.length);
  const bits = new Uint32Array(out.buffer);
  for (let i = 0; i < bits.length; i++) bits[i] = (halves[i] as number) << 16;
  return out;
}

const roundFloat: Float32Array<ArrayBuffer> = new Float32Array(1);
const roundBits: Uint32Array<ArrayBuffer> = new Uint32Array(roundFloat.buffer);
let halfTable: Uint32Array | undefined;

/** The f32 bit pattern of each of the 65536 halves: weights are decoded by the million, so looking up pays at once. */
function f16Table(): Uint32Array {
  if (halfTable !== undefined) return halfTable;
  const table = new Uint32Array(65536);
  const value = new Float32Array(1);
  const pattern = new Uint32Array(value.buffer);
  for (let half = 0; half < 65536; half++) {
    const sign = (half & 0x8000) << 16;
    const exponent = (half >>> 10) & 0x1f;
    const fraction = half & 0x3ff;
    if (exponent === 0) {
      value[0] = fraction * 2 ** -24;
      table[half] = sign | (pattern[0] as number);
    } else {
      const wide = exponent === 31 ? 255 : exponent + 112;
      table[half] = sign | (wide << 23) | (fraction << 13);
    }
  }
  halfTable = table;
  return table;
}
