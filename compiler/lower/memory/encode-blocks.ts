/**
 * Whole blocks of a block-quantised format, from the numbers that one lane holds: the codes and the scale that the
 * host's encoder makes (runtime/memory/quantise.ts), bit for bit.
 *
 * Largest and smallest elements are found among bits, which order as the numbers do. The scale is one product, rounded
 * to half precision by integers. A code is the nearest to the quotient of a number and the rounded scale: adapters
 * divide inexactly, but the guess that they make is off by one at most, and what is left of the number once the guess
 * is taken away has no more bits than f32 holds, so that the half above which the next code is nearer is told exactly,
 * fused arithmetic or not. Nothing hangs on denormal numbers: a scale of half precision is none in f32.
 */
import { type Code, formatOf, type StorageFormat } from "../../ir/formats.ts";
import type { Emitter } from "../../ir/lane/emitter.ts";
import { type Atom, constant, F32, U32, vector } from "../../ir/lane/program.ts";
import type { BinaryOp } from "../../ir/operators.ts";
import { codeOfFloat, floatOfCode, wordOfBytes } from "./small-floats.ts";

const F32x4 = vector("f32", 4);
const U32x4 = vector("u32", 4);
const LARGEST_HALF = 65504;
/** Stands for a scale of zero: no number reaches half of it, so that all codes are zero. */
const NEVER = 2 ** 100;

/** A block as it is stored: the words of its codes, and the bits of its scale and minimum. */
export interface EncodedBlock {
  readonly words: readonly Atom[];
  readonly scale: Atom;
  readonly minimum?: Atom;
}

type Integer = Code & { kind: "integer" };

/** The block of elements that vectors of four hold, the first ones first. */
export function encodeBlock(e: Emitter, format: StorageFormat, values: readonly Atom[]): EncodedBlock {
  const { code, scale } = format;
  if (code.kind !== "integer" || scale === undefined) throw new Error(`${format.name} is no block format`);
  const bits = values.map((x) => e.pure({ op: "bitcast", x }, U32x4, [x]));
  const share = constant(Math.fround(1 / code.steps), F32);
  if (code.scaled === "range") {
    const keys = bits.map((b) => ordered(e, b));
    const least = fromOrdered(e, extreme(e, keys, "min"));
    const most = fromOrdered(e, extreme(e, keys, "max"));
    const size = half(e, e.binary("mul", e.binary("sub", most, least), share));
    const minimum = half(e, least);
    const from = clamped(e, minimum.number);
    const lifted = values.map((x) => e.binary("sub", x, e.widen(from, 4)));
    const words = wordsOf(e, format, codesOf(e, code, lifted, size.number));
    return { words, scale: size.bits, ...(scale.minimum ? { minimum: minimum.bits } : {}) };
  }
  // The sign is the lowest bit, so that of two that are as large the negative one is the largest.
  const key = extreme(
    e,
    bits.map((b) => rotated(e, b, 1)),
    "max",
  );
  const turned = code.scaled === "extreme" ? rotated(e, key, 31) : e.binary("shr", key, constant(1, U32));
  const found = e.pure({ op: "bitcast", x: turned }, F32, [turned]);
  const size = half(e, e.binary("mul", found, share));
  return { words: wordsOf(e, format, codesOf(e, code, values, size.number)), scale: size.bits };
}

/** Bits as integers that order as the numbers do. */
function ordered(e: Emitter, bits: Atom): Atom {
  const negative = e.binary("ge", bits, constant(0x80000000, U32x4));
  const all = constant(0xffffffff, U32x4);
  return e.binary("xor", bits, e.select(negative, all, constant(0x80000000, U32x4)));
}

function fromOrdered(e: Emitter, key: Atom): Atom {
  const positive = e.binary("ge", key, constant(0x80000000, U32));
  const mask = e.select(positive, constant(0x80000000, U32), constant(0xffffffff, U32));
  const bits = e.binary("xor", key, mask);
  return e.pure({ op: "bitcast", x: bits }, F32, [bits]);
}

/** Bits turned to the left. */
function rotated(e: Emitter, bits: Atom, by: number): Atom {
  const left = e.binary("shl", bits, constant(by, bits.type));
  return e.binary("or", left, e.binary("shr", bits, constant(32 - by, bits.type)));
}

/** The largest or smallest of all components. */
function extreme(e: Emitter, keys: readonly Atom[], fn: BinaryOp & ("min" | "max")): Atom {
  const four = keys.reduce((a, b) => e.binary(fn, a, b));
  return [1, 2, 3].reduce((a, i) => e.binary(fn, a, e.component(four, i)), e.component(four, 0));
}

/** A number in half precision, a zero without its sign: the bits, and the number that they stand for. */
function half(e: Emitter, x: Atom): { readonly bits: Atom; readonly number: Atom } {
  const { code } = formatOf("f16");
  if (code.kind !== "float") throw new Error("f16 is no float");
  const rounded = codeOfFloat(e, x, code);
  const bits = e.select(e.binary("eq", rounded, constant(0x8000, U32)), constant(0, U32), rounded);
  return { bits, number: floatOfCode(e, bits, code) };
}

/** Codes are counted by the largest number of half precision where a scale or a minimum is larger. */
function clamped(e: Emitter, x: Atom): Atom {
  return e.binary("max", constant(-LARGEST_HALF, F32), e.binary("min", x, constant(LARGEST_HALF, F32)));
}

/** For each element its code, the format's zero included, as u32. */
function codesOf(e: Emitter, code: Integer, values: readonly Atom[], scale: Atom): Atom[] {
  const { low, high, zero } = code;
  const size = e.pure({ op: "unary", fn: "abs", x: clamped(e, scale) }, F32, [scale]);
  const step = e.select(e.binary("gt", size, constant(0, F32)), size, constant(NEVER, F32));
  const inverse = e.binary("div", constant(1, F32), step);
  const most = e.binary("mul", step, constant(200, F32));
  const down = e.binary("lt", scale, constant(0, F32));
  return values.map((x) => {
    const magnitude = e.pure({ op: "unary", fn: "abs", x }, F32x4, [x]);
    const size = e.binary("min", magnitude, most);
    const product = e.binary("mul", size, inverse);
    const guess = e.pure({ op: "unary", fn: "floor", x: product }, F32x4, [product]);
    const left = e.binary("sub", size, e.binary("mul", guess, step));
    const twice = e.binary("add", left, left);
    // Of two codes that are as near the higher one, which of a negative quotient has the smaller magnitude.
    const below = e.binary("lt", x, constant(0, F32x4));
    const negative = e.binary("ne", below, e.widen(down, 4));
    const [over, tie] = [e.binary("gt", twice, e.widen(step, 4)), e.binary("ge", twice, e.widen(step, 4))];
    const up = e.select(negative, asNumber(e, over), asNumber(e, tie));
    const whole = e.binary("add", guess, up);
    const signed = e.select(negative, e.binary("sub", constant(0, F32x4), whole), whole);
    const held = e.binary("min", e.binary("max", signed, constant(low, F32x4)), constant(high, F32x4));
    const lifted = e.binary("add", held, constant(zero, F32x4));
    const integer = e.pure({ op: "cast", x: lifted }, vector("i32", 4), [lifted]);
    return e.pure({ op: "bitcast", x: integer }, U32x4, [integer]);
  });
}

function asNumber(e: Emitter, cond: Atom): Atom {
  return e.select(cond, constant(1, F32x4), constant(0, F32x4));
}

/** Codes in the words of the format. */
function wordsOf(e: Emitter, { bits, order, name }: StorageFormat, codes: readonly Atom[]): Atom[] {
  const masked = codes.map((c) => e.binary("and", c, constant(2 ** bits - 1, U32x4)));
  if (bits === 8) return masked.map((c) => wordOfBytes(e, c));
  if (bits === 4 && order === "split")
    return Array.from({ length: masked.length / 2 }, (_, i) => {
      const high = e.binary("shl", masked[2 * i + 1] as Atom, constant(4, U32x4));
      return wordOfBytes(e, e.binary("or", masked[2 * i] as Atom, high));
    });
  throw new Error(`kernels store no blocks of ${name}`);
}
