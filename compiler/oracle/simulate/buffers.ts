/**
 * Host tensors as the words that a shader sees, and back.
 *
 * The layout is that of memory.ts, written down a second time on purpose: the simulator is there to disagree with the compiler when one of them is wrong.
 * Halves and words behind the last element hold NaN, so that whoever reads them is found out.
 */

import type { StorageType } from "../../ir/formats.ts";
import type { Buffer } from "../../ir/lane/program.ts";
import type { HostTensor } from "../interpret.ts";
import { encode } from "../round.ts";

const BLOCK = 32;
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
  if (storage === "f16" || storage === "bf16") return unit / 2;
  if (storage !== "q8" && storage !== "q4") return unit;
  return unit / (storage === "q8" ? 4 : 8);
}

/** Elements of that array: one at least, since WGSL has no empty arrays. */
export function boundElements(b: Pick<Buffer, "storage" | "elements" | "unit">): number {
  return Math.max(1, Math.ceil(wordCount(b.storage, b.elements) / wordsInUnit(b.storage, b.unit)));
}

/** Words that `count` elements take, without padding. */
export function wordCount(storage: StorageType, count: number): number {
  if (storage === "f16" || storage === "bf16") return Math.ceil(count / 2);
  if (storage !== "q8" && storage !== "q4") return count;
  return Math.ceil(count / (storage === "q8" ? 4 : 8)) + Math.ceil(count / BLOCK / 2);
}

/**
 * The words of a tensor. Block-quantised tensors must hold values that the format represents exactly (quantise and dequantise them first); throws a RangeError
 * naming the first element that is not.
 */
export function encodeBuffer(tensor: HostTensor): Uint32Array<ArrayBuffer> {
  const { panel = 1, shape, data } = tensor;
  const words = wordsOf(tensor);
  if (panel === 1) return words;
  // Word `w` of row `r` lies in its panel, behind the pieces of four words before its own, among those of its neighbours.
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
  if (storage === "q8" || storage === "q4") return encodeBlocks(data, storage);
  if (storage === "u32" || storage === "i32") return new Uint32Array(data);
  if (storage === "f32") return new Uint32Array(new Float32Array(data).buffer);
  const words = new Uint32Array(wordCount(storage, data.length));
  for (let i = 0; i < words.length * 2; i++) {
    const x = data[i];
    put(words, i >> 1, (i & 1) * 16, x === undefined ? NOTHING[storage] : halfOf(x, storage));
  }
  return words;
}

function put(words: Uint32Array, word: number, shift: number, bits: number): void {
  words[word] = ((words[word] ?? 0) | (bits << shift)) >>> 0;
}

/** Where element `i` of a block format lies: its word and the bit that it starts at. */
function placeOf(i: number, format: "q8" | "q4"): readonly [number, number] {
  if (format === "q8") return [i >> 2, (i & 3) * 8];
  const within = i & 7;
  return [i >> 3, (within & 3) * 8 + (within >= 4 ? 4 : 0)];
}

function encodeBlocks(data: HostTensor["data"], format: "q8" | "q4"): Uint32Array<ArrayBuffer> {
  const words = new Uint32Array(wordCount(format, data.length));
  const scales = data.length / (format === "q8" ? 4 : 8);
  for (let block = 0; block * BLOCK < data.length; block++) {
    const part = data.subarray(block * BLOCK, (block + 1) * BLOCK);
    let extreme = 0;
    for (const x of part) if (Math.abs(x) > Math.abs(extreme)) extreme = x;
    const half = halfOf(format === "q8" ? Math.abs(extreme) / 127 : extreme / -8, "f16");
    const scale = ofHalf(half, "f16");
    put(words, scales + (block >> 1), (block & 1) * 16, half);
    for (const [n, x] of part.entries()) {
      const step = scale === 0 ? 0 : Math.round(x / scale);
      if (Math.fround(step * scale) !== x)
        throw new RangeError(
          `element ${block * BLOCK + n} is ${x}, which ${format} with the scale ${scale} cannot hold`,
        );
      const [word, shift] = placeOf(block * BLOCK + n, format);
      put(words, word, shift, format === "q8" ? step & 255 : step + 8);
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
  const same = (): ArrayBuffer => words.slice(0, count).buffer;
  switch (storage) {
    case "u32":
      return new Uint32Array(same());
    case "i32":
      return new Int32Array(same());
    case "f32":
      return new Float32Array(same());
    case "f16":
    case "bf16":
      return Float32Array.from(places, (_, i) => ofHalf((word(i >> 1) >>> ((i & 1) * 16)) & 0xffff, storage));
    case "q8":
    case "q4": {
      const scales = count / (storage === "q8" ? 4 : 8);
      return Float32Array.from(places, (_, i) => {
        const block = Math.floor(i / BLOCK);
        const scale = ofHalf((word(scales + (block >> 1)) >>> ((block & 1) * 16)) & 0xffff, "f16");
        const [at, shift] = placeOf(i, storage);
        const bits = word(at) >>> shift;
        return (storage === "q8" ? (bits << 24) >> 24 : (bits & 15) - 8) * scale;
      });
    }
  }
}
