/**
 * Block-quantised elements as codes: small integers that stand for numbers once a scale and an offset are applied.
 *
 * Two ways of getting four codes out of a word. *Extracted*: each is moved to the low end of a lane of a vector and
 * converted, one unpacking operation. *In place*: the word is copied to four lanes and masked, so that each code stays
 * where it lies and is too large by a power of two, which the other factor makes up for. That spares all shifts, which
 * SwiftShader does one lane at a time. What is signed in one way is offset in the other: `zero` says by how much.
 *
 * "hidden" keeps the masks from the adapter's compiler: SwiftShader holds each constant in memory of its own and names
 * its 64-bit address at every use, which for masks that every word meets is a good part of the code.
 */
import { type StorageFormat, unpackingOf } from "../../ir/formats.ts";
import type { Emitter } from "../../ir/lane/emitter.ts";
import type { Atom } from "../../ir/lane/program.ts";
import { constant, F32, U32, vector } from "../../ir/lane/program.ts";

/**
 * Four elements of a block-quantised tensor: an element is `scale` · (values · place − zero) + `minimum`. `place` is
 * absent where it is 1, `zero` and `minimum` where they are 0.
 */
export interface Codes {
  readonly values: Atom;
  readonly place?: Atom;
  readonly zero?: Zero;
  /** Elements with one scale have one block, whatever its name is. */
  readonly block: string;
  /** Asked for when it is needed, after the products: until then only the word that it comes from is kept. */
  readonly scale: () => Atom;
  readonly minimum?: () => Atom;
}

type Unscaled = Omit<Codes, "scale" | "minimum" | "block">;

/** What the first `of` of four codes have too much. */
export interface Zero {
  readonly each: number;
  readonly of: 3 | 4;
}

/** How codes are taken; "hidden" is in place, with masks that the adapter's compiler does not know. */
export type Way = "extracted" | "in place" | "hidden";

const I32 = vector("i32", 1);
const F32x4 = vector("f32", 4);

/** The codes of four elements in one word: its four signed bytes, or the low or high nibbles of them, less the zero. */
export function codesOf(e: Emitter, format: StorageFormat, word: Atom, high: boolean, way: Way): Unscaled {
  const mask = (m: number): Atom => (way === "hidden" ? e.hidden(m | 0, I32) : constant(m | 0, I32));
  const bytes = unpackingOf(format) === "bytes";
  const each = zeroIn(format);
  if (way !== "extracted") return bytes ? bytesInPlace(e, word, mask) : nibblesInPlace(e, word, high, each, mask);
  if (bytes) return { values: e.pure({ op: "unpack", format: "q8", x: word }, F32x4, [word]) };
  const low = high ? e.binary("shr", word, constant(4, U32)) : word;
  const values = e.pure({ op: "unpack", format: "u4", x: low }, F32x4, [low]);
  return each === 0 ? { values } : { values, zero: { each, of: 4 } };
}

/** The operation that gives the numbers of four codes at once. */
export function quadOf(format: StorageFormat): "q8" | "q4" | "u4" {
  if (unpackingOf(format) === "bytes") return "q8";
  return zeroIn(format) === 8 ? "q4" : "u4";
}

/** What the codes of a format have too much. */
function zeroIn({ code }: StorageFormat): number {
  return code.kind === "integer" ? code.zero : 0;
}

/** The number of one code that was taken out of its word, before the scale. */
export function numberOfCode(e: Emitter, code: Atom, format: StorageFormat): Atom {
  const { code: kind, bits } = format;
  if (kind.kind !== "integer") throw new Error(`${format.name} is no block format`);
  // Two's complement is unsigned with the sign bit flipped, that much too large.
  const sign = kind.signed ? 2 ** (bits - 1) : 0;
  const flipped = kind.signed ? e.binary("xor", code, constant(sign, U32)) : code;
  const number = e.pure({ op: "cast", x: flipped }, F32, [flipped]);
  const zero = sign + kind.zero;
  return zero === 0 ? number : e.binary("sub", number, constant(zero, F32));
}

function bytesInPlace(e: Emitter, word: Atom, mask: (m: number) => Atom): Unscaled {
  // The sign bit of the highest byte is the word's own; the others become unsigned, 128 too large.
  const flipped = e.binary("xor", word, constant(0x00808080, U32));
  return {
    values: masked(e, flipped, mask, [0xff, 0xff00, 0xff0000, 0xff000000]),
    place: numbers(e, [0, 8, 16, 24].map(power)),
    zero: { each: 128, of: 3 },
  };
}

function nibblesInPlace(e: Emitter, word: Atom, high: boolean, each: number, mask: (m: number) => Atom): Unscaled {
  if (!high || each !== 8) {
    // Without the zero that makes up for a flipped sign the high nibbles are moved down.
    const low = high ? e.binary("shr", word, constant(4, U32)) : word;
    return {
      values: masked(e, low, mask, [0xf, 0xf00, 0xf0000, 0xf000000]),
      place: numbers(e, [0, 8, 16, 24].map(power)),
      ...(each === 0 ? {} : { zero: { each, of: 4 } as const }),
    };
  }
  // The highest nibble has the word's sign bit, which turns 8 … 15 into -8 … -1 once it is flipped.
  const flipped = e.binary("xor", word, constant(0x80000000, U32));
  return {
    values: masked(e, flipped, mask, [0xf0, 0xf000, 0xf00000, 0xf0000000]),
    place: numbers(e, [4, 12, 20, 28].map(power)),
    zero: { each, of: 3 },
  };
}

function power(bits: number): number {
  return 2 ** -bits;
}

/** The word's bits under four masks, as signed integers, as f32: exact, since eight bits at most are set. */
function masked(e: Emitter, word: Atom, mask: (m: number) => Atom, masks: readonly number[]): Atom {
  const signed = e.pure({ op: "bitcast", x: word }, I32, [word]);
  const parts = e.compose(masks.map(mask));
  const cut = e.binary("and", e.widen(signed, 4), parts);
  return e.pure({ op: "cast", x: cut }, F32x4, [cut]);
}

/** The zero of four codes as a vector. */
export function zeroOf(e: Emitter, { each, of }: Zero): Atom {
  return of === 4 ? constant(each, F32x4) : numbers(e, [each, each, each, 0]);
}

function numbers(e: Emitter, values: readonly number[]): Atom {
  return e.compose(values.map((v) => constant(v, vector("f32", 1))));
}
