/**
 * Storage formats: one table of how the elements of tensors lie in memory and what their codes stand for.
 *
 * The compiler, the runtime, the memory estimates and the command line read it; the simulator keeps a copy of its own,
 * so that it can disagree. A format that is made of the same parts as another needs an entry here and nothing else but
 * its name in dsl/types.ts and its line in the simulator's copy.
 */
import type { DType, real } from "../../dsl/types.ts";

/** Element types as stored in memory. */
export type StorageType = DType;

/** What the bits of one element stand for. */
export type Code =
  /** The bits of a 32-bit value itself. */
  | { readonly kind: "word" }
  /**
   * A small float: sign, exponent, fraction. `ieee`: the highest exponent is kept for infinities and NaN; otherwise
   * only the code of all ones is NaN, and what is too large becomes it.
   */
  | { readonly kind: "float"; readonly exponent: number; readonly fraction: number; readonly ieee: boolean }
  /**
   * An integer that a scale makes a number of: (code - zero) * scale, plus the minimum where the format has one.
   * `signed` codes are in two's complement. How a block's scale is found: its largest magnitude over `steps`, its
   * element of largest magnitude, sign included, over `steps`, or its range over `steps`. Codes are held within `low`
   * and `high`, counted without the zero.
   */
  | {
      readonly kind: "integer";
      readonly signed: boolean;
      readonly zero: number;
      readonly scaled: "magnitude" | "extreme" | "range";
      readonly steps: number;
      readonly low: number;
      readonly high: number;
    };

/** The numbers that the elements of a block share, each in half precision: a scale, and behind it a minimum. */
export interface Scale {
  readonly type: "f16";
  /** Elements that share one; a power of two, whose codes fill whole words. */
  readonly per: number;
  readonly minimum: boolean;
}

export interface StorageFormat {
  readonly name: string;
  /** What an element is once it is loaded. */
  readonly value: "f32" | "u32" | "i32";
  /**
   * Bits of an element's code. Where they do not divide 32, the codes of a block run on across the ends of its words.
   */
  readonly bits: number;
  readonly code: Code;
  /** Absent where each element stands for itself. */
  readonly scale?: Scale;
  /**
   * Where scales lie: behind all elements (planar), which keeps 16 elements on a boundary of 16 bytes, or behind those
   * of their block, in a word of their own (interleaved).
   */
  readonly layout: "planar" | "interleaved";
  /**
   * How codes lie in a word: one after the other from its low end, or, of four bits, split: the low halves of its bytes
   * are elements 0 to 3 and the high halves elements 4 to 7, so that both unpack with one mask.
   */
  readonly order: "sequential" | "split";
  /** What kernels can store: single elements, whole blocks, or nothing. */
  readonly stores: "elements" | "blocks" | "nothing";
}

const WORDS = { bits: 32, code: { kind: "word" }, layout: "planar", order: "sequential", stores: "elements" } as const;
const FLOATS = { value: "f32", layout: "planar", order: "sequential", stores: "elements" } as const;
const BLOCKS = { value: "f32", layout: "planar", stores: "blocks" } as const;
const INTEGERS = { kind: "integer", signed: false, zero: 0 } as const;

/** The formats, by name. */
export const FORMATS: Readonly<Record<StorageType, StorageFormat>> = {
  f32: { name: "f32", value: "f32", ...WORDS },
  f16: { name: "f16", ...FLOATS, bits: 16, code: { kind: "float", exponent: 5, fraction: 10, ieee: true } },
  bf16: { name: "bf16", ...FLOATS, bits: 16, code: { kind: "float", exponent: 8, fraction: 7, ieee: true } },
  // E4M3 of the Open Compute Project, as torch.float8_e4m3fn: no infinities, NaN of all ones, up to 448.
  fp8: { name: "fp8", ...FLOATS, bits: 8, code: { kind: "float", exponent: 4, fraction: 3, ieee: false } },
  // GGUF's Q8_0, Q4_0 and Q4_1, elements and scales apart.
  q8: {
    name: "q8",
    ...BLOCKS,
    bits: 8,
    code: { ...INTEGERS, signed: true, scaled: "magnitude", steps: 127, low: -127, high: 127 },
    scale: { type: "f16", per: 32, minimum: false },
    order: "sequential",
  },
  q4: {
    name: "q4",
    ...BLOCKS,
    bits: 4,
    code: { ...INTEGERS, zero: 8, scaled: "extreme", steps: -8, low: -8, high: 7 },
    scale: { type: "f16", per: 32, minimum: false },
    order: "split",
  },
  q4_1: {
    name: "q4_1",
    ...BLOCKS,
    bits: 4,
    code: { ...INTEGERS, scaled: "range", steps: 15, low: 0, high: 15 },
    scale: { type: "f16", per: 32, minimum: true },
    order: "split",
  },
  u32: { name: "u32", value: "u32", ...WORDS },
  i32: { name: "i32", value: "i32", ...WORDS },
};

/** The formats of real numbers, which is what weights may be kept in. */
export const REALS: readonly real[] = (Object.keys(FORMATS) as StorageType[]).filter(isReal);

function isReal(storage: StorageType): storage is real {
  return FORMATS[storage].value === "f32";
}

const known: Map<string, StorageFormat> = new Map(Object.entries(FORMATS));

/** The entry of a format. */
export function formatOf(storage: StorageType): StorageFormat {
  const found = known.get(storage);
  if (found === undefined) throw new Error(`no storage format is called "${storage}"`);
  return found;
}

/** Is this the name of a format? */
export function isFormat(name: unknown): name is StorageType {
  return typeof name === "string" && known.has(name);
}

/** Adds a format that is in no table, as tests do; the result takes it away again. */
export function addFormat(format: StorageFormat): () => void {
  if (known.has(format.name)) throw new Error(`there is a storage format "${format.name}"`);
  known.set(format.name, format);
  return () => known.delete(format.name);
}

/** Do blocks of elements share scales? */
export function inBlocks(storage: StorageType): boolean {
  return formatOf(storage).scale !== undefined;
}

/** Elements that share scales; 1 where each stands for itself. */
export function blockOf(storage: StorageType): number {
  return formatOf(storage).scale?.per ?? 1;
}

/** How lanes unpack a word at once: two halves, four bytes, or the four low or high nibbles of its bytes. */
export type Unpacking = "halves" | "bytes" | "nibbles";

/** How lanes unpack the words of a format; undefined where elements are reached one at a time, or are words. */
export function unpackingOf({ bits, code, order, layout }: StorageFormat): Unpacking | undefined {
  if (code.kind === "word" || layout === "interleaved") return undefined;
  if (code.kind === "float") return bits === 16 ? "halves" : bits === 8 ? "bytes" : undefined;
  if (bits === 8 && order === "sequential" && code.signed && code.zero === 0) return "bytes";
  return bits === 4 && order === "split" && !code.signed ? "nibbles" : undefined;
}

/** The format of halves, f16 or bf16, as words are unpacked. */
export function halfFormat(storage: StorageType): "f16" | "bf16" {
  if (storage !== "f16" && storage !== "bf16") throw new Error(`${storage} is no format of halves`);
  return storage;
}

/** Elements of which a 32-bit word is made, where lanes unpack whole words; 1 otherwise. */
export function perWord(storage: StorageType): 1 | 2 | 4 | 8 {
  const unpacking = unpackingOf(formatOf(storage));
  return unpacking === undefined ? 1 : unpacking === "halves" ? 2 : unpacking === "bytes" ? 4 : 8;
}

/** Is an element less than a word, so that what lies beside it must be kept when it is stored? */
export function isNarrow(storage: StorageType): boolean {
  return formatOf(storage).bits < 32;
}

/** The type that the words of a format have in a shader. */
export function wordType(storage: StorageType): "f32" | "u32" | "i32" {
  const { code, value } = formatOf(storage);
  return code.kind === "word" ? value : "u32";
}

/** Does f16 hold what the format does but for its scales? Then products may go to units that multiply f16. */
export function fitsHalf(storage: StorageType): boolean {
  const { code } = formatOf(storage);
  return code.kind === "integer" || (code.kind === "float" && code.exponent <= 5);
}

/** Elements in 16 bytes. */
export function capacity(storage: StorageType): number {
  return 4 * perWord(storage);
}

/** Numbers of half precision that a block has. */
export function scalesOf(format: StorageFormat): number {
  return format.scale === undefined ? 0 : format.scale.minimum ? 2 : 1;
}

/** Words of the codes of a block, and from one block to the next in an interleaved format. */
export function blockWords(format: StorageFormat): { readonly codes: number; readonly stride: number } {
  const codes = ((format.scale?.per ?? 1) * format.bits) / 32;
  return { codes, stride: codes + (format.layout === "interleaved" ? 1 : 0) };
}

/** Words of the codes of so many elements, or in an interleaved format of all that they have. */
export function codeWords(storage: StorageType, elements: number): number {
  const format = formatOf(storage);
  if (format.layout === "interleaved") return Math.ceil(elements / blockOf(storage)) * blockWords(format).stride;
  return Math.ceil((elements * format.bits) / 32);
}

/** Words of scales behind the elements of a planar buffer: two numbers of half precision a word. */
export function scaleWords(storage: StorageType, elements: number): number {
  const format = formatOf(storage);
  if (format.scale === undefined || format.layout === "interleaved") return 0;
  return Math.ceil((Math.ceil(elements / format.scale.per) * scalesOf(format)) / 2);
}

/** Bytes of one stored element, its share of the scales included. */
export function bytesOf(storage: StorageType): number {
  const format = formatOf(storage);
  const shared = format.layout === "interleaved" ? 4 : 2 * scalesOf(format);
  return format.bits / 8 + (format.scale === undefined ? 0 : shared / format.scale.per);
}

/**
 * Elements of the array that a buffer is bound as; its size is part of the type, so that a binding that is too small is
 * refused. `unit` counts the elements that one of the array's has.
 */
export function elementCount(b: { storage: StorageType; elements: number; unit: number }): number {
  const words = codeWords(b.storage, b.elements) + scaleWords(b.storage, b.elements);
  return Math.max(1, Math.ceil(words / (b.unit / perWord(b.storage))));
}
