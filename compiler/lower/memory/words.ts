/**
 * The buffers of a kernel as words: loads of elements of a buffer, of one word of them, and of runs of words.
 */
import { elementCount, perWord, wordType } from "../../ir/formats.ts";
import type { Emitter } from "../../ir/lane/emitter.ts";
import { type Atom, type Buffer, constant, U32, vector, type Width } from "../../ir/lane/program.ts";

/** Emits loads of words. Addresses count the tensor's elements, indices the buffer's. */
export class Words {
  readonly #e: Emitter;
  readonly #buffers: ReadonlyMap<string, Buffer>;

  constructor(e: Emitter, buffers: ReadonlyMap<string, Buffer>) {
    this.#e = e;
    this.#buffers = buffers;
  }

  buffer(param: string): Buffer {
    const found = this.#buffers.get(param);
    if (found === undefined) throw new Error(`no buffer for "${param}"`);
    return found;
  }

  /** One buffer element, or one word of it. */
  raw(b: Buffer, index: Atom, part?: Atom): Atom {
    const words = (b.unit / perWord(b.storage)) as Width;
    const type = vector(wordType(b.storage), part === undefined ? words : 1);
    const rhs = {
      op: "load",
      buffer: b.name,
      index: this.inside(b, index),
      ...(part === undefined ? {} : { part }),
    } as const;
    return b.writes ? this.#e.here(rhs, type) : this.#e.pure(rhs, type, [index, ...(part === undefined ? [] : [part])]);
  }

  /** A constant index beyond the end belongs to a dead element, and WGSL would refuse it. */
  inside(b: Buffer, index: Atom): Atom {
    return index.kind === "const" ? constant(Math.min(index.value, elementCount(b) - 1), U32) : index;
  }

  /** One word by its number. */
  word(b: Buffer, word: Atom): Atom {
    const words = b.unit / perWord(b.storage);
    return words === 1
      ? this.raw(b, word)
      : this.raw(b, this.#e.shift(word, Math.log2(words)), this.#e.low(word, Math.log2(words)));
  }

  /** The buffer element with the tensor's element at `at` from the aligned start of a lane's run. */
  run(b: Buffer, start: Atom, at: number): Atom {
    const first = this.#e.binary("add", start, constant(at - (at % b.unit), U32));
    return this.raw(b, this.#e.shift(first, Math.log2(b.unit)));
  }
}
