/**
 * A storage buffer of the lane simulator: words, their bounds, and who wrote them.
 *
 * Nothing orders the memory accesses of two invocations in one dispatch, so what one has written is nobody else's to
 * read, and two that write one word must write the same. Atomics are exempt: that is what they are for.
 */

import type { Buffer, LaneProgram } from "../../ir/lane/program.ts";
import type { ReduceKind, ValueType } from "../../ir/operators.ts";
import { oracleFormat } from "../formats.ts";
import { floatOf, wordCount, wordOf, wordsInUnit } from "./buffers.ts";
import { binaryOf } from "./values.ts";

export class SimulatedBuffer {
  readonly #buffer: Buffer;
  readonly #words: Uint32Array;
  readonly #lanes: number;
  readonly #base: ValueType;
  /** Words in one buffer element. */
  readonly #per: number;
  /** Elements of the buffer. */
  readonly #elements: number;
  /**
   * Who wrote each word in this dispatch, or each byte of it where elements are stored singly: 1 + the invocation's
   * number. Absent where nobody can, and for atomics of whole words.
   */
  readonly #writers: Uint32Array | undefined;
  /** Writers of one word. */
  readonly #shares: 1 | 4;

  constructor(program: LaneProgram, buffer: Buffer, words: Uint32Array | undefined) {
    const least = wordCount(buffer.storage, buffer.elements);
    if (words === undefined || words.length < least)
      throw new Error(`${program.name}: buffer "${buffer.name}" needs ${least} words, got ${words?.length ?? "none"}`);
    this.#buffer = buffer;
    this.#words = words;
    this.#lanes = program.lanes;
    this.#base = buffer.storage === "f32" || buffer.storage === "i32" ? buffer.storage : "u32";
    this.#per = wordsInUnit(buffer.storage, buffer.unit);
    this.#elements = Math.max(1, Math.ceil(least / this.#per));
    const narrow = buffer.atomic && oracleFormat(buffer.storage).bits < 32;
    this.#shares = narrow ? 4 : 1;
    this.#writers =
      buffer.writes && (narrow || !buffer.atomic) ? new Uint32Array(words.length * this.#shares) : undefined;
  }

  /** One component of an element for the invocation `me`, if there is one that it may read. */
  read(me: number, index: number, part: number): number | undefined {
    const at = this.#place(index, part);
    if (at === undefined) return undefined;
    return this.#foreign(me, at) ? undefined : this.#decode(at);
  }

  /** Why `read` gave nothing. */
  reason(index: number, part: number): string {
    const at = this.#place(index, part);
    if (at === undefined) return `loaded ${this.#element(index)}`;
    return `loaded word ${at} of "${this.#buffer.name}", which ${this.#who(this.#writers?.[at * this.#shares] ?? 0)} had written in the same dispatch`;
  }

  /** Writes one component; the fault if that is not allowed. */
  write(me: number, index: number, part: number, value: number): string | undefined {
    const at = this.#place(index, part);
    if (at === undefined) return `writes ${this.#element(index)}`;
    if (this.#undefined(value)) return `writes a value that nothing defines into "${this.#buffer.name}"`;
    const word = this.#encode(value);
    return this.#put(me, at, 0, 32, word);
  }

  /** Writes some bits of a word; the fault if that is not allowed. */
  insert(me: number, index: number, shift: number, bits: number, value: number): string | undefined {
    const at = this.#place(index, 0);
    if (at === undefined) return `writes ${this.#element(index)}`;
    if (this.#undefined(value) || Number.isNaN(shift))
      return `writes a value that nothing defines into "${this.#buffer.name}"`;
    if (shift % 8 !== 0 || shift + bits > 32 || value >= 2 ** bits)
      return `writes ${value} as ${bits} bits from bit ${shift} of a word of "${this.#buffer.name}"`;
    return this.#put(me, at, shift, bits, value);
  }

  #put(me: number, at: number, shift: number, bits: number, value: number): string | undefined {
    const before = this.#words[at] as number;
    const held = Math.floor(before / 2 ** shift) % 2 ** bits;
    const [from, to] = this.#shares === 1 ? [at, at + 1] : [at * 4 + shift / 8, at * 4 + (shift + bits) / 8];
    for (let i = from; i < to; i++) {
      const writer = this.#writers?.[i] ?? 0;
      if (writer !== 0 && writer !== me + 1 && held !== value)
        return `writes word ${at} of "${this.#buffer.name}", into which ${this.#who(writer)} has written something else`;
      if (this.#writers !== undefined) this.#writers[i] = me + 1;
    }
    this.#words[at] = before + (value - held) * 2 ** shift;
    return undefined;
  }

  /** Has another invocation written all of a word? Of a word that elements share one's own part may be left. */
  #foreign(me: number, at: number): boolean {
    if (this.#writers === undefined) return false;
    for (let i = at * this.#shares; i < (at + 1) * this.#shares; i++) {
      const writer = this.#writers[i] as number;
      if (writer === 0 || writer === me + 1) return false;
    }
    return true;
  }

  /** An indivisible update of one element; the fault if that is not allowed. */
  update(fn: ReduceKind, index: number, value: number): string | undefined {
    const at = this.#place(index, 0);
    if (at === undefined) return `updates ${this.#element(index)}`;
    if (this.#undefined(value)) return `updates "${this.#buffer.name}" with a value that nothing defines`;
    const combine = binaryOf(fn === "sum" ? "add" : fn, this.#base);
    this.#words[at] = this.#encode(combine(this.#decode(at), value));
    return undefined;
  }

  #element(index: number): string {
    const which = Number.isNaN(index) ? "an element that nothing defines" : `element ${index}`;
    return `${which} of "${this.#buffer.name}", which has ${this.#words.length / this.#per}`;
  }

  /** The word of a component of an element, if there is one. */
  #place(index: number, part: number): number | undefined {
    const at = index * this.#per + part;
    const there = index < this.#elements && part < this.#per && at < this.#words.length;
    return there ? at : undefined;
  }

  #who(writer: number): string {
    return `lane ${(writer - 1) % this.#lanes} of program ${Math.floor((writer - 1) / this.#lanes)}`;
  }

  /** A real number may well be NaN, so only integers can be told. */
  #undefined(value: number): boolean {
    return this.#base !== "f32" && Number.isNaN(value);
  }

  #decode(at: number): number {
    const word = this.#words[at] as number;
    return this.#base === "f32" ? floatOf(word) : this.#base === "i32" ? word | 0 : word;
  }

  #encode(value: number): number {
    return this.#base === "f32" ? wordOf(value) : value >>> 0;
  }
}
