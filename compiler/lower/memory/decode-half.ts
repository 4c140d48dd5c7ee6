/**
 * 16-bit floats out of their words for adapters whose vectors know no shift by lane and no conversion: SwiftShader,
 * which takes some forty operations for the two halves of a word and shifts vectors one lane at a time.
 *
 * Here everything is done with the halves where they lie. As an integer the 15 bits below the sign convert exactly to
 * f32. Adding a power of two brings them to the low end of its fraction, from where a product puts them where f32 has
 * exponent and fraction. What is added beside the power raises the exponent by 224, so that 31, the exponent of
 * infinities and NaN, becomes 255, which is that of f32; a product takes back what is too much for the others, and
 * nothing from those. What is denormal in f16 has no exponent to raise, but there the integer itself is the number,
 * times 2^-24. No f32 on the way is denormal, so that it does not matter whether the adapter takes those for zero.
 */
import type { Emitter } from "../../ir/lane/emitter.ts";
import type { Atom } from "../../ir/lane/program.ts";
import { constant, U32, vector } from "../../ir/lane/program.ts";

const F32x4 = vector("f32", 4);
const I32x4 = vector("i32", 4);
const U32x4 = vector("u32", 4);
/** What the exponent of f32 has above that of f16. */
const BIAS = 127 - 15;
/** From the highest exponent of f16 to that of f32. */
const RAISED = 255 - 31;

/** The four halves of two words, low ones first. */
export function fourHalves(e: Emitter, format: "f16" | "bf16", a: Atom, b: Atom): Atom {
  const high = (w: Atom): Atom => e.binary("mul", w, constant(0x10000, U32));
  const raised = e.compose([high(a), a, high(b), b]);
  if (format === "bf16") {
    const cut = e.binary("and", raised, constant(0xffff0000, U32x4));
    return e.pure({ op: "bitcast", x: cut }, F32x4, [cut]);
  }
  const numbers = (low: number, up: number): Atom =>
    e.compose([low, up, low, up].map((v) => constant(v, vector("f32", 1))));
  const bits = (low: number, up: number): Atom =>
    e.compose([low, up, low, up].map((v) => constant(v, vector("u32", 1))));
  const words = e.compose([a, a, b, b]);
  const below = e.binary("and", words, bits(0x7fff, 0x7fff0000));
  const signed = e.pure({ op: "bitcast", x: below }, I32x4, [below]);
  const integer = e.pure({ op: "cast", x: signed }, F32x4, [signed]);
  const base = 2 ** 23 + RAISED * 2 ** 10;
  const moved = e.binary("add", integer, numbers(base, base * 2 ** 16));
  const low = e.pure({ op: "bitcast", x: moved }, U32x4, [moved]);
  const placed = e.binary("mul", low, constant(2 ** 13, U32x4));
  const large = e.pure({ op: "bitcast", x: placed }, F32x4, [placed]);
  const normal = e.binary("mul", large, constant(2 ** (BIAS - RAISED), F32x4));
  const denormal = e.binary("mul", integer, numbers(2 ** -24, 2 ** -40));
  const right = e.select(e.binary("lt", denormal, constant(2 ** -14, F32x4)), denormal, normal);
  const magnitude = e.pure({ op: "bitcast", x: right }, U32x4, [right]);
  const whole = e.binary("or", magnitude, e.binary("and", raised, constant(0x80000000, U32x4)));
  return e.pure({ op: "bitcast", x: whole }, F32x4, [whole]);
}
