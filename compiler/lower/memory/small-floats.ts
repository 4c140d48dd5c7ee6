/**
 * Small floats as integers make them: f32 to a code and a code to f32, by shifts and masks alone.
 *
 * Nothing here depends on how an adapter rounds, whether it takes denormal numbers for zero, or whether it knows NaN:
 * the same bits come out everywhere, which the conversions of WGSL do not promise.
 */
import type { Code } from "../../ir/formats.ts";
import type { Emitter } from "../../ir/lane/emitter.ts";
import { type Atom, constant, type LaneType, vector } from "../../ir/lane/program.ts";

type SmallFloat = Code & { kind: "float" };

/** What a float's codes have in common with the bits of an f32. */
function shapeOf({ exponent, fraction, ieee }: SmallFloat): {
  readonly drop: number;
  readonly least: number;
  readonly all: number;
  readonly over: number;
  readonly nan: number;
} {
  const bias = 2 ** (exponent - 1) - 1;
  const all = 2 ** (exponent + fraction) - 1;
  return {
    // Bits of f32's fraction that the code has not.
    drop: 23 - fraction,
    // The exponent field of f32 for the smallest number that is not denormal.
    least: 128 - bias,
    all,
    // The code of what is too large, and that of NaN.
    over: ieee ? all - 2 ** fraction + 1 : all,
    nan: ieee ? all - 2 ** (fraction - 1) + 1 : all,
  };
}

/** Constants of the width of `x`. */
function like(x: Atom, base: LaneType["base"] = "u32"): (n: number) => Atom {
  return (n) => constant(n, vector(base, x.type.width));
}

/** The code of an f32, rounded to nearest, halves to even; of vectors each component. */
export function codeOfFloat(e: Emitter, x: Atom, format: SmallFloat): Atom {
  const { drop, least, all, over, nan } = shapeOf(format);
  const type = vector("u32", x.type.width);
  const n = like(x);
  const bits = e.pure({ op: "bitcast", x }, type, [x]);
  const size = e.binary("and", bits, n(0x7fffffff));
  const power = e.binary("shr", size, n(23));
  const small = e.binary("lt", power, n(least));
  const number = e.binary("or", e.binary("and", size, n(0x7fffff)), n(0x800000));
  const moved = e.binary("sub", n(drop + least), e.binary("min", power, n(drop + least)));
  const shift = e.select(small, e.binary("min", moved, n(25)), n(drop));
  const whole = e.select(small, number, e.binary("sub", size, n((least - 1) * 2 ** 23)));
  const odd = e.binary("and", e.binary("shr", whole, shift), n(1));
  const half = e.binary("sub", e.binary("shl", n(1), e.binary("sub", shift, n(1))), n(1));
  const rounded = e.binary("shr", e.binary("add", e.binary("add", whole, half), odd), shift);
  const held = e.binary("min", rounded, n(over));
  const code = over === nan ? held : e.select(e.binary("gt", size, n(0x7f800000)), n(nan), held);
  const signed = e.binary("and", e.binary("shr", bits, n(31 - Math.log2(all + 1))), n(all + 1));
  return e.binary("or", code, signed);
}

/** The f32 that a code stands for; of vectors each component. No f32 on the way is denormal, unless the result is. */
export function floatOfCode(e: Emitter, code: Atom, format: SmallFloat): Atom {
  const { drop, least, all, over, nan } = shapeOf(format);
  const { width } = code.type;
  const [n, real] = [like(code), like(code, "f32")];
  const size = e.binary("and", code, n(all));
  const placed = e.binary("add", e.binary("mul", size, n(2 ** drop)), n((least - 1) * 2 ** 23));
  const cast = e.pure({ op: "cast", x: size }, vector("f32", width), [size]);
  const small = e.binary("mul", cast, real(2 ** (least - 127 - format.fraction)));
  const low = e.pure({ op: "bitcast", x: small }, vector("u32", width), [small]);
  const number = e.select(e.binary("lt", size, n(2 ** format.fraction)), low, placed);
  // Infinities and NaN have the highest exponent of f32.
  const special = format.ieee
    ? e.select(e.binary("ge", size, n(over)), e.binary("or", placed, n(0x7f800000)), number)
    : e.select(e.binary("eq", size, n(nan)), n(0x7fc00000), number);
  const sign = e.binary("mul", e.binary("and", code, n(all + 1)), n(2 ** (31 - Math.log2(all + 1))));
  const whole = e.binary("or", special, sign);
  return e.pure({ op: "bitcast", x: whole }, vector("f32", width), [whole]);
}

/** The four bytes of a word, the lowest first. */
export function bytesOfWord(e: Emitter, word: Atom): Atom {
  const moved = [8, 16, 24].map((by) => e.binary("shr", word, constant(by, word.type)));
  return e.binary("and", e.compose([word, ...moved]), constant(0xff, vector("u32", 4)));
}

/** The word of four bytes. */
export function wordOfBytes(e: Emitter, bytes: Atom): Atom {
  const up = e.compose([0, 8, 16, 24].map((by) => constant(by, vector("u32", 1))));
  const placed = e.binary("shl", bytes, up);
  return [1, 2, 3].reduce((word, i) => e.binary("or", word, e.component(placed, i)), e.component(placed, 0));
}
