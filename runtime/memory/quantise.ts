/**
 * The block-quantised formats: neighbours share a scale in half precision, and in some formats a minimum.
 *
 * What the codes of a format are and where they lie says its entry in compiler/ir/formats.ts. The scales follow GGUF's:
 * q8 has the largest magnitude at 127, q4 the element of largest magnitude at -8, its sign included, q4_1 the range
 * from the smallest to the largest at 15. An element gets the code that is nearest once the scale is rounded to half
 * precision, the higher of two that are as near. So a code follows from numbers of 24 and 11 bits exactly, and kernels
 * that store blocks (compiler/lower/encode-blocks.ts) find the same one whatever their arithmetic rounds on the way.
 */
import { type Code, formatOf, type StorageFormat, scalesOf } from "../../compiler/ir/formats.ts";
import { type DType, decodeF16, encodeF16 } from "./dtype.ts";

type Integer = Code & { kind: "integer" };

/** The parts of a planar block format: the bytes of the elements, and the bits of the scales. */
export interface Blocks {
  readonly elements: Uint8Array<ArrayBuffer>;
  readonly scales: Uint16Array<ArrayBuffer>;
}

/** Half, and a little that is above every error of the sum and below every distance from a tie. */
const HALF: number = 0.5 + 2 ** -40;
const LARGEST_HALF = 65504;

/** Rounds floats to blocks, as a tensor stores them; the length must be a multiple of the block. */
export function quantise(values: Float32Array, dtype: DType): Uint8Array<ArrayBuffer> {
  const { elements, scales } = quantiseBlocks(values, dtype);
  const out = new Uint8Array(elements.length + scales.byteLength);
  out.set(elements);
  out.set(new Uint8Array(scales.buffer), elements.length);
  return out;
}

/**
 * The two parts of a block format, for those who write a large tensor piece by piece; of an interleaved one all is in
 * the first. Models have billions of elements, so the loops are plain.
 */
export function quantiseBlocks(values: Float32Array, dtype: DType): Blocks {
  const format = formatOf(dtype);
  const { code, scale } = format;
  if (code.kind !== "integer" || scale === undefined) throw new Error(`${dtype} is no block format`);
  const bits = encodeF16(scalesFor(values, code, format));
  // A zero has no sign here.
  for (let i = 0; i < bits.length; i++) if (bits[i] === 0x8000) bits[i] = 0;
  const codes = codesFor(values, code, scale.per, decodeF16(bits), scale.minimum);
  return arranged(format, codes, bits);
}

/** For each block its scale and, in formats with one, its minimum. */
function scalesFor(values: Float32Array, { scaled, steps }: Integer, format: StorageFormat): Float32Array {
  const per = format.scale?.per ?? 1;
  const each = scalesOf(format);
  const found = new Float32Array((values.length / per) * each);
  // One product of f32, which has one result everywhere; a quotient would not.
  const share = Math.fround(1 / steps);
  for (let b = 0; b * per < values.length; b++) {
    const [from, to] = [b * per, (b + 1) * per];
    if (scaled === "range") {
      let [least, most] = [Infinity, -Infinity];
      for (let i = from; i < to; i++) {
        const x = values[i] as number;
        if (x < least) least = x;
        if (x > most) most = x;
      }
      found[b * each] = Math.fround(most - least) * share;
      if (each === 2) found[b * each + 1] = least;
      continue;
    }
    // The element of largest magnitude; of two that are as large the negative one, so that their order says nothing.
    let [size, extreme] = [0, 0];
    for (let i = from; i < to; i++) {
      const x = values[i] as number;
      if (Math.abs(x) > size) {
        size = Math.abs(x);
        extreme = x;
      } else if (x === -size) extreme = x;
    }
    found[b * each] = (scaled === "magnitude" ? size : extreme) * share;
  }
  return found;
}

/** A code for each element, the format's zero included. */
function codesFor(
  values: Float32Array,
  { zero, low, high }: Integer,
  per: number,
  scales: Float32Array,
  minimum: boolean,
): Uint8Array<ArrayBuffer> {
  const codes = new Uint8Array(values.length);
  for (let b = 0; b * per < values.length; b++) {
    const scale = finite(scales[minimum ? 2 * b : b] as number);
    const least = minimum ? finite(scales[2 * b + 1] as number) : 0;
    const inverse = scale === 0 ? 0 : 1 / scale;
    // Counted from the lowest, codes are not negative, and cutting off is rounding down.
    const lift = HALF - low;
    for (let i = b * per; i < (b + 1) * per; i++) {
      const x = values[i] as number;
      const q = (minimum ? Math.fround(x - least) : x) * inverse + lift;
      codes[i] = (q < 0 ? 0 : q > high - low ? high - low : q | 0) + low + zero;
    }
  }
  return codes;
}

function finite(half: number): number {
  return Number.isNaN(half) ? 0 : Math.max(-LARGEST_HALF, Math.min(LARGEST_HALF, half));
}

/** Codes and scales in their places. */
function arranged(format: StorageFormat, codes: Uint8Array<ArrayBuffer>, scales: Uint16Array<ArrayBuffer>): Blocks {
  const { bits, layout, order } = format;
  if (bits === 8 && layout === "planar") return { elements: codes, scales };
  const mask = 2 ** bits - 1;
  const elements = new Uint8Array(bytesOfCodes(format, codes.length));
  if (order === "split") {
    for (let k = 0; k < elements.length; k++) {
      const first = (k >> 2) * 8 + (k & 3);
      elements[k] = (codes[first] as number) | ((codes[first + 4] as number) << 4);
    }
    return { elements, scales };
  }
  const each = scalesOf(format);
  for (let i = 0; i < codes.length; i++) {
    const bit = bitOf(format, i);
    const [at, shift] = [bit >> 3, bit & 7];
    const placed = ((codes[i] as number) & mask) << shift;
    elements[at] = (elements[at] as number) | placed;
    if (shift + bits > 8) elements[at + 1] = (elements[at + 1] as number) | (placed >> 8);
  }
  if (layout === "planar") return { elements, scales };
  const halves = new Uint16Array(elements.buffer);
  for (let i = 0; i < scales.length; i++) {
    const block = Math.floor(i / each);
    halves[(scaleByte(format, block) >> 1) + (i % each)] = scales[i] as number;
  }
  return { elements, scales: new Uint16Array(0) };
}

/** The values that the blocks stand for: `count` elements, and behind them or among them their scales. */
export function dequantise(bytes: Uint8Array, count: number, dtype: DType): Float32Array<ArrayBuffer> {
  const format = formatOf(dtype);
  const start = bytesOfCodes(format, count);
  const length = format.layout === "planar" ? (count / (format.scale?.per ?? 1)) * scalesOf(format) : 0;
  const scales = new Uint16Array(bytes.slice(start, start + length * 2).buffer);
  return dequantiseBlocks(bytes, scales, count, dtype);
}

/** The same from the two parts, with the bits of the scales. */
export function dequantiseBlocks(
  elements: Uint8Array,
  scaleBits: Uint16Array,
  count: number,
  dtype: DType,
): Float32Array<ArrayBuffer> {
  const format = formatOf(dtype);
  const { bits, code, scale } = format;
  if (code.kind !== "integer" || scale === undefined) throw new Error(`${dtype} is no block format`);
  const each = scalesOf(format);
  const scales = decodeF16(format.layout === "planar" ? scaleBits : scalesAmong(elements, format, count));
  const out = new Float32Array(count);
  const [mask, sign] = [2 ** bits - 1, code.signed ? 2 ** (bits - 1) : 0];
  for (let i = 0; i < count; i++) {
    const bit = bitOf(format, i);
    const word = (elements[bit >> 3] as number) | ((elements[(bit >> 3) + 1] ?? 0) << 8);
    const found = (word >> (bit & 7)) & mask;
    const block = Math.floor(i / scale.per) * each;
    out[i] =
      ((found ^ sign) - sign - code.zero) * (scales[block] as number) +
      (scale.minimum ? (scales[block + 1] as number) : 0);
  }
  return out;
}

/** The bits of the scales of an interleaved format. */
function scalesAmong(bytes: Uint8Array, format: StorageFormat, count: number): Uint16Array {
  const each = scalesOf(format);
  const per = format.scale?.per ?? 1;
  return Uint16Array.from({ length: (count / per) * each }, (_, i) => {
    const at = scaleByte(format, Math.floor(i / each)) + 2 * (i % each);
    return (bytes[at] as number) | ((bytes[at + 1] as number) << 8);
  });
}

/** Bytes of the codes of so many elements; of an interleaved format with all that lies among them. */
export function bytesOfCodes({ bits, scale, layout }: StorageFormat, count: number): number {
  return (count * bits) / 8 + (layout === "interleaved" ? (4 * count) / (scale?.per ?? 1) : 0);
}

/** The bit that the code of an element begins at. */
function bitOf({ bits, order, layout, scale }: StorageFormat, i: number): number {
  if (order === "split") return ((i >> 3) * 4 + (i & 3)) * 8 + (i & 4);
  return i * bits + (layout === "interleaved" ? 32 * Math.floor(i / (scale?.per ?? 1)) : 0);
}

/** The byte at which the scales of a block begin, in an interleaved format. */
function scaleByte({ bits, scale }: StorageFormat, block: number): number {
  const codes = ((scale?.per ?? 1) * bits) / 8;
  return block * (codes + 4) + codes;
}
