/**
 * Which elements of a tensor two accesses of one program can both touch.
 *
 * Each index of an access is a polynomial in sizes, places along axes and turns of loops. That two accesses meet in an
 * element is an equation for each dim, in which what varies stands twice: once for each access. Solving them says that
 * they never meet, or which places and turns must then be the same.
 */

import type { Loop, Op, TileProgram, Value } from "../../ir/tile/program.ts";
import { isValue, operands } from "../../ir/tile/program.ts";
import { everyOp } from "../../ir/tile/traverse.ts";
import type { Definitions } from "../../passes/analysis/induction.ts";
import {
  extreme,
  notNegative,
  ofNumber,
  ofQuantity,
  type Polynomial,
  plus,
  positive,
  type Quantity,
  quantitiesOf,
  renamed,
  textOf,
  times,
  ZERO,
} from "./polynomials.ts";

/** What is known when two accesses touch one element. */
export interface Meeting {
  /** They never do. */
  readonly never: boolean;
  /** Axes (`axis:3`), turns (`turn:7`) and programs (`program:rows`) that must be the same for both. */
  readonly same: ReadonlySet<string>;
}

/** Reads index expressions of one program. */
export class Places {
  readonly #p: TileProgram;
  readonly #d: Definitions;
  readonly #known: Map<number, Polynomial> = new Map();
  /** Loops around the definition of each value. */
  readonly #loops: Map<number, readonly Loop[]> = new Map();
  readonly #indices: Map<number, Loop> = new Map();
  /** What a merged variable, or one that a loop changes, is made of. */
  readonly #made: Map<number, readonly number[]> = new Map();
  readonly #written: ReadonlySet<string>;

  constructor(program: TileProgram, definitions: Definitions) {
    this.#p = program;
    this.#d = definitions;
    const written = new Set<string>();
    everyOp(program.body, (op, loops) => {
      const note = (v: Value, around: readonly Loop[]): unknown => this.#loops.set(v.id, around);
      if (isValue(op)) note(op, loops);
      if (op.op === "store") written.add(op.param);
      if (op.op === "if")
        for (const m of op.merged) {
          note(m.after, loops);
          this.#made.set(m.after.id, [op.cond, m.yes, m.no]);
        }
      if (op.op !== "loop") return;
      this.#indices.set(op.index.id, op);
      for (const c of op.carried) {
        note(c.inside, [...loops, op]);
        note(c.after, loops);
        for (const v of [c.inside, c.after]) this.#made.set(v.id, [c.init, c.next]);
      }
    });
    this.#written = written;
  }

  /** An index as a polynomial. */
  of(id: number): Polynomial {
    const found = this.#known.get(id);
    if (found !== undefined) return found;
    const made = this.#read(id);
    this.#known.set(id, made);
    return made;
  }

  #read(id: number): Polynomial {
    const loop = this.#indices.get(id);
    if (loop !== undefined) return ofQuantity(this.#index(loop));
    const op = this.#d.ops.get(id);
    if (op === undefined || !isValue(op)) return ofQuantity(this.#opaque(id));
    if (op.type !== "u32" && op.type !== "i32") return ofQuantity(this.#pure(op));
    switch (op.op) {
      case "const":
        return ofNumber(op.value);
      case "splat":
        return this.of(op.x);
      case "cast":
      case "bitcast": {
        const from = this.#d.ops.get(op.x);
        const whole = this.#indices.has(op.x) || (from !== undefined && isValue(from) && /^[ui]32$/.test(from.type));
        return whole ? this.of(op.x) : ofQuantity(this.#pure(op));
      }
      case "iota":
        return ofQuantity(this.#along(op.axis, []));
      case "binary": {
        const [a, b] = [this.of(op.a), this.of(op.b)];
        if (op.fn === "add") return plus(a, b);
        if (op.fn === "sub") return plus(a, b, -1);
        const shift = op.fn === "shl" ? this.#d.constant(op.b) : undefined;
        const made =
          op.fn === "mul"
            ? times(a, b)
            : shift !== undefined && shift < 31
              ? times(a, ofNumber(2 ** shift))
              : undefined;
        return made ?? ofQuantity(this.#pure(op));
      }
      default:
        return ofQuantity(this.#pure(op));
    }
  }

  /** The place along an axis, below what its loop says and the dim has. */
  #along(axis: number, limits: readonly Polynomial[]): Quantity {
    const name = `axis:${axis}`;
    const size = ofQuantity(sizeOf(this.#p.axes[axis]?.dim ?? ""));
    return { ...natural(name, [name]), variable: name, below: [...limits, size] };
  }

  #index(loop: Loop): Quantity {
    const limits = [this.of(loop.limit), ...this.#atMost(loop.limit)];
    if (loop.axis !== undefined) return this.#along(loop.axis, limits);
    const name = turnOf(loop);
    const from = loop.start === undefined ? ZERO : this.of(loop.start);
    return { ...natural(name, [name]), variable: name, from, below: limits };
  }

  /**
   * Numbers that a minimum never exceeds: its operands. One that could be less than 0 is a huge u32, whereas a
   * polynomial says a small number, so it bounds nothing.
   */
  #atMost(id: number): Polynomial[] {
    const op = this.#d.ops.get(id);
    if (op?.op === "splat") return this.#atMost(op.x);
    if (op?.op !== "binary" || op.fn !== "min" || op.type !== "u32") return [];
    return [op.a, op.b].flatMap((x) => [this.of(x)].filter(notNegative).concat(this.#atMost(x)));
  }

  /** A value that nothing is known of, but where it is defined. */
  #opaque(id: number): Quantity {
    const turns = (this.#loops.get(id) ?? []).map(turnOf);
    const programs = this.#p.grid.flatMap((g) => (g.axis === undefined ? [`program:${g.dim}`] : []));
    const blocks = this.#p.grid.flatMap((g) => (g.axis === undefined ? [] : [`block:${g.axis}`]));
    const axes = this.#d.axesOf(id).map((a) => `axis:${a}`);
    return {
      ...natural(`%${id}`, [...axes, ...turns, ...programs, ...blocks]),
      natural: false,
      data: this.#comesFromData(id),
    };
  }

  /** Is a value made of what some tensor or the caller gives? A counter that a loop moves on is not. */
  #comesFromData(id: number, seen: Set<number> = new Set()): boolean {
    if (seen.has(id)) return false;
    seen.add(id);
    const op = this.#d.ops.get(id);
    if (op?.op === "load") return true;
    const parts = this.#made.get(id) ?? (op === undefined ? [] : operands(op));
    return parts.some((x) => this.#comesFromData(x, seen));
  }

  /** A value that equal operands make equal. */
  #pure(op: Value & Op): Quantity {
    const own = this.#opaque(op.id);
    if (op.op === "reduce" || op.op === "scan" || op.op === "fold" || op.op === "relay") return own;
    if (op.op === "load" && this.#written.has(op.param)) return own;
    const made = operands(op).map((x) => this.of(x));
    const inside = made.flatMap(quantitiesOf);
    const { id: _, span: __, type, axes: ___, ...rest } = op;
    const fields = Object.entries(rest).filter(([key]) => !OPERANDS.has(key));
    const quantity = {
      ...natural(
        `(${type} ${JSON.stringify(fields)} ${made.map(textOf).join(" ")})`,
        inside.flatMap((q) => [...q.varies]),
      ),
      natural: type === "u32" && keepsSmall(op, made),
      data: op.op === "load" || inside.some((q) => q.data),
    };
    if (op.op === "size") return sizeOf(op.dim);
    if (op.op === "program") return natural(`program:${op.dim}`, [`program:${op.dim}`], `program:${op.dim}`);
    const [x, y] = made;
    if (op.op !== "binary" || type !== "u32" || x === undefined || y === undefined) return quantity;
    if (op.fn !== "div" && op.fn !== "rem" && op.fn !== "xor") return quantity;
    return { ...quantity, below: op.fn === "rem" ? [y] : [], made: { fn: op.fn, x, y } };
  }

  /**
   * What follows from two accesses touching one element. `fixed` is what both have in common from the start: two
   * accesses of one program have its place in the grid in common.
   */
  meet(one: readonly Polynomial[], other: readonly Polynomial[], fixed: (variable: string) => boolean): Meeting {
    const solver = new Solver(fixed, this.#turns());
    return solver.solve(one.map((f, i) => [f, other[i] ?? ZERO] as const));
  }

  /** The turn that a place along the axis of a loop belongs to, and the block along that of a grid dim. */
  #turns(): ReadonlyMap<string, string> {
    const out = new Map<string, string>();
    for (const loop of this.#indices.values()) if (loop.axis !== undefined) out.set(`axis:${loop.axis}`, turnOf(loop));
    for (const g of this.#p.grid) if (g.axis !== undefined) out.set(`axis:${g.axis}`, `block:${g.axis}`);
    return out;
  }
}

/** The name of a loop's turns. */
export function turnOf(loop: Loop): string {
  return `turn:${loop.index.id}`;
}

/**
 * Are the results of a u32 operation surely natural numbers of the size that its operands have, and never one below 0
 * that has wrapped?
 */
function keepsSmall(op: Op, operands: readonly Polynomial[]): boolean {
  if (op.op === "select") return operands.slice(1).every(notNegative);
  if (op.op !== "binary") return false;
  const [a, b] = operands.map(notNegative);
  if (op.fn === "min" || op.fn === "and") return a === true || b === true;
  if (op.fn === "rem") return b === true;
  if (op.fn === "div" || op.fn === "shr") return a === true;
  return a === true && b === true;
}

/** Fields of an operation that name its operands. */
const OPERANDS: ReadonlySet<string> = new Set(["x", "a", "b", "cond", "yes", "no", "index"]);

function natural(key: string, varies: readonly string[], variable?: string): Quantity {
  const own = variable === undefined ? {} : { variable };
  return { key, varies: new Set(varies), from: ZERO, below: [], natural: true, least: 0, data: false, ...own };
}

/** Where a dim has no element, nothing is touched. */
function sizeOf(dim: string): Quantity {
  return { ...natural(`size:${dim}`, []), least: 1 };
}

type Equation = readonly [one: Polynomial, other: Polynomial];

/** Solves the equations of one meeting. */
class Solver {
  readonly #fixed: (variable: string) => boolean;
  readonly #turns: ReadonlyMap<string, string>;
  readonly #same: Set<string> = new Set();
  /** Keys of quantities that have one value for both, though what they vary with may differ. */
  readonly #equal: Set<string> = new Set();
  /** Operands of equal quotients and remainders: key of the two operands -> which of both are known. */
  readonly #halves: Map<string, Set<string>> = new Map();
  #equations: readonly Equation[] = [];

  constructor(fixed: (variable: string) => boolean, turns: ReadonlyMap<string, string>) {
    this.#fixed = fixed;
    this.#turns = turns;
  }

  solve(equations: readonly Equation[]): Meeting {
    this.#equations = equations;
    for (let before = -1; before !== this.#same.size + this.#equal.size + this.#equations.length; ) {
      before = this.#same.size + this.#equal.size + this.#equations.length;
      for (const e of this.#equations) if (!this.#equation(e)) return { never: true, same: this.#same };
    }
    return { never: false, same: this.#same };
  }

  #shared(q: Quantity): boolean {
    return this.#equal.has(q.key) || [...q.varies].every((v) => this.#fixed(v) || this.#same.has(v));
  }

  /** The quantity of the other access, under a name of its own. */
  #other(q: Quantity): Quantity {
    if (this.#shared(q)) return q;
    return { ...q, key: `${q.key}'`, from: this.#primed(q.from), below: q.below.map((b) => this.#primed(b)) };
  }

  #primed(p: Polynomial): Polynomial {
    return renamed(p, (q) => this.#other(q));
  }

  /** Learns from one equation; false where it has no solution. */
  #equation([one, other]: Equation): boolean {
    const difference = plus(one, this.#primed(other), -1);
    if (difference.size === 0) return true;
    const varies = (q: Quantity): boolean => !this.#shared(q);
    if (this.#neverZero(difference, varies)) return false;
    for (const q of quantitiesOf(difference)) {
      if (!varies(q) || q.key.endsWith("'")) continue;
      const [own, rest] = this.#apart(difference, q);
      if (own !== undefined && this.#outweighs(own, rest, q, varies)) this.#learn(q);
    }
    return true;
  }

  /** The factor c of c · (q - q'), and what else there is. */
  #apart(p: Polynomial, q: Quantity): readonly [factor: Polynomial | undefined, rest: Polynomial] {
    const factor = new Map<string, { by: number; factors: readonly Quantity[] }>();
    const opposite = new Map<string, number>();
    const rest = new Map(p);
    for (const [key, t] of p) {
      const place = t.factors.findIndex((f) => f.key === q.key || f.key === `${q.key}'`);
      if (place < 0) continue;
      const others = t.factors.filter((_, i) => i !== place);
      const name = others.map((f) => f.key).join(" ");
      if (t.factors[place]?.key === q.key) factor.set(name, { by: t.by, factors: others });
      else opposite.set(name, t.by);
      rest.delete(key);
    }
    const matched = factor.size === opposite.size && [...factor].every(([k, t]) => opposite.get(k) === -t.by);
    return [matched ? factor : undefined, rest];
  }

  /** Is |c| larger than what the rest can make up for, so that c · (q - q') + rest = 0 only where q = q'? */
  #outweighs(c: Polynomial, rest: Polynomial, q: Quantity, varies: (q: Quantity) => boolean): boolean {
    if (quantitiesOf(c).some(varies)) return false;
    const up = positive(c);
    if (!up && !positive(plus(ZERO, c, -1))) return false;
    const size = up ? c : plus(ZERO, c, -1);
    if (rest.size === 0) {
      // Walks along an axis pass every place on the way, so they cannot wrap; anything else may.
      const factor = c.get("");
      return q.variable !== undefined || (c.size === 1 && factor !== undefined && Math.abs(factor.by) % 2 === 1);
    }
    if (q.variable === undefined) return false;
    return choices(rest).some((which) => {
      const [most, least] = [extreme(rest, 1, varies, which), extreme(rest, -1, varies, which)];
      return most !== undefined && least !== undefined && positive(plus(size, most, -1)) && positive(plus(size, least));
    });
  }

  #neverZero(p: Polynomial, varies: (q: Quantity) => boolean): boolean {
    for (const which of choices(p)) {
      const [most, least] = [extreme(p, 1, varies, which), extreme(p, -1, varies, which)];
      if (most !== undefined && positive(plus(ZERO, most, -1))) return true;
      if (least !== undefined && positive(least)) return true;
    }
    // 4 i + 1 and 4 j are never the same.
    const left = p.get("")?.by ?? 0;
    const others = [...p.entries()].flatMap(([key, t]) => (key === "" ? [] : [Math.abs(t.by)]));
    const divisor = others.reduce(gcd, 0);
    const bounded = quantitiesOf(p).every((q) => !varies(q) || q.variable !== undefined);
    const step = bounded ? divisor : divisor & -divisor;
    return left !== 0 && step > 0 && left % step !== 0;
  }

  /** Both accesses have the same value of a quantity. */
  #learn(q: Quantity): void {
    this.#equal.add(q.key);
    if (q.variable !== undefined) {
      this.#same.add(q.variable);
      const turn = this.#turns.get(q.variable);
      if (turn !== undefined) this.#same.add(turn);
    }
    if (q.made === undefined) return;
    const { fn, x, y } = q.made;
    if (!quantitiesOf(y).every((f) => this.#shared(f))) return;
    const name = `${textOf(x)} ${textOf(y)}`;
    const known = new Set([...(this.#halves.get(name) ?? []), fn]);
    this.#halves.set(name, known);
    const whole = known.has("xor") || (known.has("div") && known.has("rem"));
    if (whole && !this.#equations.some(([f]) => textOf(f) === textOf(x)))
      this.#equations = [...this.#equations, [x, x]];
  }
}

/** The numbers by which `extreme` can choose among bounds. */
function choices(p: Polynomial): number[] {
  return Array.from({ length: Math.max(1, ...quantitiesOf(p).map((q) => q.below.length)) }, (_, which) => which);
}

function gcd(a: number, b: number): number {
  return b === 0 ? a : gcd(b, a % b);
}
