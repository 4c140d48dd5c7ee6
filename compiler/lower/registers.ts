/**
 * The registers that one lane holds: which elements of which axis lie where.
 *
 * Knows the layout that schedule.ts chose, where each axis currently starts and ends, and the registers of every tile
 * made so far. A tile with axes A has one register for every combination of the axes' counts; an axis with a width
 * makes the registers vectors.
 */

import type { Emitter } from "../ir/lane/emitter.ts";
import type { Atom, Width } from "../ir/lane/program.ts";
import { constant, U32 } from "../ir/lane/program.ts";
import type { Specialised, Value } from "../ir/tile/program.ts";
import { extentOf } from "../ir/tile/traverse.ts";
import { type AxisLayout, type Digit, lanesAlong } from "../schedule/layout.ts";
import type { Schedule } from "../schedule/types.ts";

export interface Tile {
  readonly axes: readonly number[];
  /** What is there, or how to make it when it is first asked for. */
  readonly regs: (Atom | (() => Atom))[];
}

/** Where an axis currently starts and ends. */
export interface Extent {
  readonly base: Atom;
  readonly limit: Atom;
  /** No element can be dead. */
  readonly full: boolean;
  /** The last register is dead: this is what whole turns have left over. */
  readonly rest?: boolean;
}

export class Registers {
  readonly tiles: Map<number, Tile> = new Map<number, Tile>();
  readonly extents: Map<number, Extent> = new Map<number, Extent>();
  /** Index of this program along each dim of the grid. */
  readonly grid: Map<string, Atom> = new Map<string, Atom>();
  readonly lane: Atom;
  readonly #p: Specialised;
  readonly #s: Schedule;
  readonly #e: Emitter;

  constructor(program: Specialised, schedule: Schedule, emitter: Emitter) {
    this.#p = program;
    this.#s = schedule;
    this.#e = emitter;
    this.lane = schedule.lanes === 1 ? constant(0, U32) : { kind: "ref", name: "lane", type: U32, depth: 0 };
    this.#place();
  }

  /** Grid coordinates, and the extents of the axes that do not belong to a loop. */
  #place(): void {
    const e = this.#e;
    let rest: Atom = { kind: "ref", name: "pid", type: U32, depth: 0 };
    const coordinates: Atom[] = [];
    for (let i = this.#p.grid.length - 1; i >= 0; i--) {
      const n = this.#s.grid[i] ?? 1;
      const only = this.#s.grid.slice(0, i).every((m) => m === 1);
      coordinates[i] = n === 1 ? constant(0, U32) : only ? rest : e.binary("rem", rest, constant(n, U32));
      rest = e.binary("div", rest, constant(n, U32));
    }
    for (const [i, g] of this.#p.grid.entries()) {
      const at = coordinates[i] ?? constant(0, U32);
      this.grid.set(g.dim, at);
      if (g.axis === undefined) continue;
      const size = this.#s.axes[g.axis]?.size ?? 1;
      const extent = extentOf(this.#p, g.axis);
      const base = e.binary("mul", at, constant(size, U32));
      const turn = this.turn(g.axis);
      const cut =
        size % turn === 0
          ? constant(extent, U32)
          : e.binary("min", constant(extent, U32), e.binary("add", base, constant(size, U32)));
      this.extents.set(g.axis, { base, limit: cut, full: extent % size === 0 && size % turn === 0 });
    }
    for (const axis of this.#p.axes) {
      const twin = axis.twin === undefined ? undefined : this.extents.get(axis.twin);
      if (twin !== undefined) this.extents.set(axis.id, twin);
      if (axis.kind !== "whole") continue;
      const extent = extentOf(this.#p, axis.id);
      const held = (this.#s.axes[axis.id]?.count ?? 1) * this.turn(axis.id);
      this.extents.set(axis.id, { base: constant(0, U32), limit: constant(extent, U32), full: held === extent });
    }
  }

  /** Elements that one register of every lane covers along an axis. */
  turn(axis: number): number {
    const layout = this.#s.axes[axis];
    return (layout?.spread ? lanesAlong(layout, this.#s.lanes) : 1) * (layout?.width ?? 1);
  }

  /** The layout of an axis. */
  layout(axis: number): AxisLayout {
    return this.#s.axes[axis] ?? { spread: false, size: 1, count: 1, width: 1, chunk: 1 };
  }

  /** The registers of a value made earlier. */
  tile(id: number): Tile {
    const found = this.tiles.get(id);
    if (found === undefined) throw new Error(`kernel ${this.#p.name}: %${id} has no registers`);
    return found;
  }

  /** Components of the registers of a tile with these axes. */
  width(axes: readonly number[]): Width {
    return axes.reduce<Width>((w, a) => Math.max(w, this.layout(a).width) as Width, 1);
  }

  /** Every combination of register numbers along the axes. */
  coordinates(axes: readonly number[]): number[][] {
    return axes.reduce<number[][]>(
      (all, a) => all.flatMap((c) => Array.from({ length: this.layout(a).count }, (_, r) => [...c, r])),
      [[]],
    );
  }

  /** The register of `t` at the coordinates `at` of the axes `axes`. */
  reg(t: Tile, axes: readonly number[], at: readonly number[]): Atom {
    let flat = 0;
    for (const a of t.axes) flat = flat * this.layout(a).count + (at[axes.indexOf(a)] ?? 0);
    const found = t.regs[flat];
    if (found === undefined) throw new Error(`kernel ${this.#p.name}: a register is missing`);
    if (typeof found !== "function") return found;
    const made = found();
    t.regs[flat] = made;
    return made;
  }

  /** Number of the first element of the run that register `r` belongs to, and where in the run the register starts. */
  run(axis: number, r: number): { start: Atom; offset: number } {
    const e = this.#e;
    const { start, offset } = this.local(axis, r);
    return { start: e.binary("add", this.extent(axis).base, start), offset };
  }

  /** The same, counted from the start of the block. */
  local(axis: number, r: number): { start: Atom; offset: number } {
    const e = this.#e;
    const l = this.layout(axis);
    const run = l.width * l.chunk;
    const turn = Math.floor(r / l.chunk) * run * (l.spread ? lanesAlong(l, this.#s.lanes) : 1);
    const own = l.spread ? e.binary("mul", this.laneAlong(axis), constant(run, U32)) : constant(0, U32);
    return { start: e.binary("add", own, constant(turn, U32)), offset: (r % l.chunk) * l.width };
  }

  /** The number of this lane among those that share an axis. */
  laneAlong(axis: number): Atom {
    const { digits } = this.layout(axis);
    return digits === undefined ? this.lane : this.#number(digits);
  }

  /** The number that some digits of the lane's make. */
  #number(digits: readonly Digit[]): Atom {
    const e = this.#e;
    return digits.reduce<Atom>(
      (n, d) => e.binary("add", e.binary("mul", n, constant(d.count, U32)), this.#digit(d)),
      constant(0, U32),
    );
  }

  #digit(d: Digit): Atom {
    if (d.count === 1) return constant(0, U32);
    const rest = this.#e.binary("div", this.lane, constant(d.stride, U32));
    return d.stride * d.count === this.#s.lanes ? rest : this.#e.binary("rem", rest, constant(d.count, U32));
  }

  /**
   * Where several lanes hold the same elements of a tile with these axes: the condition that this is the one that
   * speaks for them.
   */
  owner(axes: readonly number[]): Atom | undefined {
    const e = this.#e;
    const spread = axes.map((a) => this.layout(a)).filter((l) => l.spread);
    if (this.#s.lanes === 1 || spread.some((l) => l.digits === undefined)) return undefined;
    const none = constant(0, U32);
    if (spread.length === 0) return e.binary("eq", this.lane, none);
    const held = new Set(spread.flatMap((l) => l.digits ?? []));
    const free = this.#s.axes.flatMap((l) => l.digits ?? []).filter((d) => !held.has(d) && d.count > 1);
    return free
      .map((d) => e.binary("eq", this.#digit(d), none))
      .reduce<Atom | undefined>((a, b) => (a === undefined ? b : e.binary("and", a, b)), undefined);
  }

  /** Number of the first element of register `r` along an axis. */
  first(axis: number, r: number): Atom {
    const { start, offset } = this.run(axis, r);
    return this.#e.binary("add", start, constant(offset, U32));
  }

  /** Numbers of the elements of register `r` along an axis, a vector if the axis has a width. */
  elements(axis: number, r: number): Atom {
    const width = this.layout(axis).width;
    const first = this.first(axis, r);
    if (width === 1) return first;
    const steps = this.#e.compose(Array.from({ length: width }, (_, i) => constant(i, U32)));
    return this.#e.binary("add", first, steps);
  }

  /** Where an axis starts and ends now. */
  extent(axis: number): Extent {
    const found = this.extents.get(axis);
    if (found === undefined) throw new Error(`kernel ${this.#p.name}: an axis is used outside its loop`);
    return found;
  }

  /** Is all of register `r` known to be dead? */
  dead(axis: number, r: number): boolean {
    const { count, width, spread } = this.layout(axis);
    return !spread && width === 1 && r === count - 1 && this.extents.get(axis)?.rest === true;
  }

  /**
   * Which elements of register `r` are alive; undefined when all are. One condition for the whole vector where the edge
   * cannot cut it.
   */
  alive(axis: number, r: number): Atom | undefined {
    const { limit, full } = this.extent(axis);
    const { width, spread } = this.layout(axis);
    // A turn of a loop begins below the limit.
    if (full || (r === 0 && width === 1 && !spread && this.#p.axes[axis]?.kind === "over")) return undefined;
    const uncut = limit.kind === "const" && limit.value % width === 0;
    return this.#e.binary("lt", uncut ? this.first(axis, r) : this.elements(axis, r), limit);
  }

  /** Sets the registers of a value, one call of `make` for each. */
  define(v: Value, make: (at: readonly number[]) => Atom): void {
    this.tiles.set(v.id, { axes: v.axes, regs: this.coordinates(v.axes).map(make) });
  }

  /**
   * The same for pure values: a register is made when something first asks for it. So code stands in the order of its
   * use, which keeps few registers alive at a time, and what nobody asks for costs nothing.
   */
  promise(v: Value, make: (at: readonly number[]) => Atom): void {
    this.tiles.set(v.id, { axes: v.axes, regs: this.coordinates(v.axes).map((at) => () => make(at)) });
  }

  /**
   * Register `r` of an axis that every lane holds, from the registers of its twin: `own` gives register n of the twin,
   * and each element is taken from the lane that has it.
   */
  relay(from: number, to: number, r: number, own: (n: number) => Atom): Atom {
    const e = this.#e;
    const [twin, whole] = [this.layout(from), this.layout(to)];
    const parts: Atom[] = [];
    for (let i = r * whole.width; i < (r + 1) * whole.width; i += Math.min(twin.width, whole.width)) {
      const run = Math.floor(i / twin.width);
      const taken = e.take(own(Math.floor(run / this.#s.lanes)), run % this.#s.lanes);
      parts.push(twin.width > whole.width ? e.component(taken, i % twin.width) : taken);
    }
    return e.compose(parts);
  }
}
