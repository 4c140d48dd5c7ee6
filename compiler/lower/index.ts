/**
 * Tile IR to lane IR: each tile becomes the registers that one lane holds.
 *
 * Walks the operations in order; registers.ts knows which elements a lane holds, memory.ts how they are loaded and
 * stored. Dead elements (beyond a ragged edge) are computed like any others and ignored by reductions and stores.
 */

import { inBlocks, perWord } from "../ir/formats.ts";
import { Emitter } from "../ir/lane/emitter.ts";
import type { Atom, Buffer, LaneProgram, Rhs } from "../ir/lane/program.ts";
import { constant, U32, vector } from "../ir/lane/program.ts";
import { type Loop, type Op, operands, type Specialised, type Value } from "../ir/tile/program.ts";
import { everyOp } from "../ir/tile/traverse.ts";
import { Definitions } from "../passes/analysis/induction.ts";
import { sharedLoads } from "../passes/analysis/uniform-loads.ts";
import type { Target } from "../schedule/target.ts";
import type { Staging, TileLoop, TilePlan } from "../schedule/tile-plan.ts";
import type { Schedule } from "../schedule/types.ts";
import { Access, siteOf } from "./addressing.ts";
import { blocksOf, neighbours } from "./blocks.ts";
import { lowerTileLoop, type TileHost } from "./matmul-loop.ts";
import { Loads } from "./memory/load.ts";
import { panelOf, stridesOf, wideness } from "./memory/sites.ts";
import { Stores } from "./memory/store.ts";
import { Words } from "./memory/words.ts";
import { Reductions } from "./reductions.ts";
import { Regions } from "./regions.ts";
import { Registers, type Tile } from "./registers.ts";

export function lowerLanes(program: Specialised, schedule: Schedule, target: Target): LaneProgram {
  const lanes = new Lanes(program, schedule, target);
  const lowered = lanes.run();
  // Which tensors have words that several lanes write shows when their stores are made.
  return lanes.shared.size === 0 ? lowered : new Lanes(program, schedule, target, undefined, lanes.shared).run();
}

class Lanes {
  readonly #p: Specialised;
  readonly #s: Schedule;
  readonly #e: Emitter;
  readonly #definitions: Definitions;
  readonly #buffers: Map<string, Buffer>;
  readonly #loads: Loads;
  readonly #stores: Stores;
  readonly #r: Registers;
  readonly #target: Target;
  readonly #shared: ReadonlySet<number>;
  readonly #whole: Lanes | undefined;
  readonly #access: Access;
  readonly #reductions: Reductions;
  readonly #regions: Regions;
  readonly #open: readonly string[];

  /** `whole` is the lowering of the same kernel that this one, in another layout, is a part of. */
  constructor(
    program: Specialised,
    schedule: Schedule,
    target: Target,
    whole?: Lanes,
    atomic: ReadonlySet<string> = new Set(),
  ) {
    this.#whole = whole;
    this.#e = whole === undefined ? new Emitter() : whole.#e;
    this.#buffers = whole === undefined ? new Map() : whole.#buffers;
    this.#p = program;
    this.#s = schedule;
    this.#target = target;
    this.#definitions = new Definitions(program);
    // WGSL lets no barrier depend on what is bound for writing, whoever writes it.
    this.#open = schedule.mode === "workgroup" ? (program.binding.packing?.writable ?? []) : [];
    this.#shared = sharedLoads(program, (axis) => schedule.axes[axis]?.spread === true, this.#open);
    this.#r = new Registers(program, schedule, this.#e);
    if (whole === undefined) this.#declareBuffers(atomic);
    const words = new Words(this.#e, this.#buffers);
    this.#loads = new Loads(this.#e, words, target, (name) => panelOf(this.#p, name));
    this.#stores = new Stores(this.#e, words);
    const shared = { program, schedule, e: this.#e, r: this.#r, loads: this.#loads, definitions: this.#definitions };
    this.#access = new Access(shared);
    this.#reductions = new Reductions(shared, this.#access);
    this.#regions = new Regions(shared, target, (ops) => this.#walk(ops));
  }

  run(): LaneProgram {
    this.#walk(this.#p.body);
    const s = this.#s;
    const groups = Math.max(1, Math.ceil(s.programs / s.programsPerWorkgroup));
    const x = Math.min(groups, 32768);
    const uniforms = this.#p.params.flatMap((q) =>
      q.kind === "scalar" && !this.#p.binding.cells.includes(q.name) ? [{ name: q.name, dtype: q.dtype }] : [],
    );
    return {
      name: this.#p.name,
      mode: s.mode,
      lanes: s.lanes,
      pinned: this.#target.pinned,
      linear: this.#target.traits.linearSubgroups,
      workgroupSize: s.workgroupSize,
      programsPerWorkgroup: s.programsPerWorkgroup,
      programs: s.programs,
      workgroups: [x, Math.ceil(groups / x)],
      buffers: [...this.#buffers.values()],
      uniforms,
      ...(s.tiles === undefined ? {} : { rooms: s.tiles.rooms }),
      ...(s.tiles?.matrix === undefined ? {} : { matrix: s.tiles.matrix }),
      body: this.#e.statements,
    };
  }

  /** The registers of this layout. */
  get r(): Registers {
    return this.#r;
  }

  /** The registers of a value in this layout, made from its definition where they are not there yet. */
  evaluate(id: number): Tile {
    const known = this.#r.tiles.get(id);
    if (known !== undefined) return known;
    const op = this.#definitions.ops.get(id);
    // What is no operation is one number, which all layouts share.
    if (op === undefined) return (this.#whole ?? this).#r.tile(id);
    for (const x of operands(op)) this.evaluate(x);
    this.#op(op);
    return this.#r.tile(id);
  }

  /** Makes the loads that a value needs. */
  request(id: number): void {
    const op = this.#definitions.ops.get(id);
    if (op?.op === "load") {
      const tile = this.evaluate(id);
      for (const at of this.#r.coordinates(tile.axes)) this.#r.reg(tile, tile.axes, at);
    } else if (op !== undefined) for (const x of operands(op)) this.request(x);
  }

  #tileLoop(op: Loop, plan: TilePlan, loop: TileLoop): void {
    const zero = (id: number): boolean => {
      const made = this.#definitions.ops.get(id);
      return made?.op === "splat" ? zero(made.x) : made?.op === "const" && made.value === 0;
    };
    const host: TileHost = {
      e: this.#e,
      r: this.#r,
      lanes: this.#s.lanes,
      stage: (staging) => new Lanes(this.#p, stagingOf(this.#s, staging), this.#target, this),
      isZero: zero,
    };
    lowerTileLoop(host, plan, loop, op);
  }

  #loop(op: Loop): void {
    const { tiles } = this.#s;
    const product = tiles?.loops.find((l) => l.index === op.index.id);
    if (tiles !== undefined && product !== undefined) this.#tileLoop(op, tiles, product);
    else this.#regions.loop(op);
  }

  /** Tensors of which parts of words are stored, and that are not declared for it. */
  get shared(): ReadonlySet<string> {
    return this.#stores.shared;
  }

  /** `atomic`: tensors of which parts of words are stored. */
  #declareBuffers(atomic: ReadonlySet<string>): void {
    const units = new Map<string, number>();
    const stagings = this.#s.tiles?.loops.flatMap((l): Staging[] => [...l.operands, ...l.sums]) ?? [];
    const staged = stagings.map((x) => stagingOf(this.#s, x));
    const walked = (l: Loop): boolean => this.#s.tiles?.loops.some((t) => t.index === l.index.id) === true;
    everyOp(this.#p.body, (op, loops) => {
      if (op.op !== "load" && op.op !== "store") return;
      for (const s of loops.some(walked) ? staged : [this.#s, ...staged]) {
        const wide = wideness(this.#p, s, this.#definitions, siteOf(op));
        if (wide > 1) units.set(op.param, Math.min(units.get(op.param) ?? wide, wide));
      }
    });
    const writable = (name: string): Pick<Buffer, "writable"> =>
      this.#p.binding.packing?.writable.includes(name) ? { writable: true } : {};
    const pitch = (name: string): Pick<Buffer, "pitch"> => {
      const texels = this.#p.binding.pitches?.[name];
      return texels === undefined ? {} : { pitch: texels };
    };
    for (const q of this.#p.params) {
      if (q.kind === "tensor") {
        const elements = q.dims.reduce((n, d) => n * (this.#p.binding.sizes[d] ?? 1), 1);
        const storage = this.#p.binding.storage[q.name] ?? "f32";
        this.#buffers.set(q.name, {
          name: q.name,
          storage,
          unit: q.atomic
            ? 1
            : atomic.has(q.name) || (q.writes && inBlocks(storage))
              ? perWord(storage)
              : (Math.max(units.get(q.name) ?? 1, perWord(storage)) as Buffer["unit"]),
          elements,
          writes: q.writes,
          atomic: q.atomic === true || atomic.has(q.name),
          ...writable(q.name),
          ...pitch(q.name),
        });
      } else if (this.#p.binding.cells.includes(q.name)) {
        this.#buffers.set(q.name, {
          name: q.name,
          storage: q.dtype,
          unit: 1,
          elements: 1,
          writes: false,
          atomic: false,
          ...writable(q.name),
          ...pitch(q.name),
        });
      }
    }
  }

  #cell(param: string): Atom {
    const x = this.#loads.loadOne(param, constant(0, U32));
    return this.#s.lanes > 1 && this.#open.includes(param) ? this.#first(x, false) : x;
  }

  /** What the first lane has, for all: now, if it may change. */
  #first(x: Atom, changes: boolean): Atom {
    const rhs: Rhs = { op: "lanes", fn: "first", x };
    return changes ? this.#e.here(rhs, x.type) : this.#e.pure(rhs, x.type, [x]);
  }

  #walk(ops: readonly Op[]): void {
    for (const op of ops) this.#op(op);
  }

  #op(op: Op): void {
    const e = this.#e;
    const part = (id: number, v: Value, at: readonly number[]): Atom => this.#r.reg(this.#r.tile(id), v.axes, at);
    switch (op.op) {
      case "const":
        return this.#r.define(op, () => constant(op.value, vector(op.type, 1)));
      case "size":
        return this.#r.define(op, () => constant(this.#p.binding.sizes[op.dim] ?? 0, U32));
      case "scalar":
        return this.#r.define(op, () =>
          this.#p.binding.cells.includes(op.param)
            ? this.#cell(op.param)
            : e.pure({ op: "scalar", param: op.param }, vector(op.type, 1), []),
        );
      case "program":
        return this.#r.define(op, () => this.#r.grid.get(op.dim) ?? constant(0, U32));
      case "iota":
        return this.#r.promise(op, (at) => this.#r.elements(op.axis, at[0] ?? 0));
      case "unary":
        return this.#r.promise(op, (at) => {
          const x = part(op.x, op, at);
          return e.pure({ op: "unary", fn: op.fn, x }, x.type, [x]);
        });
      case "binary":
        return this.#r.promise(op, (at) => e.binary(op.fn, part(op.a, op, at), part(op.b, op, at)));
      case "select":
        return this.#r.promise(op, (at) => e.select(part(op.cond, op, at), part(op.yes, op, at), part(op.no, op, at)));
      case "cast":
      case "bitcast":
        return this.#r.promise(op, (at) => {
          const x = part(op.x, op, at);
          return e.pure({ op: op.op, x }, { base: op.type, width: x.type.width }, [x]);
        });
      case "splat":
        return this.#r.promise(op, (at) => e.widen(part(op.x, op, at), this.#r.width(op.axes)));
      case "scan":
        return this.#reductions.scan(op);
      case "relay":
        return this.#r.promise(op, (at) => {
          const x = this.#r.tile(op.x);
          const i = op.axes.indexOf(op.to);
          return this.#r.relay(op.from, op.to, at[i] ?? 0, (n) =>
            this.#r.reg(
              x,
              op.axes.map((a) => (a === op.to ? op.from : a)),
              at.map((c, j) => (j === i ? n : c)),
            ),
          );
        });
      case "fold":
        return this.#r.promise(op, (at) =>
          this.#reductions.fold(
            op,
            op.axes.filter((a) => a !== op.to),
            at.filter((_, i) => op.axes[i] !== op.to),
          ),
        );
      case "load":
        return this.#load(op);
      case "store":
        return this.#store(op);
      case "reduce":
        return this.#reductions.reduce(op);
      case "loop":
        return this.#loop(op);
      case "if":
        return this.#regions.branch(op);
    }
  }

  #load(op: Op & { op: "load" }): void {
    const load = this.#access.load(op);
    const shared = this.#s.lanes > 1 && this.#shared.has(op.id);
    // What the kernel also writes is read where that is said, everything else where it is first used.
    const written = this.#buffers.get(op.param)?.writes === true;
    const define = written ? "define" : "promise";
    this.#r[define](op, (at) => {
      const x = load(at);
      return shared ? this.#first(x, written) : x;
    });
  }

  #store(op: Op & { op: "store" }): void {
    const e = this.#e;
    if (inBlocks(this.#p.binding.storage[op.param] ?? "f32")) return this.#storeBlocks(op);
    const axes = [...new Set(op.index.flatMap((i) => this.#r.tile(i).axes))];
    const site = siteOf(op);
    const strides = stridesOf(this.#p, op.param);
    const wide = wideness(this.#p, this.#s, this.#definitions, site);
    const width = this.#r.width(axes);
    const combined = this.#p.params.some((p) => p.kind === "tensor" && p.name === op.param && p.atomic === true);
    // A value that every lane holds is written by one of them.
    const single = this.#r.owner(axes);
    const joined = wide > 1 && width === 1 && !combined ? this.#joined(op, axes, wide) : undefined;
    for (const at of this.#r.coordinates(axes)) {
      if (axes.some((a, i) => this.#r.dead(a, at[i] ?? 0))) continue;
      if (joined !== undefined && (at[joined] ?? 0) % wide > 0) continue;
      const run = this.#access.address(site, axes, at, strides, wide > 1);
      const address = e.binary("add", run.address, constant(run.offset, run.address.type));
      const registers = joined === undefined ? [at] : neighbours(at, joined, wide);
      const parts = registers.map((r) => this.#r.reg(this.#r.tile(op.value), axes, r));
      const value = joined === undefined ? e.widen(e.compose(parts), width) : e.compose(parts);
      const alive = axes.flatMap((a, i) => this.#r.alive(a, at[i] ?? 0) ?? []);
      const scalars = [...(single === undefined ? [] : [single]), ...alive.filter((c) => c.type.width === 1)];
      const vectors = alive.filter((c) => c.type.width > 1);
      const cond = scalars.reduce<Atom | undefined>((a, b) => (a === undefined ? b : e.binary("and", a, b)), undefined);
      const lanes = vectors.reduce<Atom | undefined>(
        (a, b) => (a === undefined ? b : e.binary("and", a, b)),
        undefined,
      );
      const write = (): void => {
        const whole = joined !== undefined || (wide > 1 && width > 1);
        if (whole && lanes === undefined && !combined) return this.#stores.storeWide(op, address, value);
        for (let i = 0; i < width; i++) {
          const one = (): void => {
            const place = wide > 1 ? e.binary("add", address, constant(i, U32)) : e.component(address, i);
            if (op.combine === undefined) this.#stores.storeOne(op, place, e.component(value, i));
            else e.push({ op: "atomic", buffer: op.param, fn: op.combine, index: place, value: e.component(value, i) });
          };
          if (lanes === undefined) one();
          else this.#guard(e.component(lanes, i), one);
        }
      };
      if (cond === undefined) write();
      else this.#guard(cond, write);
    }
  }

  #storeBlocks(op: Op & { op: "store" }): void {
    const { e, r } = { e: this.#e, r: this.#r };
    const context = { program: this.#p, schedule: this.#s, e, r, loads: this.#loads, definitions: this.#definitions };
    for (const { first, values, cond } of blocksOf(context, this.#access, op) ?? this.#stores.refuse(op)) {
      const write = (): void => this.#stores.storeBlock(op, first(), values());
      if (cond === undefined) write();
      else this.#guard(cond, write);
    }
  }

  /**
   * The place in `axes` of the axis whose registers, one element each, are stored `run` at a time: if an edge never
   * falls between them.
   */
  #joined(op: Op & { op: "store" }, axes: readonly number[], run: number): number | undefined {
    const axis = this.#definitions.walk(op.index.at(-1) ?? -1)?.axis ?? -1;
    const { limit, full } = this.#r.extent(axis);
    const even = full || (limit.kind === "const" && limit.value % run === 0);
    return even ? axes.indexOf(axis) : undefined;
  }

  #guard(cond: Atom, body: () => void): void {
    const yes = this.#e.region(body);
    this.#e.push({ op: "if", cond, yes, no: [] });
  }
}

/** The schedule in the layout in which lanes fill a room. */
function stagingOf(s: Schedule, staging: Staging): Schedule {
  return { ...s, axes: s.axes.map((own, a) => staging.layouts.get(a) ?? own) };
}
