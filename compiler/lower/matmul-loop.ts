/**
 * Lowers a loop of matrix products to lanes that share workgroup memory.
 *
 * In every turn all lanes compute the operands' elements together, in the layout that loads them best, and put them
 * into rooms; behind a barrier each lane reads the lines that its own part of the result needs. Elements are computed
 * by the ordinary lowering, only in another layout, so prologues and storage formats need nothing of their own here.
 * Matrix units read the same rooms (tile-matrix.ts).
 */

import type { Emitter } from "../ir/lane/emitter.ts";
import { modulo, over, times } from "../ir/lane/fold.ts";
import type { Atom, LaneType, Width } from "../ir/lane/program.ts";
import { constant, F32, U32, vector } from "../ir/lane/program.ts";
import type { Loop } from "../ir/tile/program.ts";
import { lanesAlong } from "../schedule/layout.ts";
import type { Operand, Staging, TileLoop, TilePlan, TileSum } from "../schedule/tile-plan.ts";
import { Matrices } from "./matrix-units.ts";
import type { Registers, Tile } from "./registers.ts";

/** The kernel's values in one layout, computed when they are asked for. */
export interface Stage {
  readonly r: Registers;
  evaluate(id: number): Tile;
  /** Emits the loads that a value needs, and what their addresses need. */
  request(id: number): void;
}

/** What the lowering of the rest of the kernel lends to a loop. */
export interface TileHost {
  readonly e: Emitter;
  /** The registers of the kernel's own layout. */
  readonly r: Registers;
  readonly lanes: number;
  stage(staging: Staging): Stage;
  /** Is this value zero in all its elements? */
  isZero(id: number): boolean;
}

/** Lowers one loop; afterwards its variables have registers in the kernel's own layout. */
export function lowerTileLoop(host: TileHost, plan: TilePlan, loop: TileLoop, op: Loop): void {
  new Lowering(host, plan, loop, op).run();
}

/** Registers along i and j. */
type Sums = ReadonlyMap<number, Tile>;

class Lowering {
  readonly #h: TileHost;
  readonly #e: Emitter;
  readonly #plan: TilePlan;
  readonly #loop: TileLoop;
  readonly #op: Loop;

  constructor(host: TileHost, plan: TilePlan, loop: TileLoop, op: Loop) {
    this.#h = host;
    this.#e = host.e;
    this.#plan = plan;
    this.#loop = loop;
    this.#op = op;
  }

  run(): void {
    const e = this.#e;
    const { i, j, matrix } = this.#plan;
    const { r } = this.#h;
    const limit = r.reg(r.tile(this.#op.limit), [], []);
    const depth = this.#loop.depth;
    const units = matrix === undefined ? undefined : new Matrices(this.#h, this.#plan, matrix, this.#loop);
    const width = Math.max(r.layout(i).width, r.layout(j).width) as Width;
    const own =
      units === undefined
        ? this.#loop.products.map(() => r.coordinates([i, j]).map(() => this.#zero(vector("f32", width))))
        : [];
    const parts = this.#loop.sums.map((s) =>
      this.#h
        .stage(s)
        .r.coordinates([s.axis])
        .map(() => this.#zero(vector("f32", s.layouts.get(s.axis)?.width ?? 1))),
    );
    const counter = e.name("n");
    const inner = e.depth + 1;
    const even = limit.kind === "const" && limit.value % depth === 0;
    const stage = (s: Staging, base: Atom, full: boolean): Stage => {
      const made = this.#h.stage(s);
      made.r.extents.set(s.k, { base, limit, full });
      made.r.define(this.#op.index, (c) => made.r.elements(s.k, c[0] ?? 0));
      return made;
    };
    const multiply = (): void => (units === undefined ? this.#multiply(own, width) : units.multiply());
    const { operands, sums } = this.#loop;
    const now = constant(0, U32);
    const ahead = this.#plan.stages === 2;
    const waiting = ahead ? operands.map((o) => this.#keep(this.#values(o, stage(o, now, even)))) : [];
    if (ahead) for (const [n, s] of sums.entries()) this.#addUp(s, stage(s, now, even), parts[n] ?? []);
    const body = e.region(() => {
      const base = e.ref(counter, U32, inner);
      if (!ahead) {
        for (const o of operands) this.#fill(o, this.#values(o, stage(o, base, even)));
        for (const [n, s] of sums.entries()) this.#addUp(s, stage(s, base, even), parts[n] ?? []);
        e.push({ op: "barrier" });
        multiply();
      } else {
        for (const [n, o] of operands.entries()) this.#fill(o, this.#kept(waiting[n] ?? []));
        e.push({ op: "barrier" });
        // What the next turn needs is asked for before the products and used behind them. In the last turn that is
        // nothing, which sums must not notice.
        const next = e.binary("add", base, constant(depth, U32));
        const stages = operands.map((o) => stage(o, next, even));
        const others = sums.map((s) => stage(s, next, false));
        for (const [n, o] of operands.entries()) for (const f of o.factors) stages[n]?.request(f);
        for (const [n, s] of sums.entries()) others[n]?.request(s.x);
        multiply();
        for (const [n, o] of operands.entries()) {
          const values = this.#values(o, stages[n] as Stage);
          for (const [m, kept] of (waiting[n] ?? []).entries())
            e.push({ op: "assign", name: kept.name, value: values[m] as Atom });
        }
        for (const [n, s] of sums.entries()) this.#addUp(s, others[n] as Stage, parts[n] ?? []);
      }
      e.push({ op: "barrier" });
    });
    e.push({ op: "for", name: counter, start: constant(0, U32), limit, step: depth, opaque: false, body });
    const totals = new Map<number, Tile>();
    for (const [n, p] of this.#loop.products.entries()) {
      const regs = units?.registers(n) ?? (own[n] ?? []).map((name) => e.ref(name, vector("f32", width)));
      totals.set(p.reduce, { axes: [i, j], regs: [...regs] });
    }
    for (const [n, s] of this.#loop.sums.entries()) totals.set(s.reduce, this.#meet(s, parts[n] ?? []));
    this.#finish(totals);
  }

  /** A variable that starts as zero. */
  #zero(type: LaneType): string {
    return this.#e.variable("s", type, constant(0, type));
  }

  #finish(totals: Sums): void {
    const { r } = this.#h;
    for (const [n, c] of this.#op.carried.entries()) {
      const width = r.width(c.after.axes);
      r.define(c.after, (at) => {
        const terms = (this.#loop.carried[n] ?? []).map((id) => r.reg(totals.get(id) as Tile, c.after.axes, at));
        const start = this.#h.isZero(c.init) ? [] : [r.reg(r.tile(c.init), c.after.axes, at)];
        const sum = [...start, ...terms].reduce((a, b) => this.#e.binary("add", a, b));
        return this.#e.widen(sum, width);
      });
    }
  }

  // ---- Filling rooms ------------------------------------------------------------------------------------------------

  /** Lanes without work of their own hold what others hold, and keep still. */
  #speak(s: Staging, write: () => void): void {
    const e = this.#e;
    if (s.lanes === this.#h.lanes) return write();
    const cond = e.binary("lt", this.#h.r.lane, constant(s.lanes, U32));
    e.push({ op: "if", cond, yes: e.region(write), no: [] });
  }

  /** This lane's registers of an operand in one turn. */
  #values(o: Operand, stage: Stage): Atom[] {
    const e = this.#e;
    const axes = [o.axis, o.k];
    return stage.r.coordinates(axes).map((at) => {
      const parts = o.factors.map((f) => stage.r.reg(stage.evaluate(f), axes, at));
      const product = parts.reduce((a, b) => e.binary("mul", a, b));
      const alive = stage.r.alive(o.k, at[1] ?? 0);
      const value = e.widen(product, stage.r.width(axes));
      // Behind the edge of k there may be anything, and NaN times zero is not zero.
      return alive === undefined ? value : e.select(alive, value, constant(0, value.type));
    });
  }

  /** Variables for what one turn computes and the next one uses. */
  #keep(values: readonly Atom[]): { readonly name: string; readonly type: LaneType }[] {
    return values.map((x) => ({ name: this.#e.variable("w", x.type, x), type: x.type }));
  }

  #kept(variables: readonly { readonly name: string; readonly type: LaneType }[]): Atom[] {
    return variables.map((v) => this.#e.ref(v.name, v.type));
  }

  #fill(o: Operand, values: readonly Atom[]): void {
    const stage = this.#h.stage(o);
    this.#speak(o, () => {
      for (const [n, at] of stage.r.coordinates([o.axis, o.k]).entries()) this.#put(o, stage, at, values[n] as Atom);
    });
  }

  #put(o: Operand, stage: Stage, at: readonly number[], value: Atom): void {
    const e = this.#e;
    const [own, k] = [o.axis, o.k].map((a, n) => {
      const { start, offset } = stage.r.local(a, at[n] ?? 0);
      return e.binary("add", start, constant(offset, U32));
    }) as [Atom, Atom];
    const { name, width } = o.room;
    const many = value.type.width;
    // Neighbours may be written at once where the room is made for it, and lie side by side unless they belong to
    // different lanes of a subgroup.
    const place = (c: number): Atom => {
      if (o.along === "k") return e.binary("add", times(e, this.#line(o.axis, own), o.stride), over(e, k, width));
      const element = e.binary("add", own, constant(c, U32));
      const within = this.#plan.matrix === undefined ? element : this.#line(o.axis, element);
      return e.binary("add", times(e, k, o.stride), over(e, within, width));
    };
    if (width === many) return e.push({ op: "write", room: name, index: place(0), value });
    const side = o.along === "k" || this.#h.r.layout(o.axis).width % many === 0;
    for (let c = 0; c < many; c++) {
      const index = side ? e.binary("add", place(0), constant(c, U32)) : place(c);
      e.push({ op: "write", room: name, index, value: e.component(value, c) });
    }
  }

  /** The line of a room in which an element of i or j lies: those that lanes read at the same time are neighbours. */
  #line(axis: number, element: Atom): Atom {
    const e = this.#e;
    const { matrix } = this.#plan;
    const layout = this.#h.r.layout(axis);
    const lanes = lanesAlong(layout, this.#h.lanes);
    const [c, rest] = [modulo(e, element, layout.width), over(e, element, layout.width)];
    const [lane, register] = [modulo(e, rest, lanes), over(e, rest, lanes)];
    if (matrix === undefined)
      return layout.width === 1
        ? element
        : e.binary("add", times(e, e.binary("add", times(e, register, layout.width), c), lanes), lane);
    const rows = axis === this.#plan.i;
    const [size, many, each] = rows
      ? [matrix.M, matrix.rows, matrix.rowLanes]
      : [matrix.N, matrix.columns, matrix.columnLanes];
    // Registers of one matrix, the lanes of one subgroup, then the components.
    const deep = size / (each * layout.width);
    const [group, within] = [over(e, lane, each), modulo(e, lane, each)];
    const [which, turn] = [over(e, register, deep), modulo(e, register, deep)];
    const first = times(e, e.binary("add", times(e, group, many), which), size);
    const place = times(e, e.binary("add", times(e, turn, each), within), layout.width);
    return e.binary("add", e.binary("add", first, place), c);
  }

  // ---- Sums of lines ------------------------------------------------------------------------------------------------

  #addUp(s: TileSum, stage: Stage, parts: readonly string[]): void {
    const e = this.#e;
    const width = s.layouts.get(s.axis)?.width ?? 1;
    for (const [n, [line]] of stage.r.coordinates([s.axis]).entries()) {
      let sum: Atom = e.ref(parts[n] ?? "", vector("f32", width));
      for (const [turn] of stage.r.coordinates([s.k])) {
        const at = [line ?? 0, turn ?? 0];
        const value = e.widen(stage.r.reg(stage.evaluate(s.x), [s.axis, s.k], at), stage.r.width([s.axis, s.k]));
        const alive = stage.r.alive(s.k, turn ?? 0);
        const kept = alive === undefined ? value : e.select(alive, value, constant(0, value.type));
        const components = Array.from({ length: kept.type.width }, (_, c) => e.component(kept, c));
        const one = width === kept.type.width ? kept : components.reduce((a, b) => e.binary("add", a, b));
        sum = e.binary("add", sum, one);
      }
      e.push({ op: "assign", name: parts[n] ?? "", value: sum });
    }
  }

  /** What the lanes along k have added up, summed in the kernel's own layout. */
  #meet(s: TileSum, parts: readonly string[]): Tile {
    const e = this.#e;
    const { r } = this.#h;
    const stage = this.#h.stage(s);
    const layout = s.layouts.get(s.axis);
    const width = layout?.width ?? 1;
    const size = layout?.size ?? 1;
    const many = lanesAlong(stage.r.layout(s.k), this.#h.lanes);
    this.#speak(s, () => {
      for (const [n, name] of parts.entries()) {
        const { start, offset } = stage.r.local(s.axis, n);
        const first = e.binary(
          "add",
          times(e, stage.r.laneAlong(s.k), size),
          e.binary("add", start, constant(offset, U32)),
        );
        const sum = e.ref(name, vector("f32", width), e.depth);
        for (let c = 0; c < width; c++)
          e.push({
            op: "write",
            room: s.room.name,
            index: e.binary("add", first, constant(c, U32)),
            value: e.component(sum, c),
          });
      }
    });
    e.push({ op: "barrier" });
    const own = r.layout(s.axis);
    const total = r.coordinates([s.axis]).map(() => Array.from({ length: own.width }, () => this.#zero(F32)));
    const counter = e.name("n");
    const inner = e.depth + 1;
    const body = e.region(() => {
      const line = times(e, e.ref(counter, U32, inner), size);
      for (const [n, names] of total.entries()) {
        const { start } = r.local(s.axis, n);
        for (const [c, name] of names.entries()) {
          const index = e.binary("add", line, e.binary("add", start, constant(c, U32)));
          const x = e.here({ op: "read", room: s.room.name, index }, F32);
          e.push({ op: "assign", name, value: e.binary("add", e.ref(name, F32), x) });
        }
      }
    });
    e.push({
      op: "for",
      name: counter,
      start: constant(0, U32),
      limit: constant(many, U32),
      step: 1,
      opaque: false,
      body,
    });
    e.push({ op: "barrier" });
    return { axes: [s.axis], regs: total.map((names) => e.compose(names.map((name) => e.ref(name, F32)))) };
  }

  // ---- Products -----------------------------------------------------------------------------------------------------

  /** Every lane's own part of the products of one turn. */
  #multiply(sums: readonly (readonly string[])[], width: Width): void {
    const e = this.#e;
    const { operands, products, depth } = this.#loop;
    const step = Math.max(...operands.map((o) => (o.along === "k" ? o.room.width : 1)));
    const counter = e.name("k");
    const inner = e.depth + 1;
    const body = e.region(() => {
      const turn = e.ref(counter, U32, inner);
      const lines = operands.map((o) => this.#lines(o, turn, step));
      for (const [n, p] of products.entries()) {
        const [left, right] = [lines[p.left] ?? [], lines[p.right] ?? []];
        let at = 0;
        for (const a of left)
          for (const b of right) {
            const name = sums[n]?.[at++] ?? "";
            let sum: Atom = e.ref(name, vector("f32", width));
            for (let c = 0; c < step; c++)
              sum = e.binary("add", sum, e.binary("mul", e.widen(a[c] as Atom, width), e.widen(b[c] as Atom, width)));
            e.push({ op: "assign", name, value: sum });
          }
      }
    });
    e.push({
      op: "for",
      name: counter,
      start: constant(0, U32),
      limit: constant(depth / step, U32),
      step: 1,
      opaque: false,
      body,
    });
  }

  /** For each register along the operand's axis its values at `step` elements of k, read from the room. */
  #lines(o: Operand, turn: Atom, step: number): Atom[][] {
    const e = this.#e;
    const { r } = this.#h;
    const layout = r.layout(o.axis);
    const lane = r.laneAlong(o.axis);
    const lanes = lanesAlong(layout, this.#h.lanes);
    const [own, held] = [layout.width, o.room.width];
    const read = (index: Atom, part?: Atom): Atom =>
      e.here(
        { op: "read", room: o.room.name, index, ...(part === undefined ? {} : { part }) },
        vector("f32", part === undefined ? held : 1),
      );
    return Array.from({ length: layout.count }, (_, t) => {
      if (o.along === "k") {
        const lines = Array.from({ length: own }, (_, c) => {
          const row = times(e, lane, o.stride);
          const first = e.binary("add", row, constant((t * own + c) * lanes * o.stride, U32));
          const runs = Array.from({ length: step / held }, (_, n) =>
            read(e.binary("add", e.binary("add", first, times(e, turn, step / held)), constant(n, U32))),
          );
          return runs.flatMap((x) => Array.from({ length: held }, (_, n) => e.component(x, n)));
        });
        return Array.from({ length: step }, (_, k) => e.compose(lines.map((l) => l[k] as Atom)));
      }
      return Array.from({ length: step }, (_, k) => {
        const line = times(e, e.binary("add", times(e, turn, step), constant(k, U32)), o.stride);
        const first = times(e, lane, own);
        const place = e.binary("add", over(e, first, held), constant((t * lanes * own) / held, U32));
        const index = e.binary("add", line, place);
        if (held === own) return read(index);
        if (held < own)
          return e.compose(
            Array.from({ length: own / held }, (_, n) => read(e.binary("add", index, constant(n, U32)))),
          );
        const part = modulo(e, first, held);
        return e.compose(Array.from({ length: own }, (_, n) => read(index, e.binary("add", part, constant(n, U32)))));
      });
    });
  }
}
