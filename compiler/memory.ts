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
  readonly store: boolean;
}

/** Row-major strides, in elements. */
export function stridesOf(program: Specialised, param: string): number[] {
  const p = program.params.find((x) => x.name === param);
  const sizes = p?.kind === "tensor" ? p.dims.map((d) => program.binding.sizes[d] ?? 1) : [];
  const strides = sizes.map(() => 1);
  for (let i = sizes.length - 2; i >= 0; i--) strides[i] = (strides[i + 1] ?? 1) * (sizes[i + 1] ?? 1);
  return strides;
}

/** Elements in 16 bytes. */
function capacity(storage: StorageType): number {
  return storage === "f16" || storage === "bf16" ? 8 : 4;
}

/**
 * How many elements from the start of a lane's run this site can move at once, a power of two; 1 when its addresses are not contiguous or not aligned.
 * Loads may take 16 bytes; a store moves one register.
 */
export function wideness(program: Specialised, schedule: Schedule, definitions: Definitions, site: Site): number {
  const spreads = (id: number): boolean => {
    const axis = definitions.loopIndex.get(id);
    const op = definitions.ops.get(id);
    const axes = axis !== undefined ? [axis] : op !== undefined && "axes" in op ? op.axes : [];
    return axes.some((a) => (schedule.axes[a]?.width ?? 1) > 1);
  };
  const last = site.index.at(-1);
  if (last === undefined || site.index.slice(0, -1).some(spreads)) return 1;
  const walk = definitions.walk(last);
  const layout = walk === undefined ? undefined : schedule.axes[walk.axis];
  if (walk === undefined || layout === undefined || layout.width === 1) return 1;
  const strides = stridesOf(program, site.param).slice(0, -1);
  const block = program.axes[walk.axis]?.kind === "block" ? layout.size : 0;
  const steps = [walk.offset, block, ...strides];
  const most = site.store ? layout.width : Math.min(capacity(program.binding.storage[site.param] ?? "f32"), layout.width * layout.chunk);
  for (let run = most; run >= layout.width; run /= 2) if (steps.every((n) => n % run === 0)) return run;
  return 1;
}

/** Emits the loads and stores of one kernel. Addresses count elements. */
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
    const words = (packed ? b.unit / 2 : b.unit) as Width;
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

  /** `width` elements at `offset` from the aligned start of a lane's run. Registers of one run share the raw loads. */
  loadWide(param: string, start: Atom, offset: number, width: Width): Atom {
    const b = this.#buffer(param);
    const e = this.#e;
    const raw = (at: number): Atom => this.#raw(b, this.#shift(e.binary("add", start, constant(at - (at % b.unit), U32)), Math.log2(b.unit)));
    if (b.storage === "f16" || b.storage === "bf16") {
      const format = b.storage;
      const pairs = Array.from({ length: width / 2 }, (_, i) => offset + 2 * i);
      return e.compose(pairs.map((at) => this.#unpack(format, e.component(raw(at), (at % b.unit) / 2))));
    }
    if (b.unit === width) return raw(offset);
    const ones = Array.from({ length: width }, (_, i) => offset + i);
    return e.compose(ones.map((at) => e.component(raw(at), at % b.unit)));
  }

  /** One element. */
  loadOne(param: string, address: Atom): Atom {
    const b = this.#buffer(param);
    if (b.storage === "f16" || b.storage === "bf16") {
      const word = this.#shift(address, 1);
      const words = b.unit / 2;
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
      const perElement = b.unit / 2;
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
