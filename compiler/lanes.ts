/**
 * Tile IR to lane IR: each tile becomes the registers that one lane holds.
 *
 * Walks the operations in order; registers.ts knows which elements a lane holds, memory.ts how they are loaded and stored. Dead elements (beyond a ragged edge)
 * are computed like any others and ignored by reductions and stores.
 */
import { Definitions } from "./affine.ts";
import { sharedLoads } from "./agree.ts";
import { type Loop, type Op, operands, type ReduceKind, type TensorParam, type Value } from "./ir.ts";
import { type Atom, type Buffer, constant, Emitter, type LaneProgram, type LaneType, U32, vector } from "./lane.ts";
import { Memory, perWord, type Site, stridesOf, wideness } from "./memory.ts";
import { identityOf, isDot } from "./partial.ts";
import { Registers, type Tile } from "./registers.ts";
import type { Schedule, Target } from "./schedule.ts";
import { everyOp, type Specialised } from "./specialise.ts";
import { lowerTileLoop, type TileHost } from "./tile-loop.ts";
import type { Staging, TileLoop, TilePlan } from "./tile-plan.ts";

const FUNCTIONS: Readonly<Record<ReduceKind, "add" | "max" | "min">> = { sum: "add", max: "max", min: "min" };

export function lowerLanes(program: Specialised, schedule: Schedule, target: Target): LaneProgram {
  return new Lanes(program, schedule, target).run();
}

class Lanes {
  readonly #p: Specialised;
  readonly #s: Schedule;
  readonly #e: Emitter;
  readonly #definitions: Definitions;
  readonly #buffers: Map<string, Buffer>;
  readonly #memory: Memory;
  readonly #r: Registers;
  readonly #target: Target;
  readonly #shared: ReadonlySet<number>;
  readonly #whole: Lanes | undefined;

  /** `whole` is the lowering of the same kernel that this one, in another layout, is a part of. */
  constructor(program: Specialised, schedule: Schedule, target: Target, whole?: Lanes) {
    this.#whole = whole;
    this.#e = whole === undefined ? new Emitter() : whole.#e;
    this.#buffers = whole === undefined ? new Map() : whole.#buffers;
    this.#p = program;
    this.#s = schedule;
    this.#target = target;
    this.#definitions = new Definitions(program);
    this.#shared = sharedLoads(program, (axis) => schedule.axes[axis]?.spread === true);
    this.#r = new Registers(program, schedule, this.#e);
    if (whole === undefined) this.#declareBuffers();
    this.#memory = new Memory(this.#e, this.#buffers);
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
    if (op?.op === "load") this.evaluate(id);
    else if (op !== undefined) for (const x of operands(op)) this.request(x);
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

  #declareBuffers(): void {
    const units = new Map<string, number>();
    const stagings = this.#s.tiles?.loops.flatMap((l): Staging[] => [...l.operands, ...l.sums]) ?? [];
    const staged = stagings.map((x) => stagingOf(this.#s, x));
    const walked = (l: Loop): boolean => this.#s.tiles?.loops.some((t) => t.index === l.index.id) === true;
    everyOp(this.#p.body, (op, loops) => {
      if (op.op !== "load" && op.op !== "store") return;
      for (const s of loops.some(walked) ? staged : [this.#s, ...staged]) {
        const wide = wideness(this.#p, s, this.#definitions, this.#site(op));
        if (wide > 1) units.set(op.param, Math.min(units.get(op.param) ?? wide, wide));
      }
    });
    for (const q of this.#p.params) {
      if (q.kind === "tensor") {
        const elements = q.dims.reduce((n, d) => n * (this.#p.binding.sizes[d] ?? 1), 1);
        const storage = this.#p.binding.storage[q.name] ?? "f32";
        this.#buffers.set(q.name, {
          name: q.name,
          storage,
          unit: (q.atomic ? 1 : Math.max(units.get(q.name) ?? 1, perWord(storage))) as Buffer["unit"],
          elements,
          writes: q.writes,
          atomic: q.atomic === true,
        });
      } else if (this.#p.binding.cells.includes(q.name)) {
        this.#buffers.set(q.name, {
          name: q.name,
          storage: q.dtype,
          unit: 1,
          elements: 1,
          writes: false,
          atomic: false,
        });
      }
    }
  }

  #site(op: Op & { op: "load" | "store" }): Site {
    return { param: op.param, index: op.index, store: op.op === "store" };
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
            ? this.#memory.loadOne(op.param, constant(0, U32))
            : e.pure({ op: "scalar", param: op.param }, vector(op.type, 1), []),
        );
      case "program":
        return this.#r.define(op, () => this.#r.grid.get(op.dim) ?? constant(0, U32));
      case "iota":
        return this.#r.define(op, (at) => this.#r.elements(op.axis, at[0] ?? 0));
      case "unary":
        return this.#r.define(op, (at) => {
          const x = part(op.x, op, at);
          return e.pure({ op: "unary", fn: op.fn, x }, x.type, [x]);
        });
      case "binary":
        return this.#r.define(op, (at) => e.binary(op.fn, part(op.a, op, at), part(op.b, op, at)));
      case "select":
        return this.#r.define(op, (at) => e.select(part(op.cond, op, at), part(op.yes, op, at), part(op.no, op, at)));
      case "cast":
      case "bitcast":
        return this.#r.define(op, (at) => {
          const x = part(op.x, op, at);
          return e.pure({ op: op.op, x }, { base: op.type, width: x.type.width }, [x]);
        });
      case "splat":
        return this.#r.define(op, (at) => e.widen(part(op.x, op, at), this.#r.width(op.axes)));
      case "scan":
        return this.#scan(op);
      case "fold":
        return this.#r.define(op, (at) =>
          this.#fold(
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
        return this.#reduce(op);
      case "loop":
        return this.#loop(op);
      case "if":
        return this.#branch(op);
    }
  }

  /** The address of a register's first element, or of the start of its run and the offset in it; a vector of addresses where the site is not wide. */
  #address(
    site: Site,
    axes: readonly number[],
    at: readonly number[],
    strides: readonly number[],
    wide: boolean,
  ): { address: Atom; offset: number } {
    const e = this.#e;
    let offset = 0;
    let address: Atom = constant(0, U32);
    for (const [i, id] of site.index.entries()) {
      const walk = wide && i === site.index.length - 1 ? this.#definitions.walk(id) : undefined;
      const run = walk === undefined ? undefined : this.#r.run(walk.axis, at[axes.indexOf(walk.axis)] ?? 0);
      if (run !== undefined) offset = run.offset;
      const index =
        run === undefined
          ? this.#r.reg(this.#r.tile(id), axes, at)
          : e.binary("add", run.start, constant(walk?.offset ?? 0, U32));
      address = e.binary("add", address, e.binary("mul", index, constant(strides[i] ?? 1, U32)));
    }
    return { address, offset };
  }

  #load(op: Op & { op: "load" }): void {
    const site = this.#site(op);
    const strides = stridesOf(this.#p, op.param);
    const wide = wideness(this.#p, this.#s, this.#definitions, site);
    const width = this.#r.width(op.axes);
    const shared = this.#s.lanes > 1 && this.#shared.has(op.id);
    const agreed = (x: Atom): Atom => (shared ? this.#e.here({ op: "lanes", fn: "first", x }, x.type) : x);
    this.#r.define(op, (at) => {
      const { address, offset } = this.#address(site, op.axes, at, strides, wide > 1);
      if (wide > 1) return agreed(this.#memory.loadWide(op.param, address, offset, width));
      const parts = Array.from({ length: address.type.width }, (_, i) =>
        this.#memory.loadOne(op.param, this.#e.component(address, i)),
      );
      return this.#e.widen(agreed(this.#e.compose(parts)), width);
    });
  }

  #store(op: Op & { op: "store" }): void {
    const e = this.#e;
    const axes = [...new Set(op.index.flatMap((i) => this.#r.tile(i).axes))];
    const site = this.#site(op);
    const strides = stridesOf(this.#p, op.param);
    const wide = wideness(this.#p, this.#s, this.#definitions, site);
    const width = this.#r.width(axes);
    const combined = this.#buffers.get(op.param)?.atomic === true;
    // A value that every lane holds is written by one of them.
    const single = this.#r.owner(axes);
    for (const at of this.#r.coordinates(axes)) {
      const run = this.#address(site, axes, at, strides, wide > 1);
      const address = e.binary("add", run.address, constant(run.offset, run.address.type));
      const value = e.widen(this.#r.reg(this.#r.tile(op.value), axes, at), width);
      const alive = axes.flatMap((a, i) => this.#r.alive(a, at[i] ?? 0) ?? []);
      const scalars = [...(single === undefined ? [] : [single]), ...alive.filter((c) => c.type.width === 1)];
      const vectors = alive.filter((c) => c.type.width > 1);
      const cond = scalars.reduce<Atom | undefined>((a, b) => (a === undefined ? b : e.binary("and", a, b)), undefined);
      const lanes = vectors.reduce<Atom | undefined>(
        (a, b) => (a === undefined ? b : e.binary("and", a, b)),
        undefined,
      );
      const write = (): void => {
        if (wide > 1 && lanes === undefined && !combined) return this.#memory.storeWide(op, address, value);
        for (let i = 0; i < width; i++) {
          const one = (): void => {
            const place = wide > 1 ? e.binary("add", address, constant(i, U32)) : e.component(address, i);
            if (op.combine === undefined) this.#memory.storeOne(op, place, e.component(value, i));
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

  #guard(cond: Atom, body: () => void): void {
    const yes = this.#e.region(body);
    this.#e.push({ op: "if", cond, yes, no: [] });
  }

  /**
   * One lane's own part of a reduction: all its registers along the axis combined into one. Sums of products give one number, the dot product of the
   * registers; a vector of partial sums would keep four times as much alive through a loop.
   */
  #fold(op: Op & { op: "reduce" | "fold" }, axes: readonly number[], at: readonly number[]): Atom {
    const e = this.#e;
    const x = this.#r.tile(op.x);
    const { width, count } = this.#r.layout(op.axis);
    const product = width > 1 && isDot(op, this.#definitions) ? this.#definitions.ops.get(op.x) : undefined;
    const along = [...axes, op.axis];
    let whole: Atom | undefined;
    for (let r = 0; r < count; r++) {
      const place = [...at, r];
      const alive = op.masked === true ? undefined : this.#r.alive(op.axis, r);
      const identity = (t: Atom): Atom =>
        alive === undefined ? t : e.select(alive, t, constant(identityOf(op.fn, op.type), t.type));
      let term: Atom;
      if (product?.op === "binary" && alive?.type.width !== width) {
        const [a, b] = [
          this.#r.reg(this.#r.tile(product.a), along, place),
          this.#r.reg(this.#r.tile(product.b), along, place),
        ];
        const parts = Array.from({ length: width }, (_, i) => e.binary("mul", e.component(a, i), e.component(b, i)));
        term = identity(parts.reduce((p, q) => e.binary("add", p, q)));
      } else {
        term = identity(this.#r.reg(x, along, place));
        if (product !== undefined) term = this.#across(op.fn, term);
      }
      whole = whole === undefined ? term : e.binary(FUNCTIONS[op.fn], whole, term);
    }
    if (whole === undefined) throw new Error(`kernel ${this.#p.name}: a reduction of nothing`);
    return whole;
  }

  /** The components of one register combined. */
  #across(fn: ReduceKind, x: Atom): Atom {
    const parts = Array.from({ length: x.type.width }, (_, i) => this.#e.component(x, i));
    return parts.reduce((a, b) => this.#e.binary(FUNCTIONS[fn], a, b));
  }

  #reduce(op: Op & { op: "reduce" }): void {
    const l = this.#r.layout(op.axis);
    const own = this.#r.coordinates(op.axes).map((at) => {
      const part = this.#fold(op, op.axes, at);
      return l.width > 1 ? this.#across(op.fn, part) : part;
    });
    const whole = l.spread && this.#s.lanes > 1 ? this.#together(op.fn, own) : own;
    let next = 0;
    this.#r.define(op, () => whole[next++] as Atom);
  }

  /** Combines each value over all lanes. Meetings in workgroup memory are dear, so up to four values go to one of them. */
  #together(fn: ReduceKind, own: readonly Atom[]): readonly Atom[] {
    const e = this.#e;
    const some = this.#s.mode === "workgroup" && this.#s.lanes <= 256 && own.every((x) => x.type.width === 1);
    const at = some ? (own.length > 2 ? 4 : own.length) : 1;
    const found: Atom[] = [];
    for (let i = 0; i < own.length; i += at) {
      const x = e.compose(Array.from({ length: at }, (_, j) => own[Math.min(i + j, own.length - 1)] as Atom));
      const whole = e.here({ op: "lanes", fn, x }, x.type);
      for (let j = 0; j < at; j++) found.push(at === 1 ? whole : e.component(whole, j));
    }
    return found;
  }

  /**
   * A running sum. A lane adds up its own run of registers, learns what the lanes before it hold, and turns of the tile follow one another.
   */
  #scan(op: Op & { op: "scan" }): void {
    const e = this.#e;
    const x = this.#r.tile(op.x);
    const l = this.#r.layout(op.axis);
    const others = op.axes.filter((a) => a !== op.axis);
    const sums = new Map<string, Atom>();
    for (const at of this.#r.coordinates(others)) {
      let carry: Atom = constant(0, vector(op.type, 1));
      for (let turn = 0; turn < l.count; turn += l.chunk) {
        let run: Atom = constant(0, vector(op.type, 1));
        const own: Atom[][] = [];
        for (let r = turn; r < turn + l.chunk; r++) {
          const reg = this.#r.reg(x, [...others, op.axis], [...at, r]);
          const parts: Atom[] = [];
          for (let i = 0; i < l.width; i++) {
            run = e.binary("add", run, e.component(reg, i));
            parts.push(run);
          }
          own.push(parts);
        }
        const alone = !l.spread || this.#s.lanes === 1;
        const before = alone ? carry : e.binary("add", carry, e.here({ op: "before", x: run }, run.type));
        for (const [i, parts] of own.entries())
          sums.set([...at, turn + i].join(), e.compose(parts.map((p) => e.binary("add", before, p))));
        carry = e.binary("add", carry, alone ? run : e.here({ op: "lanes", fn: "sum", x: run }, run.type));
      }
    }
    this.#r.define(op, (at) => {
      const place = op.axes.map((a, i) => [a, at[i] ?? 0] as const);
      const key = [
        ...others.map((a) => place.find((p) => p[0] === a)?.[1]),
        place.find((p) => p[0] === op.axis)?.[1],
      ].join();
      return sums.get(key) as Atom;
    });
  }

  #variables(values: readonly Value[], inits: readonly number[]): { names: string[][]; types: LaneType[] } {
    const types = values.map((v): LaneType => ({ base: v.type, width: this.#r.width(v.axes) }));
    const names = values.map((v, i) => {
      const type = types[i] as LaneType;
      return this.#r.coordinates(v.axes).map((at) => {
        const init =
          inits[i] === undefined
            ? undefined
            : this.#e.widen(this.#r.reg(this.#r.tile(inits[i]), v.axes, at), type.width);
        return this.#e.variable("v", type, init);
      });
    });
    return { names, types };
  }

  /** The registers of these values are the variables themselves: nothing changes them before the turn (or the region) ends. */
  #readBack(values: readonly Value[], names: readonly string[][], types: readonly LaneType[]): void {
    for (const [i, v] of values.entries()) {
      const type = types[i] as LaneType;
      const regs = (names[i] ?? []).map((n) => this.#e.ref(n, type));
      this.#r.tiles.set(v.id, { axes: v.axes, regs });
    }
  }

  /** Sets variables at the end of a turn. A new value that is itself a variable set here is read before any of them changes. */
  #assign(
    ids: readonly number[],
    values: readonly Value[],
    names: readonly string[][],
    types: readonly LaneType[],
  ): void {
    const e = this.#e;
    const targets = new Set(names.flat());
    const pending: { name: string; value: Atom }[] = [];
    for (const [i, v] of values.entries()) {
      const width = types[i]?.width ?? 1;
      for (const [n, at] of this.#r.coordinates(v.axes).entries()) {
        const name = names[i]?.[n] ?? "";
        const value = e.widen(this.#r.reg(this.#r.tile(ids[i] ?? -1), v.axes, at), width);
        if (value.kind === "ref" && value.name === name) continue;
        const taken = value.kind === "ref" && targets.has(value.name);
        pending.push({ name, value: taken ? e.here({ op: "copy", x: value }, value.type) : value });
      }
    }
    for (const { name, value } of pending) e.push({ op: "assign", name, value });
  }

  #loop(op: Loop): void {
    const e = this.#e;
    const { tiles } = this.#s;
    const product = tiles?.loops.find((l) => l.index === op.index.id);
    if (tiles !== undefined && product !== undefined) return this.#tileLoop(op, tiles, product);
    const start = op.start === undefined ? constant(0, U32) : this.#r.reg(this.#r.tile(op.start), [], []);
    const limit = this.#r.reg(this.#r.tile(op.limit), [], []);
    const step = op.axis === undefined ? 1 : (this.#s.axes[op.axis]?.count ?? 1) * this.#r.turn(op.axis);
    const afters = op.carried.map((c) => c.after);
    const { names, types } = this.#variables(
      afters,
      op.carried.map((c) => c.init),
    );
    const index = e.name("i");
    const depth = e.depth + 1;
    // A short loop with known bounds would be unrolled by the adapter's compiler, which on lavapipe costs seconds.
    const trips = start.kind === "const" && limit.kind === "const" ? Math.ceil((limit.value - start.value) / step) : 0;
    const body = e.region(() => {
      const at = e.ref(index, U32, depth);
      if (op.axis !== undefined) {
        const even = start.kind === "const" && limit.kind === "const" && (limit.value - start.value) % step === 0;
        this.#r.extents.set(op.axis, { base: at, limit, full: even });
        this.#r.define(op.index, (c) => this.#r.elements(op.axis as number, c[0] ?? 0));
      } else this.#r.define(op.index, () => at);
      this.#readBack(
        op.carried.map((c) => c.inside),
        names,
        types,
      );
      this.#walk(op.body);
      this.#assign(
        op.carried.map((c) => c.next),
        afters,
        names,
        types,
      );
    });
    e.push({
      op: "for",
      name: index,
      start,
      limit,
      step,
      opaque: this.#target.profile === "software" && trips > 1 && trips <= 64,
      body,
    });
    this.#readBack(afters, names, types);
  }

  #branch(op: Op & { op: "if" }): void {
    const e = this.#e;
    const cond = this.#r.reg(this.#r.tile(op.cond), [], []);
    const afters = op.merged.map((m) => m.after);
    const { names, types } = this.#variables(afters, []);
    const side = (body: readonly Op[], ids: readonly number[]): ReturnType<Emitter["region"]> =>
      e.region(() => {
        this.#walk(body);
        this.#assign(ids, afters, names, types);
      });
    const [yes, no] = [
      side(
        op.yes,
        op.merged.map((m) => m.yes),
      ),
      side(
        op.no,
        op.merged.map((m) => m.no),
      ),
    ];
    e.push({ op: "if", cond, yes, no });
    this.#readBack(afters, names, types);
  }
}

/** The schedule in the layout in which lanes fill a room. */
function stagingOf(s: Schedule, staging: Staging): Schedule {
  return { ...s, axes: s.axes.map((own, a) => staging.layouts.get(a) ?? own) };
}

/** Tensors of a program, for callers that bind buffers. */
export function tensorParams(program: { readonly params: Specialised["params"] }): TensorParam[] {
  return program.params.filter((p): p is TensorParam => p.kind === "tensor");
}
