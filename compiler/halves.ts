/**
 * 16-bit floats out of their words for adapters whose vectors know no shift by lane and no conversion: SwiftShader, which takes some forty operations for
 * the two halves of a word and shifts vectors one lane at a time.
 *
 * Here everything is done with the halves where they lie. As an integer the 15 bits below the sign convert exactly to f32, and adding a power of two brings them to
 * the low end of its fraction, from where a product puts them where f32 has exponent and fraction; the exponent's bias comes with a factor. What is denormal in f16
 * has no exponent to rebias, but there the integer itself is the number, times 2^-24, and nowhere else is it larger than the first: so of the two the larger one
 * is right, whether or not the adapter takes denormal f32 for zero. (Infinities, which the language does not have, become 65536 and NaN a larger number.)
 */
import { type Atom, constant, type Emitter, U32, vector } from "./lane.ts";

const F32x4 = vector("f32", 4);
const I32x4 = vector("i32", 4);
const U32x4 = vector("u32", 4);

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
  const moved = e.binary("add", integer, numbers(2 ** 23, 2 ** 39));
  const low = e.pure({ op: "bitcast", x: moved }, U32x4, [moved]);
  const placed = e.binary("mul", low, constant(2 ** 13, U32x4));
  const small = e.pure({ op: "bitcast", x: placed }, F32x4, [placed]);
  const normal = e.binary("mul", small, constant(2 ** 112, F32x4));
  const denormal = e.binary("mul", integer, numbers(2 ** -24, 2 ** -40));
  const larger = e.select(e.binary("gt", denormal, normal), denormal, normal);
  const magnitude = e.pure({ op: "bitcast", x: larger }, U32x4, [larger]);
  const whole = e.binary("or", magnitude, e.binary("and", raised, constant(0x80000000, U32x4)));
  return e.pure({ op: "bitcast", x: whole }, F32x4, [whole]);
}
