/**
 * Stores of tiles as stores of buffer elements: how values become words of each storage format.
 */
import { unfit } from "../../host/diagnostics.ts";
import { blockOf, codeWords, formatOf, halfFormat, isNarrow, perWord } from "../../ir/formats.ts";
import type { Emitter } from "../../ir/lane/emitter.ts";
import { type Atom, type Buffer, constant, U32 } from "../../ir/lane/program.ts";
import type { Op } from "../../ir/tile/program.ts";
import { encodeBlock } from "./encode-blocks.ts";
import { codeOfFloat, wordOfBytes } from "./small-floats.ts";
import type { Words } from "./words.ts";

/** What is written, and where that is said. */
type StoreSite = Pick<Op & { op: "store" }, "param" | "span">;

/** Emits the stores of one kernel. Addresses count elements. */
export class Stores {
  readonly #e: Emitter;
  readonly #words: Words;
  /** Tensors of which parts of words are stored though their buffers are not atomic: nothing was stored there. */
  readonly shared: Set<string> = new Set();

  constructor(e: Emitter, words: Words) {
    this.#e = e;
    this.#words = words;
  }

  #written(site: StoreSite, blocks = false): Buffer {
    const b = this.#words.buffer(site.param);
    const { stores, scale } = formatOf(b.storage);
    if (stores === "elements") return b;
    if (stores === "nothing")
      throw unfit({
        code: "TS-302",
        message: `"${site.param}" is stored as ${b.storage}, which kernels can only read`,
        span: site.span,
        help: "write f32 and quantise on the host",
      });
    if (!blocks)
      throw unfit({
        code: "TS-302",
        message: `"${site.param}" is stored as ${b.storage}, and here parts of blocks of ${scale?.per} would be written`,
        span: site.span,
        help: "whole blocks are written along the last dim: by a block (with a size that is a multiple of theirs, if it has one), the whole dim or an over-loop without a run-time limit; or store f32",
      });
    return b;
  }

  /** Stores `value` (of any width) at the aligned address `first`. */
  storeWide(site: StoreSite, first: Atom, value: Atom): void {
    const b = this.#written(site);
    const e = this.#e;
    const width = value.type.width;
    if (isNarrow(b.storage)) {
      const per = perWord(b.storage);
      const words: Atom[] = [];
      for (let i = 0; i < width; i += per)
        words.push(
          this.#packed(
            b,
            Array.from({ length: per }, (_, n) => e.component(value, i + n)),
          ),
        );
      const perElement = b.unit / per;
      for (let i = 0; i < words.length; i += perElement) {
        const index = this.#e.shift(e.binary("add", first, constant(i * per, U32)), Math.log2(perElement * per));
        e.push({
          op: "store",
          buffer: b.name,
          index: this.#words.inside(b, index),
          value: e.compose(words.slice(i, i + perElement)),
        });
      }
      return;
    }
    for (let i = 0; i < width; i += b.unit) {
      const parts: Atom[] = [];
      for (let j = 0; j < b.unit; j++) parts.push(e.component(value, i + j));
      const whole = b.unit === width ? value : e.compose(parts);
      const at = e.binary("add", first, constant(i, U32));
      e.push({
        op: "store",
        buffer: b.name,
        index: this.#words.inside(b, b.unit === 1 ? at : this.#e.shift(at, Math.log2(b.unit))),
        value: whole,
      });
    }
  }

  /** Stores a whole block, its elements in vectors of four, at the address of its first element. */
  storeBlock(site: StoreSite, first: Atom, values: readonly Atom[]): void {
    const b = this.#written(site, true);
    const e = this.#e;
    const format = formatOf(b.storage);
    const codes = codeWords(b.storage, b.elements);
    // The scales of two blocks share a word, where no minimum lies between them.
    if (format.scale?.minimum !== true && !b.atomic) {
      this.shared.add(b.name);
      return;
    }
    const encoded = encodeBlock(e, format, values);
    const store = (index: Atom, value: Atom): void =>
      e.push({ op: "store", buffer: b.name, index: this.#words.inside(b, index), value });
    const word = e.shift(first, Math.log2(perWord(b.storage)));
    for (const [i, value] of encoded.words.entries()) store(e.binary("add", word, constant(i, U32)), value);
    const block = e.shift(first, Math.log2(blockOf(b.storage)));
    const { scale, minimum } = encoded;
    if (minimum !== undefined) {
      const both = e.binary("or", scale, e.binary("shl", minimum, constant(16, U32)));
      return store(e.binary("add", block, constant(codes, U32)), both);
    }
    const index = this.#words.inside(b, e.binary("add", e.shift(block, 1), constant(codes, U32)));
    const shift = e.binary("mul", e.low(block, 1), constant(16, U32));
    e.push({ op: "insert", buffer: b.name, index, shift, bits: 16, value: scale });
  }

  /** Refuses a store that is not of whole blocks. */
  refuse(site: StoreSite): never {
    this.#written(site);
    throw new Error(`"${site.param}" is stored by elements`);
  }

  /** The word that neighbours make. */
  #packed(b: Buffer, values: readonly Atom[]): Atom {
    const e = this.#e;
    const { code } = formatOf(b.storage);
    const [x, y] = values;
    if (code.kind !== "float" || x === undefined || y === undefined) throw new Error(`no word of ${b.storage}`);
    if (values.length === 2) return e.pure({ op: "pack", format: halfFormat(b.storage), a: x, b: y }, U32, [x, y]);
    return wordOfBytes(e, codeOfFloat(e, e.compose(values), code));
  }

  /** Stores one element; where it is a part of a word, without touching the rest, which another lane may be writing. */
  storeOne(site: StoreSite, address: Atom, value: Atom): void {
    const b = this.#written(site);
    if (isNarrow(b.storage)) return this.#insert(b, address, value);
    if (b.unit === 1) this.#e.push({ op: "store", buffer: b.name, index: this.#words.inside(b, address), value });
    else
      this.#e.push({
        op: "store",
        buffer: b.name,
        index: this.#words.inside(b, this.#e.shift(address, Math.log2(b.unit))),
        part: this.#e.low(address, Math.log2(b.unit)),
        value,
      });
  }

  #insert(b: Buffer, address: Atom, value: Atom): void {
    if (!b.atomic) {
      this.shared.add(b.name);
      return;
    }
    const e = this.#e;
    const { bits } = formatOf(b.storage);
    const per = Math.log2(32 / bits);
    const index = this.#words.inside(b, e.shift(address, per));
    const shift = e.binary("mul", e.low(address, per), constant(bits, U32));
    e.push({ op: "insert", buffer: b.name, index, shift, bits, value: this.#codeOf(b, value) });
  }

  /** The code of one element, in the low bits of a word. */
  #codeOf(b: Buffer, value: Atom): Atom {
    const { code, bits } = formatOf(b.storage);
    if (code.kind !== "float") throw new Error(`no single elements of ${b.storage} are stored`);
    if (bits < 16) return codeOfFloat(this.#e, value, code);
    const none = constant(0, value.type);
    return this.#e.pure({ op: "pack", format: halfFormat(b.storage), a: value, b: none }, U32, [value, none]);
  }
}
