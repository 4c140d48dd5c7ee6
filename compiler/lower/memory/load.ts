/**
 * Loads of tiles as loads of buffer elements: how each storage format is taken out of its words.
 *
 * f16 and bf16 lie two to a 32-bit word (facts: faster than vec4<f16>, and needs no feature of the adapter), what has
 * fewer bits four and eight; the scales of block formats lie behind the elements, which keep 16-byte alignment.
 */
import {
  blockOf,
  blockWords,
  codeWords,
  formatOf,
  halfFormat,
  inBlocks,
  perWord,
  scalesOf,
  unpackingOf,
} from "../../ir/formats.ts";
import type { Emitter } from "../../ir/lane/emitter.ts";
import { type Atom, type Buffer, constant, F32, type Rhs, U32, vector, type Width } from "../../ir/lane/program.ts";
import type { Target } from "../../schedule/target.ts";
import { fourHalves } from "./decode-half.ts";
import { type Codes, codesOf, numberOfCode, quadOf, type Way, zeroOf } from "./decode-quantised.ts";
import { alongRun, type Panel } from "./panels.ts";
import { bytesOfWord, floatOfCode } from "./small-floats.ts";
import type { Words } from "./words.ts";

/** Emits the loads of one kernel. Addresses count elements. */
export class Loads {
  readonly #e: Emitter;
  readonly #words: Words;
  /** How codes of quantised elements are taken; see decode-quantised.ts. */
  readonly #way: Way;
  readonly #scalarShifts: boolean;
  /** How tensors lie that lie in panels. */
  readonly #panels: (param: string) => Panel | undefined;

  constructor(e: Emitter, words: Words, target: Target, panels: (param: string) => Panel | undefined) {
    this.#e = e;
    this.#words = words;
    this.#panels = panels;
    const { scalarShifts, constantsAreLoads, unpacksBytes } = target.traits;
    this.#scalarShifts = scalarShifts;
    this.#way = unpacksBytes ? "extracted" : constantsAreLoads ? "hidden" : "in place";
  }

  /** The number of the block that an element belongs to. */
  #block(b: Buffer, address: Atom): Atom {
    return this.#shift(address, Math.log2(blockOf(b.storage)));
  }

  /** What the elements of a block share: the scale, or the minimum behind it. */
  #shared(b: Buffer, block: Atom, which: "scale" | "minimum"): Atom {
    const e = this.#e;
    const format = formatOf(b.storage);
    const codes = codeWords(b.storage, b.elements);
    if (format.layout === "interleaved" || scalesOf(format) === 2) {
      const { codes: own, stride } = blockWords(format);
      const [first, step] = format.layout === "interleaved" ? [own, stride] : [codes, 1];
      const word = e.binary("add", e.binary("mul", block, constant(step, U32)), constant(first, U32));
      return e.component(this.#unpack("f16", this.#words.word(b, word)), which === "scale" ? 0 : 1);
    }
    const word = e.binary("add", this.#shift(block, 1), constant(codes, U32));
    return this.#half("f16", this.#words.word(b, word), this.#mask(block, 1));
  }

  /**
   * The first or second 16-bit element of a word, as `odd` is 0 or 1. Shifting the word costs less than unpacking both.
   */
  #half(format: "f16" | "bf16", word: Atom, odd: Atom): Atom {
    const e = this.#e;
    if (odd.kind === "const") return e.component(this.#unpack(format, word), odd.value);
    if (this.#scalarShifts) {
      // The wanted half goes up instead of down: by a product, which depends on the place alone and so is there for
      // many words.
      const up = e.select(e.binary("eq", odd, constant(1, U32)), constant(1, U32), constant(2 ** 16, U32));
      return e.component(this.#unpack(format, e.binary("mul", word, up)), 1);
    }
    const low = e.binary("shr", word, e.binary("shl", odd, constant(4, U32)));
    return e.component(this.#unpack(format, low), 0);
  }

  #shift(x: Atom, bits: number): Atom {
    return this.#e.shift(x, bits);
  }

  /** `bits` is a power of two less one. */
  #mask(x: Atom, bits: number): Atom {
    return this.#e.low(x, Math.log2(bits + 1));
  }

  #unpack(format: (Rhs & { op: "unpack" })["format"], word: Atom): Atom {
    const width = format === "f16" || format === "bf16" ? 2 : 4;
    return this.#e.pure({ op: "unpack", format, x: word }, vector("f32", width), [word]);
  }

  /** `width` elements at `offset` from the aligned start of a lane's run. Registers of one run share the raw loads. */
  loadWide(param: string, start: Atom, offset: number, width: Width): Atom {
    const b = this.#words.buffer(param);
    const e = this.#e;
    const panel = this.#panels(param);
    const { code } = formatOf(b.storage);
    const raw = (at: number): Atom => this.#words.run(b, start, alongRun(panel, at));
    const per = perWord(b.storage);
    if (code.kind === "float") {
      const places = Array.from({ length: width / per }, (_, i) => offset + per * i);
      const words = places.map((at) => e.component(raw(at), (at % b.unit) / per));
      if (per === 4) return e.compose(words.map((w) => floatOfCode(e, bytesOfWord(e, w), code)));
      const format = halfFormat(b.storage);
      const [first, second] = words;
      if (this.#scalarShifts && first !== undefined && second !== undefined)
        return fourHalves(e, format, first, second);
      return e.compose(words.map((w) => this.#unpack(format, w)));
    }
    if (code.kind === "integer") {
      // Registers are vec4 wherever a quantised tensor is read wide, and blocks are aligned to runs.
      const { values, place, zero, scale, minimum } = this.loadCodes(param, start, offset);
      const placed = place === undefined ? values : e.binary("mul", values, place);
      const steps = e.binary("mul", zero === undefined ? placed : e.binary("sub", placed, zeroOf(e, zero)), scale());
      return minimum === undefined ? steps : e.binary("add", steps, minimum());
    }
    if (b.unit === width) return raw(offset);
    const ones = Array.from({ length: width }, (_, i) => offset + i);
    return e.compose(ones.map((at) => e.component(raw(at), at % b.unit)));
  }

  /** Is this tensor stored in codes with a scale for each block? */
  coded(param: string): boolean {
    return inBlocks(this.#words.buffer(param).storage);
  }

  /** Four elements at `offset` from the aligned start of a lane's run, as codes. */
  loadCodes(param: string, start: Atom, offset: number): Codes {
    const b = this.#words.buffer(param);
    const e = this.#e;
    const format = formatOf(b.storage);
    const per = perWord(b.storage);
    const word = e.component(this.#words.run(b, start, offset), Math.floor((offset % b.unit) / per));
    // Runs are aligned, so the registers of a block (or of a run shorter than one) name the same address and share one
    // scale.
    const block = this.#block(b, e.binary("add", start, constant(offset - (offset % blockOf(b.storage)), U32)));
    return {
      ...codesOf(e, format, word, offset % per >= 4, this.#way),
      block: block.kind === "ref" ? block.name : String(block.value),
      scale: () => this.#shared(b, block, "scale"),
      ...(format.scale?.minimum === true ? { minimum: () => this.#shared(b, block, "minimum") } : {}),
    };
  }

  /** One element. */
  loadOne(param: string, address: Atom): Atom {
    const b = this.#words.buffer(param);
    const { code } = formatOf(b.storage);
    if (code.kind === "integer") return this.#loadQuantised(b, address);
    if (code.kind === "float") {
      if (perWord(b.storage) !== 2) return floatOfCode(this.#e, this.#code(b, address), code);
      return this.#half(halfFormat(b.storage), this.#words.word(b, this.#shift(address, 1)), this.#mask(address, 1));
    }
    if (b.unit === 1) return this.#words.raw(b, address);
    return this.#words.raw(b, this.#shift(address, Math.log2(b.unit)), this.#mask(address, b.unit - 1));
  }

  #loadQuantised(b: Buffer, address: Atom): Atom {
    const e = this.#e;
    const number = this.#step(b, address);
    const block = this.#block(b, address);
    const scaled = e.binary("mul", number, this.#shared(b, block, "scale"));
    return formatOf(b.storage).scale?.minimum === true
      ? e.binary("add", scaled, this.#shared(b, block, "minimum"))
      : scaled;
  }

  /** The number of an element's code, before the scale. */
  #step(b: Buffer, address: Atom): Atom {
    const e = this.#e;
    const format = formatOf(b.storage);
    const unpacking = unpackingOf(format);
    if (unpacking === undefined) return numberOfCode(e, this.#code(b, address), format);
    const word = this.#words.word(b, this.#shift(address, Math.log2(perWord(b.storage))));
    const nibbles = unpacking === "nibbles";
    const low = nibbles ? e.binary("shr", word, e.binary("and", address, constant(4, U32))) : word;
    const four = this.#unpack(quadOf(format), low);
    const at = this.#mask(address, 3);
    return e.pure({ op: "pick", x: four, at }, F32, [four, at]);
  }

  /** The bits of one element's code, whatever their number. Codes may run on from one word into the next. */
  #code(b: Buffer, address: Atom): Atom {
    const e = this.#e;
    const format = formatOf(b.storage);
    const { bits } = format;
    const block = blockOf(b.storage);
    // The bit that the code begins at, counted from the first word of its block.
    const [base, within] =
      block === 1
        ? [constant(0, U32), address]
        : [
            e.binary("mul", this.#block(b, address), constant(blockWords(format).stride, U32)),
            this.#mask(address, block - 1),
          ];
    const even = 32 % bits === 0;
    const per = 32 / bits;
    const bit = e.binary("mul", even ? this.#mask(within, per - 1) : within, constant(bits, U32));
    const word = e.binary("add", base, this.#shift(even ? within : bit, even ? Math.log2(per) : 5));
    const shift = even ? bit : this.#mask(bit, 31);
    const low = e.binary("shr", this.#words.word(b, word), shift);
    const mask = constant(2 ** bits - 1, U32);
    if (even) return e.binary("and", low, mask);
    // Of a code that is whole in its word nothing is taken from the next one.
    const next = this.#words.word(b, e.binary("add", word, constant(1, U32)));
    const rest = e.binary("shl", next, e.binary("sub", constant(32, U32), shift));
    const cut = e.binary("gt", shift, constant(32 - bits, U32));
    return e.binary("and", e.binary("or", low, e.select(cut, rest, constant(0, U32))), mask);
  }
}
