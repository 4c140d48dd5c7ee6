/**
 * Loads and stores of tiles as loads and stores of buffer elements.
 *
 * The one place that knows how storage formats lie in memory. f16 and bf16 are packed two to a 32-bit word (facts: faster than vec4<f16>, and needs no
 * feature of the adapter); q8 and q4 four and eight to a word, with the scales of all blocks behind the elements, so that elements keep 16-byte alignment. A site is *wide* when the last index walks along a spread axis, nothing else does, and the address is known to be aligned.
 */

import { unfit } from "../host/diagnostics.ts";
import type { StorageType } from "../ir/formats.ts";
import { capacity, elementCount, perWord, QUANT_BLOCK } from "../ir/formats.ts";
import type { Emitter } from "../ir/lane/emitter.ts";
import type { Atom, Buffer, Width } from "../ir/lane/program.ts";
import { constant, F32, U32, vector } from "../ir/lane/program.ts";
import type { Op, Specialised } from "../ir/tile/program.ts";
import type { Definitions } from "../passes/analysis/induction.ts";
import type { Target } from "../schedule/target.ts";
import type { Schedule } from "../schedule/types.ts";
import { fourHalves } from "./decode-half.ts";
import { type Codes, codesOf, type Way, zeroOf } from "./decode-quantised.ts";
import { alongRun, type Panel } from "./panels.ts";

export interface Site {
  readonly param: string;
  readonly index: readonly number[];
  readonly store: boolean;
}

/** What is written, and where that is said. */
type StoreSite = Pick<Op & { op: "store" }, "param" | "span">;

/** Row-major strides, in elements. */
export function stridesOf(program: Specialised, param: string): number[] {
  const p = program.params.find((x) => x.name === param);
  const sizes = p?.kind === "tensor" ? p.dims.map((d) => program.binding.sizes[d] ?? 1) : [];
  const strides = sizes.map(() => 1);
  for (let i = sizes.length - 2; i >= 0; i--) strides[i] = (strides[i + 1] ?? 1) * (sizes[i + 1] ?? 1);
  return strides;
}

/** How a tensor lies that lies in panels. */
export function panelOf(program: Specialised, param: string): Panel | undefined {
  const rows = program.binding.panels?.[param] ?? 1;
  const piece = capacity(program.binding.storage[param] ?? "f32");
  return rows === 1 ? undefined : { rows, piece, width: stridesOf(program, param).at(-2) ?? 1 };
}

/**
 * How many elements from the start of a lane's run this site can move at once, a power of two; 1 when its addresses are not contiguous or not aligned.
 * Loads may take 16 bytes; a store moves one register, or several of one element each.
 */
export function wideness(program: Specialised, schedule: Schedule, definitions: Definitions, site: Site): number {
  const spreads = (id: number): boolean => definitions.axesOf(id).some((a) => (schedule.axes[a]?.width ?? 1) > 1);
  const last = site.index.at(-1);
  if (last === undefined || site.index.slice(0, -1).some(spreads)) return 1;
  const walk = definitions.walk(last);
  const layout = walk === undefined ? undefined : schedule.axes[walk.axis];
  const storage = program.binding.storage[site.param] ?? "f32";
  if (walk === undefined || layout === undefined || layout.width * layout.chunk === 1) return 1;
  // Single elements that lie side by side in a lane make a run only where each of them is a word.
  if (layout.width === 1 && perWord(storage) > 1) return 1;
  const strides = stridesOf(program, site.param).slice(0, -1);
  const block = program.axes[walk.axis]?.kind === "block" ? layout.size : 0;
  const steps = [walk.offset, block, ...strides];
  const own = layout.width * layout.chunk;
  const most = site.store && layout.width > 1 ? layout.width : Math.min(capacity(storage), own);
  const param = program.params.find((p) => p.name === site.param);
  if (param?.kind === "tensor" && param.atomic) return 1;
  const least = Math.max(layout.width, perWord(storage), 2);
  // Beyond a piece an address that begins none would leave the panel's row.
  const start = panelOf(program, site.param) === undefined ? least : Math.max(least, Math.min(capacity(storage), own));
  for (let run = most; run >= start; run /= 2) if (steps.every((n) => n % run === 0)) return run;
  return 1;
}

/** Emits the loads and stores of one kernel. Addresses count elements. */
export class Memory {
  readonly #e: Emitter;
  readonly #buffers: ReadonlyMap<string, Buffer>;
  /** How codes of quantised elements are taken; see codes.ts. */
  readonly #way: Way;
  /** Lanes are parts of a vector that the adapter shifts one lane at a time. */
  readonly #slowShifts: boolean;
  /** How tensors lie that lie in panels. */
  readonly #panels: (param: string) => Panel | undefined;

  constructor(
    e: Emitter,
    buffers: ReadonlyMap<string, Buffer>,
    target: Target,
    panels: (param: string) => Panel | undefined,
  ) {
    this.#e = e;
    this.#buffers = buffers;
    this.#panels = panels;
    // Vectors of four are those of processors as they were before AVX2, which is what SwiftShader compiles for.
    this.#slowShifts = target.profile === "software" && target.subgroup > 0 && target.subgroup <= 4;
    this.#way = this.#slowShifts ? "hidden" : target.profile === "software" ? "in place" : "extracted";
  }

  #buffer(param: string): Buffer {
    const found = this.#buffers.get(param);
    if (found === undefined) throw new Error(`no buffer for "${param}"`);
    return found;
  }

  /** One buffer element, or one word of it. */
  #raw(b: Buffer, index: Atom, part?: Atom): Atom {
    const words = (b.unit / perWord(b.storage)) as Width;
    const base = b.storage === "f32" || b.storage === "i32" ? b.storage : "u32";
    const type = vector(base, part === undefined ? words : 1);
    const rhs = {
      op: "load",
      buffer: b.name,
      index: this.#inside(b, index),
      ...(part === undefined ? {} : { part }),
    } as const;
    return b.writes ? this.#e.here(rhs, type) : this.#e.pure(rhs, type, [index, ...(part === undefined ? [] : [part])]);
  }

  /** A constant index beyond the end belongs to a dead element, and WGSL would refuse it. */
  #inside(b: Buffer, index: Atom): Atom {
    return index.kind === "const" ? constant(Math.min(index.value, elementCount(b) - 1), U32) : index;
  }

  /** One word by its number. */
  #word(b: Buffer, word: Atom): Atom {
    const words = b.unit / perWord(b.storage);
    return words === 1
      ? this.#raw(b, word)
      : this.#raw(b, this.#shift(word, Math.log2(words)), this.#mask(word, words - 1));
  }

  /** The scale of the block that an element belongs to. */
  #scale(b: Buffer, address: Atom): Atom {
    return this.#scaleOf(b, this.#shift(address, Math.log2(QUANT_BLOCK)));
  }

  /** The scale of a block by its number. */
  #scaleOf(b: Buffer, block: Atom): Atom {
    const e = this.#e;
    const word = e.binary("add", this.#shift(block, 1), constant(b.elements / perWord(b.storage), U32));
    return this.#half("f16", this.#word(b, word), this.#mask(block, 1));
  }

  /** The first or second 16-bit element of a word, as `odd` is 0 or 1. Shifting the word costs less than unpacking both. */
  #half(format: "f16" | "bf16", word: Atom, odd: Atom): Atom {
    const e = this.#e;
    if (odd.kind === "const") return e.component(this.#unpack(format, word), odd.value);
    if (this.#slowShifts) {
      // The wanted half goes up instead of down: by a product, which depends on the place alone and so is there for many words.
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

  #unpack(format: "f16" | "bf16" | "q8" | "q4", word: Atom): Atom {
    return this.#e.pure({ op: "unpack", format, x: word }, vector("f32", format === "q8" || format === "q4" ? 4 : 2), [
      word,
    ]);
  }

  /** Four elements from an address that is a multiple of 4, without their scale. A q4 word holds elements 0-3 in its low nibbles and 4-7 in its high ones. */
  #quads(b: Buffer, word: Atom, high: boolean): Atom {
    if (b.storage === "q8") return this.#unpack("q8", word);
    return this.#unpack("q4", high ? this.#shift(word, 4) : word);
  }

  /** `width` elements at `offset` from the aligned start of a lane's run. Registers of one run share the raw loads. */
  loadWide(param: string, start: Atom, offset: number, width: Width): Atom {
    const b = this.#buffer(param);
    const e = this.#e;
    const panel = this.#panels(param);
    const raw = (at: number): Atom => this.#run(b, start, alongRun(panel, at));
    if (b.storage === "f16" || b.storage === "bf16") {
      const format = b.storage;
      const pairs = Array.from({ length: width / 2 }, (_, i) => offset + 2 * i);
      const words = pairs.map((at) => e.component(raw(at), (at % b.unit) / 2));
      const [first, second] = words;
      if (this.#slowShifts && first !== undefined && second !== undefined) return fourHalves(e, format, first, second);
      return e.compose(words.map((w) => this.#unpack(format, w)));
    }
    if (b.storage === "q8" || b.storage === "q4") {
      // Registers are vec4 wherever a quantised tensor is read wide, and blocks are aligned to runs.
      const { values, place, zero, scale } = this.loadCodes(param, start, offset);
      const placed = place === undefined ? values : e.binary("mul", values, place);
      return e.binary("mul", zero === undefined ? placed : e.binary("sub", placed, zeroOf(e, zero)), scale());
    }
    if (b.unit === width) return raw(offset);
    const ones = Array.from({ length: width }, (_, i) => offset + i);
    return e.compose(ones.map((at) => e.component(raw(at), at % b.unit)));
  }

  /** Is this tensor stored in codes with a scale for each block? */
  coded(param: string): boolean {
    const { storage } = this.#buffer(param);
    return storage === "q8" || storage === "q4";
  }

  /** Four elements at `offset` from the aligned start of a lane's run, as codes. */
  loadCodes(param: string, start: Atom, offset: number): Codes {
    const b = this.#buffer(param);
    const format = b.storage === "q4" ? "q4" : "q8";
    const e = this.#e;
    const per = perWord(format);
    const word = e.component(this.#run(b, start, offset), Math.floor((offset % b.unit) / per));
    // Runs are aligned, so the registers of a block (or of a run shorter than one) name the same address and share one scale.
    const block = e.shift(
      e.binary("add", start, constant(offset - (offset % QUANT_BLOCK), U32)),
      Math.log2(QUANT_BLOCK),
    );
    return {
      ...codesOf(e, format, word, offset % per >= 4, this.#way),
      block: block.kind === "ref" ? block.name : String(block.value),
      scale: () => this.#scaleOf(b, block),
    };
  }

  /** The buffer element with the tensor's element at `at` from the aligned start of a lane's run. */
  #run(b: Buffer, start: Atom, at: number): Atom {
    const first = this.#e.binary("add", start, constant(at - (at % b.unit), U32));
    return this.#raw(b, this.#shift(first, Math.log2(b.unit)));
  }

  /** One element. */
  loadOne(param: string, address: Atom): Atom {
    const b = this.#buffer(param);
    if (b.storage === "q8" || b.storage === "q4") return this.#loadQuantised(b, address);
    if (b.storage === "f16" || b.storage === "bf16") {
      return this.#half(b.storage, this.#word(b, this.#shift(address, 1)), this.#mask(address, 1));
    }
    if (b.unit === 1) return this.#raw(b, address);
    return this.#raw(b, this.#shift(address, Math.log2(b.unit)), this.#mask(address, b.unit - 1));
  }

  #loadQuantised(b: Buffer, address: Atom): Atom {
    const e = this.#e;
    const word = this.#word(b, this.#shift(address, Math.log2(perWord(b.storage))));
    const nibbles = b.storage === "q4" ? e.binary("shr", word, e.binary("and", address, constant(4, U32))) : word;
    const four = this.#quads(b, nibbles, false);
    const at = this.#mask(address, 3);
    return e.binary("mul", e.pure({ op: "pick", x: four, at }, F32, [four, at]), this.#scale(b, address));
  }

  #written(site: StoreSite): Buffer {
    const b = this.#buffer(site.param);
    if (b.storage === "q8" || b.storage === "q4") {
      throw unfit({
        code: "TS-303",
        message: `"${site.param}" is stored as ${b.storage}, which kernels can only read`,
        span: site.span,
        help: "write f32 and quantise on the host",
      });
    }
    return b;
  }

  /** Stores `value` (of any width) at the aligned address `first`. */
  storeWide(site: StoreSite, first: Atom, value: Atom): void {
    const b = this.#written(site);
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
        e.push({
          op: "store",
          buffer: b.name,
          index: this.#inside(b, index),
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
        index: this.#inside(b, b.unit === 1 ? at : this.#shift(at, Math.log2(b.unit))),
        value: whole,
      });
    }
  }

  /** Stores one element; 16-bit formats cannot, since two lanes would share a word. */
  storeOne(site: StoreSite, address: Atom, value: Atom): void {
    const b = this.#written(site);
    if (b.storage === "f16" || b.storage === "bf16") {
      throw unfit({
        code: "TS-302",
        message: `"${site.param}" is stored as ${b.storage}, and here single elements of it would be written`,
        span: site.span,
        help: "16-bit elements are written in pairs: the last dim must be even, and walked by a block, a whole dim or an over-loop without a run-time limit; or store f32",
      });
    }
    if (b.unit === 1) this.#e.push({ op: "store", buffer: b.name, index: this.#inside(b, address), value });
    else
      this.#e.push({
        op: "store",
        buffer: b.name,
        index: this.#inside(b, this.#shift(address, Math.log2(b.unit))),
        part: this.#mask(address, b.unit - 1),
        value,
      });
  }
}

/** The value type that elements of this storage have once loaded. */
export function loadedType(storage: StorageType): "f32" | "u32" | "i32" {
  return storage === "u32" || storage === "i32" ? storage : "f32";
}
