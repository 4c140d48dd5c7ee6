/**
 * Host tensors as the words that a shader sees, and back.
 *
 * The layout is that of compiler/ir/formats.ts, written down a second time on purpose: the simulator is there to
 * disagree with the compiler when one of them is wrong. Halves and words behind the last element hold NaN, so that
 * whoever reads them is found out.
 */

import type { StorageType } from "../../ir/formats.ts";
import { codeOfFloat, floatOfCode, type OracleBlock, oracleFormat, perWord, quantised } from "../formats.ts";
import type { HostTensor } from "../interpret.ts";
import { encode } from "../round.ts";

const scratch = new DataView(new ArrayBuffer(4));
/** A NaN of each 16-bit format, for the half of a word that no element owns. */
const NOTHING = { f16: 0x7e00, bf16: 0x7fc0 } as const;

/** The f32 whose bits these are. */
export function floatOf(word: number): number {
  scratch.setUint32(0, word);
  return scratch.getFloat32(0);
}

/** The bits of a number as f32. */
export function wordOf(value: number): number {
  scratch.setFloat32(0, value);
  return scratch.getUint32(0);
}

/** The bits of a number in a 16-bit format, rounded to nearest even. */
export function halfOf(value: number, format: "f16" | "bf16"): number {
  if (Number.isNaN(value)) return NOTHING[format];
  if (format === "bf16") return wordOf(encode(value, "bf16")) >>> 16;
  const x = Math.abs(encode(value, "f16"));
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  if (x === Number.POSITIVE_INFINITY) return sign | 0x7c00;
  if (x < 2 ** -14) return sign | (x * 2 ** 24);
  // What f32 and f16 share above the denormals: the fraction's leading bits, and the exponent up to its bias.
  return sign | ((wordOf(x) >>> 13) - (112 << 10));
}

/** The number that 16 bits stand for. */
export function ofHalf(half: number, format: "f16" | "bf16"): number {
  if (format === "bf16") return floatOf((half << 16) >>> 0);
  const [sign, exponent, fraction] = [half & 0x8000 ? -1 : 1, (half >>> 10) & 31, half & 0x3ff];
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25));
}

/** Words of one element of the array that a buffer is bound as, which has `unit` elements of the tensor. */
export function wordsInUnit(storage: StorageType, unit: number): number {
  return unit / perWord(storage);
}

/**
 * Words that the codes of so many elements take, with the scales that lie among them; and those of the scales behind.
 */
function wordCounts(storage: StorageType, count: number): { readonly codes: number; readonly scales: number } {
  const { bits, block } = oracleFormat(storage);
  const codes = (count * bits) / 32;
  if (block === undefined) return { codes: Math.ceil(codes), scales: 0 };
  const blocks = Math.ceil(count / block.size);
  if (block.together === true) return { codes: codes + blocks, scales: 0 };
  return { codes: Math.ceil(codes), scales: Math.ceil((blocks * (block.minimum ? 2 : 1)) / 2) };
}

/** Words that `count` elements take, without padding. */
export function wordCount(storage: StorageType, count: number): number {
  const { codes, scales } = wordCounts(storage, count);
  return codes + scales;
}

/**
 * The words of a tensor. Block-quantised tensors must hold values that the format represents exactly (quantise and
 * dequantise them first); throws a RangeError naming the first element that is not.
 */
export function encodeBuffer(tensor: HostTensor): Uint32Array<ArrayBuffer> {
  const { panel = 1, shape, data } = tensor;
  const words = wordsOf(tensor);
  if (panel === 1) return words;
  // Word `w` of row `r` lies in its panel, behind the pieces of four words before its own, among those of its
  // neighbours.
  const perRow = (words.length / data.length) * (shape.at(-1) ?? 1);
  const inPanels = new Uint32Array(words.length);
  for (const [i, word] of words.entries()) {
    const [r, w] = [Math.floor(i / perRow), i % perRow];
    inPanels[Math.floor(r / panel) * panel * perRow + ((w >> 2) * panel + (r % panel)) * 4 + (w & 3)] = word;
  }
  return inPanels;
}

function wordsOf(tensor: HostTensor): Uint32Array<ArrayBuffer> {
  const { storage, data } = tensor;
  const { bits, float, block } = oracleFormat(storage);
  if (block !== undefined) return encodeBlocks(data, storage, block);
  if (storage === "u32" || storage === "i32") return new Uint32Array(data);
  if (float === undefined) return new Uint32Array(new Float32Array(data).buffer);
  const words = new Uint32Array(wordCount(storage, data.length));
  const per = 32 / bits;
  for (let i = 0; i < words.length * per; i++) {
    const x = data[i] ?? Number.NaN;
    const code = storage === "f16" || storage === "bf16" ? halfOf(x, storage) : codeOfFloat(x, float);
    put(words, Math.floor(i / per), (i % per) * bits, code);
  }
  return words;
}

function put(words: Uint32Array, word: number, shift: number, bits: number): void {
  words[word] = ((words[word] ?? 0) | (bits << shift)) >>> 0;
}

/** Where the code of element `i` of a block format lies: the bits before it. */
function bitBefore(i: number, storage: StorageType): number {
  const { bits, block } = oracleFormat(storage);
  const { size = 1, together = false, split = false } = block ?? {};
  if (!split) return i * bits + (together ? 32 * Math.floor(i / size) : 0);
  const within = i % 8;
  return Math.floor(i / 8) * 32 + (within % 4) * 8 + (within >= 4 ? 4 : 0);
}

/** The bits before the first number that a block shares. */
function sharedBefore(b: number, storage: StorageType, count: number): number {
  const { bits, block } = oracleFormat(storage);
  const { size = 1, together = false, minimum = false } = block ?? {};
  if (together) return b * (size * bits + 32) + size * bits;
  return wordCounts(storage, count).codes * 32 + b * (minimum ? 32 : 16);
}

function encodeBlocks(data: HostTensor["data"], storage: StorageType, block: OracleBlock): Uint32Array<ArrayBuffer> {
  const words = new Uint32Array(wordCount(storage, data.length));
  const { bits } = oracleFormat(storage);
  /** Codes may go on in the next word. */
  const place = (at: number, code: number, long: number): void => {
    const [word, shift] = [Math.floor(at / 32), at % 32];
    put(words, word, shift, code);
    if (shift + long > 32) put(words, word + 1, 0, code >>> (32 - shift));
  };
  for (let b = 0; b * block.size < data.length; b++) {
    const part = data.subarray(b * block.size, (b + 1) * block.size);
    const { scale, minimum, steps } = quantised(part, block);
    const at = sharedBefore(b, storage, data.length);
    place(at, halfOf(scale, "f16"), 16);
    if (block.minimum) place(at + 16, halfOf(minimum, "f16"), 16);
    for (const [n, x] of part.entries()) {
      const step = steps[n] ?? 0;
      if (Math.fround(Math.fround(step * scale) + minimum) !== x && !Number.isNaN(x))
        throw new RangeError(
          `element ${b * block.size + n} is ${x}, which ${storage} with the scale ${scale} cannot hold`,
        );
      place(bitBefore(b * block.size + n, storage), (step + block.zero) & (2 ** bits - 1), bits);
    }
  }
  return words;
}

/** The first `count` elements that the words stand for. */
export function decodeBuffer(
  words: Uint32Array,
  storage: StorageType,
  count: number,
): Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer> | Int32Array<ArrayBuffer> {
  const word = (i: number): number => words[i] ?? 0;
  const places = { length: count };
  const { bits, float, block } = oracleFormat(storage);
  const take = (at: number, long: number): number => {
    const [first, shift] = [Math.floor(at / 32), at % 32];
    const high = shift + long > 32 ? word(first + 1) * 2 ** (32 - shift) : 0;
    return (Math.floor(word(first) / 2 ** shift) + high) % 2 ** long;
  };
  if (storage === "u32") return words.slice(0, count);
  if (storage === "i32") return new Int32Array(words.slice(0, count).buffer);
  if (block !== undefined)
    return Float32Array.from(places, (_, i) => {
      const at = sharedBefore(Math.floor(i / block.size), storage, count);
      const scale = ofHalf(take(at, 16), "f16");
      const minimum = block.minimum ? ofHalf(take(at + 16, 16), "f16") : 0;
      const code = take(bitBefore(i, storage), bits);
      const step = (block.signed && code >= 2 ** (bits - 1) ? code - 2 ** bits : code) - block.zero;
      return Math.fround(step * scale) + minimum;
    });
  if (storage === "f16" || storage === "bf16")
    return Float32Array.from(places, (_, i) => ofHalf(take(i * 16, 16), storage));
  if (float === undefined) return new Float32Array(words.slice(0, count).buffer);
  return Float32Array.from(places, (_, i) => floatOfCode(take(i * bits, bits), float));
}
