/**
 * The lane simulator's machine: statements and values of a lane program as functions over all lanes, made once and run
 * for each program of the dispatch.
 */

import type { Atom, LaneProgram, Rhs, Stmt } from "../../ir/lane/program.ts";
import type { BinaryOp, ValueType } from "../../ir/operators.ts";
import { halfOf, ofHalf } from "./buffers.ts";
import { SimulatedBuffer } from "./memory.ts";
import { Rooms } from "./shared-memory.ts";
import { binaryOf, bitcastOf, castOf, literalOf, unaryOf } from "./values.ts";

/** What each lane holds of one name: lanes x width components. NaN is a value that nothing defines. */
type Cells = Float64Array;
/** One statement; `active` are the lanes that execute it. */
type Step = (active: readonly number[]) => void;

/** One run of a program over buffers. */
export class Simulator {
  readonly #p: LaneProgram;
  readonly #scalars: Readonly<Record<string, number>>;
  readonly #memory: Map<string, SimulatedBuffer> = new Map();
  readonly #cells: Map<string, Cells> = new Map();
  readonly #rooms: Rooms;
  readonly #body: readonly Step[];
  #program = 0;
  /** Why a lane's last vain load gave nothing, for the message when that nothing is used. */
  #why: { readonly buffer: SimulatedBuffer; readonly index: number; readonly part: number }[] = [];

  constructor(
    program: LaneProgram,
    buffers: Readonly<Record<string, Uint32Array>>,
    scalars: Readonly<Record<string, number>>,
  ) {
    this.#p = program;
    this.#scalars = scalars;
    for (const b of program.buffers) this.#memory.set(b.name, new SimulatedBuffer(program, b, buffers[b.name]));
    this.#rooms = new Rooms(program, (what, lane) => this.#bad(what, lane));
    this.#cells.set("pid", new Float64Array(program.lanes));
    this.#cells.set(
      "lane",
      Float64Array.from({ length: program.lanes }, (_, l) => l),
    );
    this.#body = this.#block(program.body);
  }

  run(): void {
    const all = Array.from({ length: this.#p.lanes }, (_, l) => l);
    for (let pid = 0; pid < this.#p.programs; pid++) {
      this.#program = pid;
      this.#why = [];
      this.#rooms.clear();
      this.#cells.get("pid")?.fill(pid);
      for (const step of this.#body) step(all);
    }
  }

  #bad(what: string, lane?: number): never {
    const who = lane === undefined ? "" : `, lane ${lane}`;
    throw new Error(
      `kernel ${this.#p.name}, simulated on ${this.#p.lanes} lanes: program ${this.#program}${who}: ${what}`,
    );
  }

  // ---- Operands -----------------------------------------------------------------------------------------------------

  #define(name: string, width: number): Cells {
    const made = new Float64Array(this.#p.lanes * width).fill(Number.NaN);
    this.#cells.set(name, made);
    return made;
  }

  #named(name: string): Cells {
    return this.#cells.get(name) ?? this.#bad(`${name} is used but not defined`);
  }

  #read(a: Atom): Cells {
    if (a.kind === "ref") return this.#named(a.name);
    return new Float64Array(this.#p.lanes * a.type.width).fill(literalOf(a.value, a.type.base));
  }

  #buffer(name: string): SimulatedBuffer {
    return this.#memory.get(name) ?? this.#bad(`there is no buffer "${name}"`);
  }

  /** The number that all of these lanes agree on. */
  #same(x: Cells, active: readonly number[], what: string): number {
    const first = x[active[0] ?? 0] as number;
    for (const l of active) {
      if (Number.isNaN(x[l])) this.#bad(`${what} is a value that nothing defines${this.#reason(l)}`, l);
      if (x[l] !== first) this.#bad(`${what} is ${x[l]}, but ${first} in lane ${active[0]}`, l);
    }
    return first;
  }

  // ---- Statements ---------------------------------------------------------------------------------------------------

  #block(stmts: readonly Stmt[]): Step[] {
    return stmts.map((s) => this.#statement(s));
  }

  #statement(s: Stmt): Step {
    switch (s.op) {
      case "let":
        return this.#rhs(s.rhs, s.type, this.#define(s.name, s.type.width));
      case "var":
      case "assign": {
        const given = s.op === "var" ? s.init : s.value;
        const from = given === undefined ? undefined : this.#read(given);
        const to = s.op === "var" ? this.#define(s.name, s.type.width) : this.#named(s.name);
        const width = to.length / this.#p.lanes;
        return (active) => {
          for (const l of active)
            for (let c = l * width; c < (l + 1) * width; c++)
              to[c] = from === undefined ? Number.NaN : (from[c] as number);
        };
      }
      case "for":
        return this.#loop(s);
      case "if": {
        const cond = this.#read(s.cond);
        const [yes, no] = [this.#block(s.yes), this.#block(s.no)];
        return (active) => {
          for (const l of active)
            if (Number.isNaN(cond[l])) this.#bad(`branches on a value that nothing defines${this.#reason(l)}`, l);
          for (const [side, wanted] of [
            [yes, 1],
            [no, 0],
          ] as const) {
            const lanes = active.filter((l) => cond[l] === wanted);
            if (lanes.length > 0) for (const step of side) step(lanes);
          }
        };
      }
      case "store":
        return this.#store(s);
      case "write":
        return this.#write(s);
      case "barrier":
        return (active) => this.#rooms.barrier(active);
      case "matrix":
      case "fetch":
      case "multiply":
      case "spill":
        return (active) => this.#rooms.matrix(s, active, (a) => this.#read(a));
      case "insert": {
        const b = this.#buffer(s.buffer);
        const [index, shift, value] = [this.#read(s.index), this.#read(s.shift), this.#read(s.value)];
        return (active) => {
          for (const l of active) {
            const me = this.#program * this.#p.lanes + l;
            this.#check(b.insert(me, index[l] as number, shift[l] as number, s.bits, value[l] as number), l);
          }
        };
      }
      case "atomic": {
        const b = this.#buffer(s.buffer);
        const [index, value] = [this.#read(s.index), this.#read(s.value)];
        return (active) => {
          for (const l of active) this.#check(b.update(s.fn, index[l] as number, value[l] as number), l);
        };
      }
    }
  }

  /** Nothing may have come from another lane, through a reduction. */
  #reason(lane: number): string {
    const from = this.#why[lane] === undefined ? this.#why.findIndex((w) => w !== undefined) : lane;
    const why = this.#why[from];
    return why === undefined ? "" : `; lane ${from} ${why.buffer.reason(why.index, why.part)}`;
  }

  #check(fault: string | undefined, lane: number): void {
    if (fault !== undefined) this.#bad(fault + (fault.includes("nothing defines") ? this.#reason(lane) : ""), lane);
  }

  #loop(s: Stmt & { op: "for" }): Step {
    const [start, limit] = [this.#read(s.start), this.#read(s.limit)];
    const counter = this.#define(s.name, 1);
    const body = this.#block(s.body);
    return (active) => {
      const from = this.#same(start, active, `the start of loop ${s.name}`);
      for (let i = from; ; i += s.step) {
        const to = this.#same(limit, active, `the limit of loop ${s.name}`);
        if (i > 0xffffffff) this.#bad(`loop ${s.name} never ends: its counter wraps around below the limit ${to}`);
        if (i >= to) return;
        for (const l of active) counter[l] = i;
        for (const step of body) step(active);
      }
    };
  }

  #store(s: Stmt & { op: "store" }): Step {
    const b = this.#buffer(s.buffer);
    const [index, value] = [this.#read(s.index), this.#read(s.value)];
    const part = s.part === undefined ? undefined : this.#read(s.part);
    const width = s.value.type.width;
    return (active) => {
      for (const l of active) {
        const me = this.#program * this.#p.lanes + l;
        for (let c = 0; c < width; c++) {
          const at = part === undefined ? c : (part[l] as number);
          this.#check(b.write(me, index[l] as number, at, value[l * width + c] as number), l);
        }
      }
    };
  }

  #write(s: Stmt & { op: "write" }): Step {
    const [index, value] = [this.#read(s.index), this.#read(s.value)];
    const width = s.value.type.width;
    return (active) => {
      for (const l of active)
        for (let c = 0; c < width; c++)
          this.#rooms.write(s.room, l, index[l] as number, c, value[l * width + c] as number);
    };
  }

  // ---- Values -------------------------------------------------------------------------------------------------------

  #rhs(r: Rhs, type: { readonly base: ValueType; readonly width: number }, out: Cells): Step {
    const { width } = type;
    /** Each component from the components at its own place. */
    const map =
      (make: (i: number, lane: number, part: number) => number): Step =>
      (active) => {
        for (const l of active) for (let c = 0; c < width; c++) out[l * width + c] = make(l * width + c, l, c);
      };
    switch (r.op) {
      case "unary":
      case "cast":
      case "bitcast": {
        const [x, from] = [this.#read(r.x), r.x.type.base];
        const fn =
          r.op === "unary"
            ? unaryOf(r.fn, from)
            : r.op === "cast"
              ? castOf(from, type.base)
              : bitcastOf(from, type.base);
        return (active) => {
          for (const l of active) for (let i = l * width; i < (l + 1) * width; i++) out[i] = fn(x[i] as number);
        };
      }
      case "binary": {
        const [a, b] = [this.#read(r.a), this.#read(r.b)];
        const fn = binaryOf(r.fn, r.a.type.base);
        return (active) => {
          for (const l of active)
            for (let i = l * width; i < (l + 1) * width; i++) out[i] = fn(a[i] as number, b[i] as number);
        };
      }
      case "select": {
        const [cond, yes, no] = [this.#read(r.cond), this.#read(r.yes), this.#read(r.no)];
        const one = r.cond.type.width === 1;
        return map((i, l) => {
          const c = cond[one ? l : i] as number;
          return Number.isNaN(c) ? c : ((c === 1 ? yes : no)[i] as number);
        });
      }
      case "splat": {
        const x = this.#read(r.x);
        return map((_, l) => x[l] as number);
      }
      case "copy": {
        const x = this.#read(r.x);
        return (active) => {
          for (const l of active) for (let i = l * width; i < (l + 1) * width; i++) out[i] = x[i] as number;
        };
      }
      case "compose": {
        const from = r.parts.flatMap((p) => {
          const cells = this.#read(p);
          return Array.from({ length: p.type.width }, (_, c) => ({ cells, c, width: p.type.width }));
        });
        return map((_, l, c) => {
          const p = from[c];
          return p === undefined ? Number.NaN : (p.cells[l * p.width + p.c] as number);
        });
      }
      case "pick": {
        const [x, at, many] = [this.#read(r.x), this.#read(r.at), r.x.type.width];
        return map((_, l) => ((at[l] as number) < many ? (x[l * many + (at[l] as number)] as number) : Number.NaN));
      }
      case "load":
        return this.#load(r, map);
      case "read": {
        const index = this.#read(r.index);
        const part = r.part === undefined ? undefined : this.#read(r.part);
        return map((_, l, c) =>
          this.#rooms.read(r.room, l, index[l] as number, part === undefined ? c : (part[l] as number)),
        );
      }
      case "unpack": {
        const x = this.#read(r.x);
        return map((_, l, c) => unpack(r.format, x[l] as number, c));
      }
      case "pack": {
        const [a, b] = [this.#read(r.a), this.#read(r.b)];
        return map((_, l) => (halfOf(a[l] as number, r.format) | (halfOf(b[l] as number, r.format) << 16)) >>> 0);
      }
      case "scalar": {
        const given = this.#scalars[r.param];
        if (given === undefined) this.#bad(`no value for the scalar "${r.param}"`);
        return map(() => literalOf(given, type.base));
      }
      case "dot": {
        const [a, b, n] = [this.#read(r.a), this.#read(r.b), r.a.type.width];
        const [mul, add] = [binaryOf("mul", "f32"), binaryOf("add", "f32")];
        return map((_, l) => {
          let sum = mul(a[l * n] as number, b[l * n] as number);
          for (let c = l * n + 1; c < (l + 1) * n; c++) sum = add(sum, mul(a[c] as number, b[c] as number));
          return sum;
        });
      }
      case "take": {
        const x = this.#read(r.x);
        const take = map((_, __, c) => x[r.lane * width + c] as number);
        return (active) => {
          if (active.length < this.#p.lanes)
            this.#bad(`"take" is reached by ${active.length} of ${this.#p.lanes} lanes`);
          take(active);
        };
      }
      case "lanes":
      case "before":
        return this.#together(r, type, out);
    }
  }

  #load(r: Rhs & { op: "load" }, map: (make: (i: number, lane: number, part: number) => number) => Step): Step {
    const b = this.#buffer(r.buffer);
    const index = this.#read(r.index);
    const part = r.part === undefined ? undefined : this.#read(r.part);
    return map((_, l, c) => {
      const [i, p] = [index[l] as number, part === undefined ? c : (part[l] as number)];
      const got = b.read(this.#program * this.#p.lanes + l, i, p);
      if (got !== undefined) return got;
      this.#why[l] = { buffer: b, index: i, part: p };
      return Number.NaN;
    });
  }

  /**
   * What lanes do together: a tree, as adapters do it, so that sums of f32 round alike; or the sum over the lanes
   * before.
   */
  #together(
    r: Rhs & { op: "lanes" | "before" },
    type: { readonly base: ValueType; readonly width: number },
    out: Cells,
  ): Step {
    const x = this.#read(r.x);
    const n = this.#p.lanes;
    const { width } = type;
    const names: Readonly<Record<string, BinaryOp>> = { sum: "add", max: "max", min: "min" };
    const fn = binaryOf(r.op === "before" ? "add" : (names[r.fn] ?? "add"), type.base);
    return (active) => {
      if (active.length < n) this.#bad(`"${r.op}" is reached by ${active.length} of ${n} lanes`);
      for (let c = 0; c < width; c++) {
        const own = Array.from({ length: n }, (_, l) => x[l * width + c] as number);
        if (r.op === "lanes" && r.fn === "first") {
          for (let l = 0; l < n; l++) out[l * width + c] = own[0] as number;
          continue;
        }
        let sum = 0;
        for (let l = 0; r.op === "before" && l < n; l++) {
          out[l * width + c] = sum;
          sum = fn(sum, own[l] as number);
        }
        if (r.op === "before") continue;
        for (let held = n; held > 1; held = Math.ceil(held / 2)) {
          const half = Math.ceil(held / 2);
          for (let l = 0; l + half < held; l++) own[l] = fn(own[l] as number, own[l + half] as number);
        }
        for (let l = 0; l < n; l++) out[l * width + c] = own[0] as number;
      }
    };
  }
}

function unpack(format: (Rhs & { op: "unpack" })["format"], word: number, part: number): number {
  if (Number.isNaN(word)) return word;
  if (format === "f16" || format === "bf16") return ofHalf((word >>> (part * 16)) & 0xffff, format);
  const byte = (word >>> (part * 8)) & 255;
  return format === "q8" ? (byte << 24) >> 24 : (byte & 15) - (format === "q4" ? 8 : 0);
}
