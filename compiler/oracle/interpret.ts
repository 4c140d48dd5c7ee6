/**
 * The interpreter of the tile IR: the oracle that every kernel is tested against.
 *
 * It runs a compiled program, never the TypeScript, one program of the grid after the other, with every f32 operation
 * rounded as on a GPU. Dead elements of ragged tiles are filled with NaN (integers with a loud pattern) and live
 * indices are checked, so that a mistake shows instead of hiding.
 */

import type { StorageType } from "../ir/formats.ts";
import type { ReduceKind, ValueType } from "../ir/operators.ts";
import type { Op, TileProgram, Value } from "../ir/tile/program.ts";
import { inBlocks } from "./formats.ts";
import { encode, roundBlocks } from "./round.ts";
import { binary, emptyReduction, reinterpret, saturate, settle, UNARY } from "./values.ts";

/** A tensor of the host: elements decoded to numbers. */
export interface HostTensor {
  /** Elements along each dim, the last one contiguous: [rows, k]. */
  readonly shape: readonly number[];
  /** Format that stores are rounded to. */
  readonly storage: StorageType;
  /** Its elements in row-major order; whole numbers in an array of their own kind. */
  readonly data: Float32Array | Uint32Array | Int32Array;
  /** Rows in a panel where the stored tensor lies in panels; `data` is in order all the same. */
  readonly panel?: number;
}

/** How the oracle cuts what a schedule would decide about. */
export interface InterpretOptions {
  /** Elements in one block of an over-loop; odd on purpose, so that edges are ragged. */
  readonly overBlock?: number;
  /** Rows of a block without a size. */
  readonly rows?: number;
}

interface Cell {
  readonly type: ValueType;
  readonly axes: readonly number[];
  readonly data: Float64Array;
}
interface Extent {
  base: number;
  limit: number;
  size: number;
}

/**
 * Runs a program over host tensors, in place.
 * @param program the kernel
 * @param tensors what each tensor parameter holds, by name; those that the kernel writes are changed
 * @param scalars the run-time numbers, by name; `options` has the sizes of blocks
 * @throws Error where an index lies outside its tensor, or a parameter is missing
 */
export function interpret(
  program: TileProgram,
  tensors: Readonly<Record<string, HostTensor>>,
  scalars: Readonly<Record<string, number>> = {},
  options: InterpretOptions = {},
): void {
  const storage = Object.fromEntries(Object.entries(tensors).map(([name, t]) => [name, t.storage]));
  new Interpreter(kindFor(program, storage), tensors, scalars, options).run();
}

/** The program for the kind of numbers that these tensors hold. */
function kindFor(program: TileProgram, storage: Readonly<Record<string, StorageType>>): TileProgram {
  const fits = (kind: TileProgram): boolean =>
    kind.params.every((p) => p.kind === "scalar" || p.storage.includes(storage[p.name] ?? "f32"));
  return program.kinds?.find(fits) ?? program;
}

class Interpreter {
  readonly #p: TileProgram;
  readonly #tensors: Readonly<Record<string, HostTensor>>;
  readonly #scalars: Readonly<Record<string, number>>;
  readonly #sizes: Map<string, number> = new Map<string, number>();
  readonly #extents: Map<number, Extent> = new Map<number, Extent>();
  readonly #cells: Map<number, Cell> = new Map<number, Cell>();
  readonly #grid: Map<string, number> = new Map<string, number>();
  /** Tensors in blocks -> elements of them that were stored: blocks are rounded once they are whole. */
  readonly #stored: Map<string, Set<number>> = new Map();
  readonly #over: number;
  readonly #rows: number;
  /** The first power of a negative base, in words. */
  #negative: string | undefined;

  constructor(
    program: TileProgram,
    tensors: Readonly<Record<string, HostTensor>>,
    scalars: Readonly<Record<string, number>>,
    options: InterpretOptions,
  ) {
    this.#p = program;
    this.#tensors = tensors;
    this.#scalars = scalars;
    this.#over = options.overBlock ?? 5;
    this.#rows = options.rows ?? 3;
    for (const p of program.params) {
      if (p.kind !== "tensor") continue;
      for (const [i, dim] of p.dims.entries()) {
        const n = tensors[p.name]?.shape[i];
        const known = this.#sizes.get(dim);
        if (n === undefined || (known !== undefined && known !== n))
          throw new Error(
            `${program.name}: "${p.name}" has ${n} elements along "${dim}", expected ${known ?? "a size"}`,
          );
        this.#sizes.set(dim, n);
      }
    }
  }

  run(): void {
    const counts = this.#p.grid.map((g) => {
      const n = this.#sizes.get(g.dim) ?? 1;
      return g.axis === undefined ? n : Math.ceil(n / this.#blockSize(g.axis));
    });
    const total = counts.reduce((a, b) => a * b, 1);
    for (let pid = 0; pid < total; pid++) {
      let rest = pid;
      for (let i = counts.length - 1; i >= 0; i--) {
        const g = this.#p.grid[i];
        const at = rest % (counts[i] ?? 1);
        rest = Math.floor(rest / (counts[i] ?? 1));
        if (g === undefined) continue;
        this.#grid.set(g.dim, at);
        if (g.axis !== undefined) {
          const size = this.#blockSize(g.axis);
          this.#extents.set(g.axis, { base: at * size, limit: this.#sizes.get(g.dim) ?? 0, size });
        }
      }
      for (const a of this.#p.axes) {
        if (a.kind !== "whole") continue;
        const n = this.#sizes.get(a.dim) ?? 0;
        this.#extents.set(a.id, { base: 0, limit: n, size: n });
      }
      this.#ops(this.#p.body);
    }
    for (const [param, stored] of this.#stored) {
      const part = roundBlocks(this.#tensor(param), stored);
      if (part !== undefined) throw new Error(`${this.#p.name}: of block ${part} of "${param}" a part is stored`);
    }
  }

  #blockSize(axis: number): number {
    const a = this.#p.axes[axis];
    return a?.size ?? (a?.kind === "block" ? this.#rows : this.#over);
  }

  #cell(id: number): Cell {
    const c = this.#cells.get(id);
    if (c === undefined) throw new Error(`${this.#p.name}: %${id} has no value`);
    return c;
  }

  #extent(axis: number): Extent {
    const e = this.#extents.get(axis) ?? { base: 0, limit: 0, size: this.#over };
    this.#extents.set(axis, e);
    return e;
  }

  #sizesOf(axes: readonly number[]): number[] {
    return axes.map((a) => this.#extent(a).size);
  }

  /** Calls `visit` for every element of a tile: flat number, place along each axis, and whether it is alive. */
  #each(axes: readonly number[], visit: (flat: number, at: readonly number[], alive: boolean) => void): void {
    const sizes = this.#sizesOf(axes);
    const living = axes.map((a) => {
      const { base, limit } = this.#extent(a);
      return limit - base;
    });
    const total = sizes.reduce((a, b) => a * b, 1);
    const at = axes.map(() => 0);
    for (let flat = 0; flat < total; flat++) {
      let alive = true;
      for (let i = 0; i < at.length; i++) if ((at[i] ?? 0) >= (living[i] ?? 0)) alive = false;
      visit(flat, at, alive);
      for (let i = at.length - 1; i >= 0; i--) {
        const next = (at[i] ?? 0) + 1;
        if (next < (sizes[i] ?? 1)) {
          at[i] = next;
          break;
        }
        at[i] = 0;
      }
    }
  }

  /** A function from places along `axes` to elements of `c`, which has some of these axes. */
  #reader(c: Cell, axes: readonly number[]): (at: readonly number[]) => number {
    const sizes = this.#sizesOf(c.axes);
    const from = c.axes.map((a) => axes.indexOf(a));
    return (at) => {
      let flat = 0;
      for (let i = 0; i < from.length; i++) flat = flat * (sizes[i] ?? 1) + (at[from[i] ?? 0] ?? 0);
      return c.data[flat] ?? Number.NaN;
    };
  }

  #make(v: Value, element: (at: readonly number[], alive: boolean) => number): void {
    const total = this.#sizesOf(v.axes).reduce((a, b) => a * b, 1);
    const data = new Float64Array(total);
    this.#each(v.axes, (flat, at, alive) => {
      data[flat] = settle(element(at, alive), v.type);
    });
    this.#cells.set(v.id, { type: v.type, axes: v.axes, data });
  }

  #scalar(id: number): number {
    return this.#cell(id).data[0] ?? Number.NaN;
  }

  #ops(ops: readonly Op[]): void {
    for (const op of ops) this.#op(op);
  }

  #op(op: Op): void {
    const read = (id: number, v: Value): ((at: readonly number[]) => number) => this.#reader(this.#cell(id), v.axes);
    switch (op.op) {
      case "const":
        return this.#make(op, () => op.value);
      case "size":
        return this.#make(op, () => this.#sizes.get(op.dim) ?? 0);
      case "scalar": {
        const given = this.#scalars[op.param];
        if (given === undefined) throw new Error(`${this.#p.name}: no value for the scalar "${op.param}"`);
        return this.#make(op, () => given);
      }
      case "program":
        return this.#make(op, () => this.#grid.get(op.dim) ?? 0);
      case "iota":
        return this.#make(op, (at) => this.#extent(op.axis).base + (at[0] ?? 0));
      case "unary": {
        const x = read(op.x, op);
        return this.#make(op, (at) => UNARY[op.fn](x(at)));
      }
      case "binary": {
        const [a, b] = [read(op.a, op), read(op.b, op)];
        const type = this.#cell(op.a).type;
        if (op.fn === "pow") return this.#make(op, (at) => this.#power(op, a(at), b(at)));
        return this.#make(op, (at) => binary(op.fn, a(at), b(at), type));
      }
      case "select": {
        const [c, y, n] = [read(op.cond, op), read(op.yes, op), read(op.no, op)];
        return this.#make(op, (at) => (c(at) ? y(at) : n(at)));
      }
      case "cast": {
        const x = read(op.x, op);
        const real = this.#cell(op.x).type === "f32";
        return this.#make(op, (at) => (real && op.type !== "f32" ? saturate(x(at), op.type) : x(at)));
      }
      case "bitcast": {
        const x = read(op.x, op);
        const from = this.#cell(op.x).type;
        return this.#make(op, (at) => reinterpret(x(at), from, op.type));
      }
      case "splat": {
        const x = read(op.x, op);
        return this.#make(op, x);
      }
      case "scan": {
        const x = read(op.x, op);
        const where = op.axes.indexOf(op.axis);
        return this.#make(op, (at) => {
          let total = 0;
          for (let i = 0; i <= (at[where] ?? 0); i++)
            total = settle(total + x(at.map((a, j) => (j === where ? i : a))), op.type);
          return total;
        });
      }
      case "fold":
        this.#extents.set(op.to, { base: 0, limit: 1, size: 1 });
        return this.#reduce(op.fn, op, op.x, op.axis, op.masked === true);
      case "load": {
        const index = op.index.map((i) => read(i, op));
        const t = this.#tensor(op.param);
        const dead = op.type === "f32" ? Number.NaN : 0xdeadbeef;
        const place = index.map(() => 0);
        return this.#make(op, (at, alive) => {
          if (!alive) return dead;
          for (const [i, of] of index.entries()) place[i] = of(at);
          return t.data[this.#address(op, t, place)] ?? Number.NaN;
        });
      }
      case "store":
        return this.#store(op);
      case "reduce":
        return this.#reduce(op.fn, op, op.x, op.axis, op.masked === true);
      case "if": {
        const yes = this.#scalar(op.cond) !== 0;
        this.#ops(yes ? op.yes : op.no);
        for (const m of op.merged) this.#cells.set(m.after.id, this.#cell(yes ? m.yes : m.no));
        return;
      }
      case "loop": {
        const [start, limit] = [op.start === undefined ? 0 : this.#scalar(op.start), this.#scalar(op.limit)];
        let current = op.carried.map((c) => this.#cell(c.init));
        const size = op.axis === undefined ? 1 : this.#blockSize(op.axis);
        for (let base = start; base < limit; base += size) {
          if (op.axis !== undefined) {
            this.#extents.set(op.axis, { base, limit, size });
            this.#make(op.index, (at) => base + (at[0] ?? 0));
          } else this.#make(op.index, () => base);
          for (const [i, c] of op.carried.entries()) this.#cells.set(c.inside.id, current[i] as Cell);
          this.#ops(op.body);
          current = op.carried.map((c) => this.#cell(c.next));
        }
        for (const [i, c] of op.carried.entries()) this.#cells.set(c.after.id, current[i] as Cell);
        return;
      }
    }
  }

  /** Adapters agree on powers of what is not negative alone; another is told where a result of it would be stored. */
  #power(op: Op & { op: "binary" }, base: number, exponent: number): number {
    if (!(base < 0)) return base ** exponent;
    this.#negative ??= `line ${op.span.line}: ${base} to the power of ${exponent} has no value on every adapter`;
    return Number.NaN;
  }

  #tensor(param: string): HostTensor {
    const t = this.#tensors[param];
    if (t === undefined) throw new Error(`${this.#p.name}: no tensor "${param}"`);
    return t;
  }

  #address(op: Op & { op: "load" | "store" }, t: HostTensor, index: readonly number[]): number {
    let flat = 0;
    for (let i = 0; i < index.length; i++) {
      const x = index[i] ?? Number.NaN;
      const n = t.shape[i] ?? 0;
      if (!(x >= 0 && x < n)) {
        const dims = this.#p.params.find((p) => p.name === op.param);
        const dim = dims?.kind === "tensor" ? dims.dims[i] : "?";
        throw new Error(
          `${this.#p.name}, line ${op.span.line}: index ${x} of "${op.param}" is outside its dim "${dim}" of ${n}`,
        );
      }
      flat = flat * n + x;
    }
    return flat;
  }

  #store(op: Op & { op: "store" }): void {
    const axes = [...new Set(op.index.flatMap((i) => this.#cell(i).axes))];
    const index = op.index.map((i) => this.#reader(this.#cell(i), axes));
    const value = this.#reader(this.#cell(op.value), axes);
    const t = this.#tensor(op.param);
    const blocks = inBlocks(t.storage) ? (this.#stored.get(op.param) ?? new Set<number>()) : undefined;
    if (blocks !== undefined) this.#stored.set(op.param, blocks);
    this.#each(axes, (_, at, alive) => {
      if (!alive) return;
      const address = this.#address(
        op,
        t,
        index.map((i) => i(at)),
      );
      const old = t.data[address] ?? Number.NaN;
      const given = value(at);
      if (Number.isNaN(given) && this.#negative !== undefined)
        throw new Error(
          `${this.#p.name}, ${this.#negative}: powers are defined for positive bases, and for others where the exponent is a whole constant`,
        );
      const next =
        op.combine === undefined
          ? given
          : op.combine === "sum"
            ? old + given
            : op.combine === "max"
              ? Math.max(old, given)
              : Math.min(old, given);
      t.data[address] = encode(next, t.storage);
      blocks?.add(address);
    });
  }

  #reduce(fn: ReduceKind, v: Value, x: number, axis: number, masked: boolean): void {
    const source = this.#cell(x);
    const axes = [...v.axes, axis];
    const read = this.#reader(source, axes);
    const e = this.#extent(axis);
    const place = axes.map(() => 0);
    this.#make(v, (at) => {
      for (let i = 0; i < at.length; i++) place[i] = at[i] ?? 0;
      let whole: number | undefined;
      for (let i = 0; i < e.size; i++) {
        if (!masked && e.base + i >= e.limit) continue;
        place[at.length] = i;
        const term = read(place);
        whole =
          whole === undefined
            ? term
            : settle(
                fn === "sum" ? whole + term : fn === "max" ? Math.max(whole, term) : Math.min(whole, term),
                v.type,
              );
      }
      return whole ?? emptyReduction(fn, v.type);
    });
  }
}
