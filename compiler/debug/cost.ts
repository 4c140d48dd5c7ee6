/**
 * What a kernel's text costs: bytes and operations, counted on the tile program and so the same for every schedule and
 * adapter.
 *
 * Bytes are those that must move at least: each element that the kernel touches counts once for reading and once for
 * writing, however often programs come back to it. Operations are f32 arithmetic: one for each element of an addition,
 * a product, a quotient, an extreme or a function; a reduction of n elements is n, so a product of [m, k] by [k] is
 * 2mk. What programs repeat is counted as often as they do it. Left out is what depends on how large the blocks of a
 * loop are: the arithmetic that carries one block's result to the next. A branch that cannot be decided counts both
 * sides.
 */

import { bytesOf, type StorageType } from "../ir/formats.ts";
import { type Loop, type Op, operands, type Specialised } from "../ir/tile/program.ts";
import { extentOf } from "../ir/tile/traverse.ts";
import { Definitions } from "../passes/analysis/induction.ts";
import type { Generated } from "../pipeline-types.ts";

/** Bytes that move for one tensor of a kernel. */
export interface Traffic {
  /** Bytes that are read. */
  readonly read: number;
  /** Bytes that are written. */
  readonly written: number;
}

/** What one dispatch costs at least. */
export interface Work {
  /** Bytes of each tensor parameter, by name. */
  readonly tensors: Readonly<Record<string, Traffic>>;
  /** Operations on f32. */
  readonly operations: number;
}

/**
 * The value of a scalar parameter (no indices), or of one element of a small tensor where it is known; loop limits and
 * branches may hang on it.
 */
export type Peek = (param: string, index: readonly number[]) => number | undefined;

/**
 * Counts the bytes and operations of one dispatch, of a kernel generated for its binding: `fixed` and `schedule` of
 * what `generate` gives.
 * @param generated the kernel
 * @param peek what is known of its scalars and small tensors
 */
export function workOf(generated: Pick<Generated, "fixed" | "schedule">, peek: Peek): Work {
  return new Counter(generated.fixed, generated.schedule.grid, peek).count();
}

/** Programs beyond which those that may branch differently are sampled. */
const MOST_PROGRAMS = 4096;

/** One load or store: how many elements it reaches, and in what share of the programs it happens. */
interface Site {
  readonly param: string;
  readonly index: readonly number[];
  share: number;
  /** The walk in which it was counted last. */
  walk: number;
  /** Extents of axes and loops where the site stands, the largest seen. */
  readonly extents: Map<string, number>;
}

class Counter {
  readonly #program: Specialised;
  readonly #grid: readonly number[];
  readonly #peek: Peek;
  readonly #defs: Definitions;
  readonly #ranges: Map<number, Loop> = new Map();
  readonly #known: Map<number, number> = new Map();
  /** Extents of over-axes and trips of range-loops that are being walked. */
  readonly #extents: Map<string, number> = new Map();
  readonly #sites: Map<string, Site> = new Map();
  #open: readonly Loop[] = [];
  #share = 1;
  #walks = 0;
  #operations = 0;
  #undecided = false;

  constructor(program: Specialised, grid: readonly number[], peek: Peek) {
    this.#program = program;
    this.#grid = grid;
    this.#peek = peek;
    this.#defs = new Definitions(program);
  }

  count(): Work {
    this.#walk(this.#program.body);
    const programs = this.#program.grid.flatMap((g, i) => (g.axis === undefined ? [this.#grid[i] ?? 1] : []));
    const total = programs.reduce((a, b) => a * b, 1);
    if (this.#undecided && programs.length > 0) {
      this.#operations = 0;
      this.#sites.clear();
      const samples = Math.min(total, MOST_PROGRAMS);
      this.#share = 1 / samples;
      for (let i = 0; i < samples; i++) this.#sample(Math.floor((i * total) / samples), programs);
    }
    return { tensors: this.#traffic(), operations: Math.round(this.#operations) };
  }

  /** Walks as the program of this number does; the last dim of the grid varies fastest. */
  #sample(number: number, programs: readonly number[]): void {
    this.#known.clear();
    this.#walks++;
    const at = new Map<string, number>();
    const dims = this.#program.grid.filter((g) => g.axis === undefined);
    for (const [i, extent] of [...programs.entries()].reverse()) {
      at.set(dims[i]?.dim ?? "", number % extent);
      number = Math.floor(number / extent);
    }
    for (const op of this.#program.body) if (op.op === "program") this.#known.set(op.id, at.get(op.dim) ?? 0);
    this.#walk(this.#program.body);
  }

  #walk(ops: readonly Op[]): void {
    for (const op of ops) {
      if (op.op === "loop") this.#loop(op);
      else if (op.op === "if") {
        const cond = this.#known.get(op.cond);
        if (cond === undefined) this.#undecided = true;
        if (cond !== 0) this.#walk(op.yes);
        if (cond === undefined || cond === 0) this.#walk(op.no);
        if (cond === undefined) continue;
        for (const m of op.merged) this.#learn(m.after.id, this.#known.get(cond === 0 ? m.no : m.yes));
      } else if (op.op === "store") {
        this.#touch(op.param, op.index, "written");
        const summed = op.combine !== undefined && this.#storage(op.param) === "f32";
        if (op.combine !== undefined) this.#touch(op.param, op.index, "read");
        if (summed) this.#add([...op.index, op.value].flatMap((i) => this.#defs.axesOf(i)));
      } else {
        if (op.op === "load") this.#touch(op.param, op.index, "read");
        if (op.op === "scalar" && this.#program.binding.cells.includes(op.param)) this.#touch(op.param, [], "read");
        if (op.axes.length === 0 && !this.#known.has(op.id)) this.#learn(op.id, this.#value(op));
        if (op.type !== "f32") continue;
        if (op.op === "unary" || op.op === "binary") this.#add(op.axes);
        if (op.op === "reduce" || op.op === "scan") this.#add(this.#defs.axesOf(op.x));
      }
    }
  }

  #loop(op: Loop): void {
    const start = op.start === undefined ? 0 : this.#known.get(op.start);
    const limit = this.#known.get(op.limit);
    const most = op.axis === undefined ? 1 : extentOf(this.#program, op.axis);
    const trips = limit === undefined || start === undefined ? most : Math.max(0, limit - start);
    const name = op.axis === undefined ? `range ${op.index.id}` : `axis ${op.axis}`;
    if (op.axis === undefined) this.#ranges.set(op.index.id, op);
    if (trips === 0) return;
    this.#extents.set(name, op.axis === undefined ? trips : Math.min(trips, most));
    const outer = this.#open;
    this.#open = [...outer, op];
    this.#walk(op.body);
    this.#open = outer;
  }

  /** One operation for each element of these axes, in all programs and turns. */
  #add(axes: readonly number[]): void {
    let count = this.#share;
    for (const loop of this.#open) {
      if (loop.axis === undefined) count *= this.#extents.get(`range ${loop.index.id}`) ?? 1;
      else if (!axes.includes(loop.axis)) return;
    }
    const all = new Set(axes);
    for (const a of all) {
      count *= this.#extents.get(`axis ${a}`) ?? extentOf(this.#program, a);
    }
    for (const [i, g] of this.#program.grid.entries()) {
      if (g.axis === undefined || !all.has(g.axis)) count *= this.#grid[i] ?? 1;
    }
    this.#operations += count;
  }

  #touch(param: string, index: readonly number[], how: "read" | "written"): void {
    const key = `${how} ${param} ${index.map((i) => this.#name(i)).join(", ")}`;
    let site = this.#sites.get(key);
    if (site === undefined) {
      site = { param, index, share: 0, walk: -1, extents: new Map() };
      this.#sites.set(key, site);
    }
    if (site.walk !== this.#walks) site.share += this.#share;
    site.walk = this.#walks;
    for (const source of index.flatMap((i) => [...this.#sources(i)])) {
      site.extents.set(source, Math.max(site.extents.get(source) ?? 0, this.#extent(source)));
    }
  }

  #traffic(): Record<string, Traffic> {
    const elements = new Map<string, { read: number; written: number }>();
    for (const [key, site] of this.#sites) {
      const how = key.startsWith("read") ? "read" : "written";
      const sum = elements.get(site.param) ?? { read: 0, written: 0 };
      sum[how] += this.#reached(site);
      elements.set(site.param, sum);
    }
    const out: Record<string, Traffic> = {};
    for (const [param, { read, written }] of elements) {
      const [size, bytes] = [this.#size(param), bytesOf(this.#storage(param))];
      out[param] = { read: Math.min(read, size) * bytes, written: Math.min(written, size) * bytes };
    }
    return out;
  }

  /** Elements of a site: for each index as many as it can take on, at most the dim's. */
  #reached(site: Site): number {
    const p = this.#program.params.find((q) => q.name === site.param);
    let count = 1;
    for (const [at, id] of site.index.entries()) {
      const dim = p?.kind === "tensor" ? (p.dims[at] ?? "") : "";
      let values = 1;
      for (const source of this.#sources(id)) {
        // Programs that do not come here do not count.
        values *= (site.extents.get(source) ?? 1) * (source.startsWith("program") ? site.share : 1);
      }
      count *= Math.min(values, this.#program.binding.sizes[dim] ?? 1);
    }
    return count;
  }

  /** What an index varies with: axes, dims of the grid, range loops. */
  #sources(id: number, found: Set<string> = new Set()): Set<string> {
    for (const a of this.#defs.axesOf(id)) found.add(`axis ${a}`);
    if (this.#ranges.has(id)) found.add(`range ${id}`);
    const op = this.#defs.ops.get(id);
    if (op?.op === "program") found.add(`program ${op.dim}`);
    if (op !== undefined) for (const x of operands(op)) this.#sources(x, found);
    return found;
  }

  #extent(source: string): number {
    const [kind, name = ""] = source.split(" ");
    if (kind === "program") return this.#grid[this.#program.grid.findIndex((g) => g.dim === name)] ?? 1;
    const known = this.#extents.get(source);
    return known ?? (kind === "axis" ? extentOf(this.#program, Number(name)) : 1);
  }

  /**
   * Text that is the same for indices that reach the same elements: two loops over a dim, the same arithmetic on the
   * same numbers.
   */
  #name(id: number): string {
    const known = this.#defs.constant(id);
    if (known !== undefined) return String(known);
    const axis = this.#defs.loopIndex.get(id);
    if (axis !== undefined) return `each ${this.#program.axes[axis]?.dim}`;
    const op = this.#defs.ops.get(id);
    if (op === undefined) return `%${id}`;
    if (op.op === "iota") return `each ${this.#program.axes[op.axis]?.dim}`;
    if (op.op === "program") return `program ${op.dim}`;
    const fn = op.op === "unary" || op.op === "binary" ? op.fn : op.op === "load" || op.op === "scalar" ? op.param : "";
    return `${op.op} ${fn}(${operands(op).map((x) => this.#name(x))})`;
  }

  #storage(param: string): StorageType {
    const p = this.#program.params.find((q) => q.name === param);
    return p?.kind === "scalar" ? p.dtype : (this.#program.binding.storage[param] ?? "f32");
  }

  #size(param: string): number {
    const p = this.#program.params.find((q) => q.name === param);
    const dims = p?.kind === "tensor" ? p.dims : [];
    return dims.reduce((n, d) => n * (this.#program.binding.sizes[d] ?? 1), 1);
  }

  #learn(id: number, value: number | undefined): void {
    if (value === undefined) this.#known.delete(id);
    else this.#known.set(id, value);
  }

  /** The value of a scalar, where everything it hangs on is known. */
  #value(op: Op): number | undefined {
    if (op.op === "const") return op.value;
    if (op.op === "size") return this.#program.binding.sizes[op.dim];
    if (op.op === "scalar") return this.#peek(op.param, []);
    const values = operands(op).map((x) => this.#known.get(x));
    if (values.includes(undefined)) return undefined;
    const [a = 0, b = 0, c = 0] = values as number[];
    if (op.op === "load") return this.#peek(op.param, values as number[]);
    if (op.op === "cast") return op.type === "f32" ? Math.fround(a) : Math.trunc(a);
    if (op.op === "splat") return a;
    if (op.op === "select") return a === 0 ? c : b;
    if (op.op !== "binary") return undefined;
    const quotient = op.type === "f32" ? a / b : b === 0 ? a : Math.trunc(a / b);
    const exact = op.fn === "div" ? quotient : ARITHMETIC[op.fn]?.(a, b);
    if (exact === undefined) return undefined;
    return op.type === "u32" ? exact >>> 0 : op.type === "i32" ? exact | 0 : exact;
  }
}

const ARITHMETIC: Readonly<Record<string, (a: number, b: number) => number>> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  rem: (a, b) => (b === 0 ? 0 : a % b),
  min: Math.min,
  max: Math.max,
  lt: (a, b) => Number(a < b),
  le: (a, b) => Number(a <= b),
  gt: (a, b) => Number(a > b),
  ge: (a, b) => Number(a >= b),
  eq: (a, b) => Number(a === b),
  ne: (a, b) => Number(a !== b),
  and: (a, b) => a & b,
  or: (a, b) => a | b,
};
