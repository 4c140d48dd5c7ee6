/**
 * Loads and stores of tiles as loads and stores of buffer elements.
 *
 * The one place that knows how storage formats lie in memory. f16 and bf16 are packed two to a 32-bit word (facts: faster than vec4<f16>, and needs no
 * feature of the adapter). A site is *wide* when the last index walks along a spread axis, nothing else does, and the address is known to be aligned.
 */
import type { Definitions } from "./affine.ts";
import type { StorageType } from "./ir.ts";
import { type Atom, type Buffer, constant, type Emitter, U32, vector, type Width } from "./lane.ts";
import type { Schedule } from "./schedule.ts";
import type { Specialised } from "./specialise.ts";

export interface Site {
  readonly param: string;
  readonly index: readonly number[];
  /** Axes of the index, as in the load's value. */
  readonly axes: readonly number[];
}

/** Row-major strides, in elements. */
export function stridesOf(program: Specialised, param: string): number[] {
  const p = program.params.find((x) => x.name === param);
  const sizes = p?.kind === "tensor" ? p.dims.map((d) => program.binding.sizes[d] ?? 1) : [];
  const strides = sizes.map(() => 1);
  for (let i = sizes.length - 2; i >= 0; i--) strides[i] = (strides[i + 1] ?? 1) * (sizes[i + 1] ?? 1);
  return strides;
}

/** How many elements one memory operation of this site can move; 1 when the addresses are not contiguous or not aligned. */
export function wideness(program: Specialised, schedule: Schedule, definitions: Definitions, site: Site): Width {
  const spreads = (id: number): boolean => {
    const axis = definitions.loopIndex.get(id);
    const op = definitions.ops.get(id);
    const axes = axis !== undefined ? [axis] : op !== undefined && "axes" in op ? op.axes : [];
    return axes.some((a) => (schedule.axes[a]?.width ?? 1) > 1);
  };
  const last = site.index.at(-1);
  if (last === undefined || site.index.slice(0, -1).some(spreads)) return 1;
  const walk = definitions.walk(last);
  const width = walk === undefined ? 1 : (schedule.axes[walk.axis]?.width ?? 1);
  if (walk === undefined || width === 1) return 1;
  const strides = stridesOf(program, site.param).slice(0, -1);
  const block = program.axes[walk.axis]?.kind === "block" ? (schedule.axes[walk.axis]?.size ?? 1) : 0;
  return [walk.offset, block, ...strides].every((n) => n % width === 0) ? width : 1;
}

/** Reads `width` elements from `first` on (aligned to the width when `wide`), or from each of the `addresses`. */
export class Memory {
  readonly #e: Emitter;
  readonly #buffers: ReadonlyMap<string, Buffer>;

  constructor(e: Emitter, buffers: ReadonlyMap<string, Buffer>) {
    this.#e = e;
    this.#buffers = buffers;
  }

  #buffer(param: string): Buffer {
    const found = this.#buffers.get(param);
    if (found === undefined) throw new Error(`no buffer for "${param}"`);
    return found;
  }

  #raw(b: Buffer, index: Atom, part?: Atom): Atom {
    const packed = b.storage === "f16" || b.storage === "bf16";
    const words = (packed ? Math.max(1, b.unit / 2) : b.unit) as Width;
    const base = packed ? "u32" : b.storage === "f32" ? "f32" : b.storage === "u32" ? "u32" : "i32";
    const type = vector(base as "f32" | "u32" | "i32", part === undefined ? words : 1);
    const rhs = { op: "load", buffer: b.name, index, ...(part === undefined ? {} : { part }) } as const;
    return b.writes ? this.#e.here(rhs, type) : this.#e.pure(rhs, type, [index, ...(part === undefined ? [] : [part])]);
  }

  #shift(x: Atom, bits: number): Atom {
    return this.#e.binary("shr", x, constant(bits, U32));
  }

  #mask(x: Atom, bits: number): Atom {
    return this.#e.binary("and", x, constant(bits, U32));
  }

  #unpack(format: "f16" | "bf16", word: Atom): Atom {
    return this.#e.pure({ op: "unpack", format, x: word }, vector("f32", 2), [word]);
  }

  /** `width` elements starting at the aligned address `first`. */
  loadWide(param: string, first: Atom, width: Width): Atom {
    const b = this.#buffer(param);
    const log = Math.log2(b.unit);
    if (b.storage === "f16" || b.storage === "bf16") {
      const format = b.storage;
      const words: Atom[] = [];
      for (let i = 0; i < width; i += Math.max(2, b.unit)) {
        const index = this.#shift(this.#e.binary("add", first, constant(i, U32)), Math.max(1, log));
        const raw = this.#raw(b, index);
        for (let w = 0; w < raw.type.width; w++) words.push(this.#e.component(raw, w));
      }
      return this.#e.compose(words.map((w) => this.#unpack(format, w)));
    }
    if (b.unit >= width) return this.#raw(b, this.#shift(first, log));
    const parts: Atom[] = [];
    for (let i = 0; i < width; i += b.unit) parts.push(this.#raw(b, log === 0 ? this.#e.binary("add", first, constant(i, U32)) : this.#shift(this.#e.binary("add", first, constant(i, U32)), log)));
    return this.#e.compose(parts);
  }

  /** One element. */
  loadOne(param: string, address: Atom): Atom {
    const b = this.#buffer(param);
    if (b.storage === "f16" || b.storage === "bf16") {
      const word = this.#shift(address, 1);
      const words = Math.max(1, b.unit / 2);
      const raw = words === 1 ? this.#raw(b, word) : this.#raw(b, this.#shift(word, Math.log2(words)), this.#mask(word, words - 1));
      const both = this.#unpack(b.storage, raw);
      const odd = this.#e.binary("eq", this.#mask(address, 1), constant(1, U32));
      return this.#e.select(odd, this.#e.component(both, 1), this.#e.component(both, 0));
    }
    if (b.unit === 1) return this.#raw(b, address);
    return this.#raw(b, this.#shift(address, Math.log2(b.unit)), this.#mask(address, b.unit - 1));
  }

  /** Stores `value` (of any width) at the aligned address `first`. */
  storeWide(param: string, first: Atom, value: Atom): void {
    const b = this.#buffer(param);
    const e = this.#e;
    const width = value.type.width;
    if (b.storage === "f16" || b.storage === "bf16") {
      const format = b.storage;
      const words: Atom[] = [];
      for (let i = 0; i < width; i += 2) {
        const [x, y] = [e.component(value, i), e.component(value, i + 1)];
        words.push(e.pure({ op: "pack", format, a: x, b: y }, U32, [x, y]));
      }
      const perElement = Math.max(1, b.unit / 2);
      for (let i = 0; i < words.length; i += perElement) {
        const index = this.#shift(e.binary("add", first, constant(i * 2, U32)), Math.log2(perElement * 2));
        e.push({ op: "store", buffer: b.name, index, value: e.compose(words.slice(i, i + perElement)) });
      }
      return;
    }
    for (let i = 0; i < width; i += b.unit) {
      const parts: Atom[] = [];
      for (let j = 0; j < b.unit; j++) parts.push(e.component(value, i + j));
      const whole = b.unit === width ? value : e.compose(parts);
      const at = e.binary("add", first, constant(i, U32));
      e.push({ op: "store", buffer: b.name, index: b.unit === 1 ? at : this.#shift(at, Math.log2(b.unit)), value: whole });
    }
  }

  /** Stores one element; 16-bit formats cannot, since two lanes would share a word. */
  storeOne(param: string, address: Atom, value: Atom): void {
    const b = this.#buffer(param);
    if (b.storage === "f16" || b.storage === "bf16") {
      throw new Error(`"${param}" is stored as ${b.storage}, which is written two elements at a time: its last dim must be even and indexed by a block, an over-loop or left whole`);
    }
    if (b.unit === 1) this.#e.push({ op: "store", buffer: b.name, index: address, value });
    else this.#e.push({ op: "store", buffer: b.name, index: this.#shift(address, Math.log2(b.unit)), part: this.#mask(address, b.unit - 1), value });
  }
}

/** The value type that elements of this storage have once loaded. */
export function loadedType(storage: StorageType): "f32" | "u32" | "i32" {
  return storage === "u32" || storage === "i32" ? storage : "f32";
}
