/**
 * Element types of tensors in device memory, and the two 16-bit float formats that JavaScript lacks.
 *
 * Rounding is to nearest, ties to even, in both directions of doubt: denormals, overflow to infinity and NaN behave as
 * IEEE 754 hardware does. The tricks are the usual ones: rebias the exponent in integer arithmetic and let a carry run
 * into it; for f16 denormals let an f32 addition round.
 */
import { type Code, FORMATS, formatOf, type StorageType } from "../../compiler/ir/formats.ts";

/** How an element is stored. Kernels widen what is narrower than f32 when they load it. */
export type DType = StorageType;
export const DTYPES: readonly DType[] = Object.keys(FORMATS) as DType[];

/** Bytes of one stored element; the block formats share the bytes of a scale among the elements of a block. */
export { bytesOf } from "../../compiler/ir/formats.ts";

type SmallFloat = Code & { kind: "float" };
type Codes = Uint8Array<ArrayBuffer> | Uint16Array<ArrayBuffer>;

/** f32 values to the codes of a format that is a float narrower than f32. */
export function encodeFloats(values: Float32Array, dtype: DType): Codes {
  if (dtype === "f16") return encodeF16(values);
  return dtype === "bf16" ? encodeBF16(values) : encodeSmall(values, smallFloat(dtype));
}

/** The codes of such a format to f32 values, exactly. */
export function decodeFloats(codes: Uint8Array | Uint16Array, dtype: DType): Float32Array<ArrayBuffer> {
  if (codes instanceof Uint16Array) return dtype === "f16" ? decodeF16(codes) : decodeBF16(codes);
  const table = smallTable(smallFloat(dtype));
  const out = new Float32Array(codes.length);
  for (let i = 0; i < out.length; i++) out[i] = table[codes[i] as number] as number;
  return out;
}

function smallFloat(dtype: DType): SmallFloat {
  const { code, bits } = formatOf(dtype);
  if (code.kind !== "float" || bits > 8) throw new Error(`${dtype} is no float of up to 8 bits`);
  return code;
}

/**
 * f32 values to the codes of a float of up to 8 bits, to nearest even. What is too large becomes an infinity, or NaN in
 * a format without infinities.
 */
export function encodeSmall(values: Float32Array, { exponent, fraction, ieee }: SmallFloat): Uint8Array<ArrayBuffer> {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const out = new Uint8Array(values.length);
  const drop = 23 - fraction;
  // Exponents of f32 that the smallest normal number, and the number 1 with an exponent field of zero, have.
  const least = 128 - (2 ** (exponent - 1) - 1);
  const [all, sign] = [2 ** (exponent + fraction) - 1, 2 ** (exponent + fraction)];
  const [over, nan] = ieee ? [all - 2 ** fraction + 1, all - 2 ** (fraction - 1) + 1] : [all, all];
  for (let i = 0; i < out.length; i++) {
    const word = bits[i] as number;
    const size = word & 0x7fffffff;
    const power = size >>> 23;
    let [whole, shift] = [size - ((least - 1) << 23), drop];
    if (power < least) [whole, shift] = [(size & 0x7fffff) | 0x800000, Math.min(25, drop + least - power)];
    const rounded = (whole + 2 ** (shift - 1) - 1 + ((whole >>> shift) & 1)) / 2 ** shift;
    const code = size > 0x7f800000 ? nan : Math.min(over, Math.floor(rounded));
    out[i] = code | (word >>> 31 === 1 ? sign : 0);
  }
  return out;
}

/** The numbers that the codes of a float of up to 8 bits stand for. */
function smallTable({ exponent, fraction, ieee }: SmallFloat): Float32Array {
  const [ones, parts] = [2 ** exponent - 1, 2 ** fraction];
  return Float32Array.from({ length: 2 * (ones + 1) * parts }, (_, code) => {
    const [power, part] = [(code >> fraction) & ones, code & (parts - 1)];
    const sign = code >> (exponent + fraction) === 0 ? 1 : -1;
    if (power === ones && ieee) return part === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
    if (power === ones && part === parts - 1) return Number.NaN;
    const unit = 2 ** (Math.max(power, 1) - 2 ** (exponent - 1) + 1 - fraction);
    return sign * (power === 0 ? part : parts + part) * unit;
  });
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
