/**
 * Storage formats as the oracle knows them: a copy of what compiler/ir/formats.ts and its decoders say, written a
 * second time on purpose, by arithmetic on numbers where those go by bits.
 */
import type { StorageType } from "../ir/formats.ts";

/** A format: bits of a code, and what the codes stand for. */
export interface OracleFormat {
  readonly bits: number;
  /** A small float: bits of exponent and fraction, and whether the highest exponent says infinity and NaN. */
  readonly float?: { readonly exponent: number; readonly fraction: number; readonly infinite: boolean };
  readonly block?: OracleBlock;
}

/** Elements that share a scale, and in some formats a minimum, each in half precision. */
export interface OracleBlock {
  readonly size: number;
  /** The number of a code before the scale: the code less this; codes of `signed` formats wrap around. */
  readonly zero: number;
  readonly signed: boolean;
  readonly minimum: boolean;
  /** The scale for the smallest and the largest element of a block. */
  readonly scale: (least: number, most: number) => number;
  readonly limits: readonly [low: number, high: number];
  /** A block's scales follow its codes, in one word, instead of all codes. */
  readonly together?: boolean;
  /** Elements 4 to 7 of eight lie in the high halves of four bytes. */
  readonly split?: boolean;
}

const f = Math.fround;
const larger = (least: number, most: number): number => (-least >= most ? least : most);

const COPY: Record<string, OracleFormat> = {
  f32: { bits: 32 },
  u32: { bits: 32 },
  i32: { bits: 32 },
  f16: { bits: 16, float: { exponent: 5, fraction: 10, infinite: true } },
  bf16: { bits: 16, float: { exponent: 8, fraction: 7, infinite: true } },
  fp8: { bits: 8, float: { exponent: 4, fraction: 3, infinite: false } },
  q4_1: {
    bits: 4,
    block: {
      size: 32,
      zero: 0,
      signed: false,
      minimum: true,
      scale: (least, most) => f(f(most - least) * f(1 / 15)),
      limits: [0, 15],
      split: true,
    },
  },
  q8: {
    bits: 8,
    block: {
      size: 32,
      zero: 0,
      signed: true,
      minimum: false,
      scale: (least, most) => f(Math.max(-least, most) * f(1 / 127)),
      limits: [-127, 127],
    },
  },
  q4: {
    bits: 4,
    block: {
      size: 32,
      zero: 8,
      signed: false,
      minimum: false,
      scale: (least, most) => larger(least, most) / -8,
      limits: [-8, 7],
      split: true,
    },
  },
};

/** Adds a format of a test's; the result takes it away again. */
export function addToOracle(name: string, format: OracleFormat): () => void {
  COPY[name] = format;
  return () => delete COPY[name];
}

export function oracleFormat(storage: StorageType): OracleFormat {
  const found = COPY[storage];
  if (found === undefined) throw new Error(`the oracle knows no storage format "${storage}"`);
  return found;
}

/** Do elements share scales? */
export function inBlocks(storage: StorageType): boolean {
  return oracleFormat(storage).block !== undefined;
}

/** Elements of which a word is made that lanes unpack at once: two halves, four bytes, eight nibbles; 1 otherwise. */
export function perWord(storage: StorageType): number {
  const { bits, block } = oracleFormat(storage);
  if (32 % bits !== 0 || block?.together === true) return 1;
  if (block === undefined || block.split === true) return 32 / bits;
  return bits === 8 && block.signed && block.zero === 0 ? 4 : 1;
}

/** The number that the code of a small float stands for. */
export function floatOfCode(code: number, { exponent, fraction, infinite }: OracleFormat["float"] & object): number {
  const [ones, parts] = [2 ** exponent - 1, 2 ** fraction];
  const size = code % (2 ** exponent * parts);
  const sign = code === size ? 1 : -1;
  const [power, part] = [Math.floor(size / parts), size % parts];
  if (power === ones && infinite) return part === 0 ? sign * Infinity : Number.NaN;
  if (power === ones && part === parts - 1) return Number.NaN;
  const unit = 2 ** (Math.max(power, 1) - (2 ** (exponent - 1) - 1) - fraction);
  return sign * (power === 0 ? part : parts + part) * unit;
}

/** The code of a small float that is nearest to a number: of two that are as near the even one. */
export function codeOfFloat(value: number, format: OracleFormat["float"] & object): number {
  const { exponent, fraction, infinite } = format;
  const [sign, all] = [2 ** (exponent + fraction), 2 ** (exponent + fraction) - 1];
  const negative = value < 0 || Object.is(value, -0) ? sign : 0;
  if (Number.isNaN(value)) return infinite ? all - 2 ** (fraction - 1) + 1 : all;
  const size = Math.abs(value);
  // Numbers rise with their codes; behind the largest lies, as far again, what is no number.
  const last = infinite ? all - 2 ** fraction : all - 1;
  let [low, high] = [0, last];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (floatOfCode(middle, format) <= size) low = middle;
    else high = middle - 1;
  }
  const at = floatOfCode(low, format);
  const next = low === last ? 2 * at - floatOfCode(low - 1, format) : floatOfCode(low + 1, format);
  const [below, above] = [size - at, next - size];
  return negative + (above < below || (above === below && low % 2 === 1) ? low + 1 : low);
}

/** The scale and the minimum of a block in half precision, and the code of each element before the zero. */
export function quantised(
  part: ArrayLike<number>,
  block: OracleBlock,
): { readonly scale: number; readonly minimum: number; readonly steps: readonly number[] } {
  const all = Array.from(part);
  const half = (x: number): number => floatOfCode(codeOfFloat(x, oracleFormat("f16").float as never), HALF) + 0;
  const [least, most] = [Math.min(...all), Math.max(...all)];
  const [scale, minimum] = [half(block.scale(least, most)), block.minimum ? half(least) : 0];
  const held = (x: number): number => (Math.abs(x) === Infinity ? Math.sign(x) * 65504 : x);
  const steps = all.map((x) => {
    const exact = (block.minimum ? f(x - held(minimum)) : x) / held(scale);
    const [low, high] = block.limits;
    return scale === 0 || Number.isNaN(exact) ? 0 : Math.min(high, Math.max(low, Math.floor(exact + 0.5)));
  });
  return { scale, minimum, steps };
}

const HALF = { exponent: 5, fraction: 10, infinite: true } as const;
