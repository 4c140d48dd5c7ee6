/**
 * Is this JSON a tile program at all? What comes from a cache or a bundle is asked before the verifier, which takes
 * fields and their types for granted.
 *
 * Every field that a later stage reads has its type, every enumeration one of its words, every reference to an axis, a
 * dim or a parameter something to refer to. Names go into WGSL and into messages, so they have to be identifiers.
 */

import { FORMATS } from "../formats.ts";
import type { BinaryOp, ReduceKind, UnaryOp, ValueType } from "../operators.ts";
import type { Axis, Op, Param, ScalarParam, TileProgram } from "./program.ts";

type Fields = Readonly<Record<string, unknown>>;

// Objects, so that the type checker misses a word that is added to a type and not here.
const VALUES: ReadonlySet<unknown> = words<ValueType>({ f32: 1, u32: 1, i32: 1, bool: 1 });
const STORAGE: ReadonlySet<unknown> = new Set(Object.keys(FORMATS));
const SCALARS: ReadonlySet<unknown> = words<ScalarParam["dtype"]>({ u32: 1, i32: 1, f32: 1 });
const UNARY: ReadonlySet<unknown> = words<UnaryOp>({
  neg: 1,
  not: 1,
  exp: 1,
  exp2: 1,
  log: 1,
  log2: 1,
  sqrt: 1,
  rsqrt: 1,
  sin: 1,
  cos: 1,
  tanh: 1,
  abs: 1,
  floor: 1,
  ceil: 1,
  round: 1,
});
const BINARY: ReadonlySet<unknown> = words<BinaryOp>({
  add: 1,
  sub: 1,
  mul: 1,
  div: 1,
  rem: 1,
  pow: 1,
  min: 1,
  max: 1,
  and: 1,
  or: 1,
  xor: 1,
  shl: 1,
  shr: 1,
  lt: 1,
  le: 1,
  gt: 1,
  ge: 1,
  eq: 1,
  ne: 1,
});
const REDUCTIONS: ReadonlySet<unknown> = words<ReduceKind>({ sum: 1, max: 1, min: 1 });
const AXES: ReadonlySet<unknown> = words<Axis["kind"]>({ whole: 1, block: 1, over: 1, partial: 1 });
/** As in TypeScript. */
const IDENTIFIER = /^[\p{ID_Start}_$][\p{ID_Continue}$]*$/u;
/** Deeper programs than anyone writes would exhaust the stack of whoever walks them. */
const DEEPEST = 64;

function words<W extends string>(all: Readonly<Record<W, 1>>): ReadonlySet<unknown> {
  return new Set(Object.keys(all));
}

/** True for what can name a kernel or a parameter. */
export function isIdentifier(text: unknown): text is string {
  return typeof text === "string" && text.length <= 1000 && IDENTIFIER.test(text);
}

/** Gives `x` back as the program that it is. Throws an Error that says where it is none. */
export function wellFormed(x: unknown): TileProgram {
  return new Form(x).program();
}

class Form {
  readonly #given: unknown;
  #dims: ReadonlySet<unknown> = new Set();
  #params: ReadonlyMap<unknown, unknown> = new Map();
  #axes = 0;

  constructor(given: unknown) {
    this.#given = given;
  }

  program(nested = false): TileProgram {
    const p = fields(this.#given, "the program");
    name(p.name, "the program");
    const params = list(p.params, "params");
    for (const q of params) this.#param(fields(q, "a parameter"));
    this.#params = new Map((params as Param[]).map((q) => [q.name, q.kind]));
    need(this.#params.size === params.length, () => "two parameters have one name");
    this.#dims = new Set((params as Param[]).flatMap((q) => (q.kind === "tensor" ? q.dims : [])));
    const axes = list(p.axes, "axes");
    this.#axes = axes.length;
    for (const [i, a] of axes.entries()) this.#axisForm(fields(a, "an axis"), i);
    for (const g of list(p.grid, "grid")) {
      const { dim, axis } = fields(g, "a dim of the grid");
      need(this.#dims.has(dim), () => `the grid has the unknown dim ${said(dim)}`);
      if (axis !== undefined) this.#axis(axis, "the grid");
    }
    if (p.fixed !== undefined)
      for (const v of Object.values(fields(p.fixed, "fixed")))
        need(["number", "boolean", "string"].includes(typeof v), () => "a compile-time parameter is no value");
    this.#ops(p.body, 0);
    if (p.kinds !== undefined) {
      need(!nested, () => "kinds inside kinds");
      for (const k of list(p.kinds, "kinds")) new Form(k).program(true);
    }
    return this.#given as TileProgram;
  }

  #param(q: Fields): void {
    name(q.name, "a parameter");
    const where = `parameter "${String(q.name)}"`;
    if (q.kind === "scalar")
      return need(SCALARS.has(q.dtype), () => `${where} is of the unknown type ${said(q.dtype)}`);
    need(q.kind === "tensor", () => `${where} is of the unknown kind ${said(q.kind)}`);
    for (const d of list(q.dims, `the dims of ${where}`))
      need(typeof d === "string", () => `${where} has a dim without a name`);
    const storage = list(q.storage, `the storage of ${where}`);
    need(storage.length > 0 && storage.every((s) => STORAGE.has(s)), () => `${where} has unknown storage`);
    need(typeof q.reads === "boolean" && typeof q.writes === "boolean", () => `${where} is neither read nor written`);
    need(q.atomic === undefined || typeof q.atomic === "boolean", () => `${where} has a strange "atomic"`);
  }

  #axisForm(a: Fields, i: number): void {
    need(a.id === i, () => `axis ${i} has the id ${said(a.id)}`);
    need(AXES.has(a.kind) && this.#dims.has(a.dim), () => `axis ${i} is of no known kind or dim`);
    need(a.size === undefined || (whole(a.size) && a.size > 0), () => `axis ${i} has the size ${said(a.size)}`);
    if (a.twin !== undefined) this.#axis(a.twin, `axis ${i}`);
  }

  #axis(a: unknown, where: string): void {
    need(whole(a) && a < this.#axes, () => `${where} has the unknown axis ${said(a)}`);
  }

  #value(x: unknown): void {
    const v = fields(x, "a value");
    need(whole(v.id), () => `a value has the id ${said(v.id)}`);
    need(VALUES.has(v.type), () => `%${v.id} is of the unknown type ${said(v.type)}`);
    for (const a of list(v.axes, `the axes of %${v.id}`)) this.#axis(a, `%${v.id}`);
    span(v.span);
  }

  #ops(x: unknown, depth: number): void {
    need(depth <= DEEPEST, () => `operations ${depth} levels deep`);
    for (const op of list(x, "a list of operations")) this.#op(fields(op, "an operation"), depth);
  }

  #op(o: Fields, depth: number): void {
    const op = o.op as Op["op"];
    span(o.span);
    switch (op) {
      case "store":
        this.#param_(o.param, "tensor");
        ids(o.index);
        id(o.value);
        return need(
          o.combine === undefined || REDUCTIONS.has(o.combine),
          () => `a store combines by ${said(o.combine)}`,
        );
      case "loop":
        return this.#loop(o, depth);
      case "if":
        id(o.cond);
        this.#ops(o.yes, depth + 1);
        this.#ops(o.no, depth + 1);
        for (const m of list(o.merged, "what a branch changes")) {
          const f = fields(m, "a variable of a branch");
          variable(f.name);
          id(f.yes);
          id(f.no);
          this.#value(f.after);
        }
        return;
    }
    this.#value(o);
    switch (op) {
      case "const":
        return need(Number.isFinite(o.value), () => `%${o.id} is the constant ${said(o.value)}`);
      case "size":
      case "program":
        return need(this.#dims.has(o.dim), () => `%${o.id} is about the unknown dim ${said(o.dim)}`);
      case "scalar":
        return this.#param_(o.param, "scalar");
      case "iota":
        return this.#axis(o.axis, `%${o.id}`);
      case "unary":
        need(UNARY.has(o.fn), () => `%${o.id} is the unknown function ${said(o.fn)}`);
        return id(o.x);
      case "binary":
        need(BINARY.has(o.fn), () => `%${o.id} is the unknown function ${said(o.fn)}`);
        return ids([o.a, o.b]);
      case "select":
        return ids([o.cond, o.yes, o.no]);
      case "cast":
      case "bitcast":
      case "splat":
        return id(o.x);
      case "load":
        this.#param_(o.param, "tensor");
        return ids(o.index);
      case "relay":
        this.#axis(o.from, `%${o.id}`);
        this.#axis(o.to, `%${o.id}`);
        return id(o.x);
      case "fold":
      case "reduce":
      case "scan":
        if (op !== "scan") need(REDUCTIONS.has(o.fn), () => `%${o.id} reduces by ${said(o.fn)}`);
        if (op === "fold") this.#axis(o.to, `%${o.id}`);
        need(o.masked === undefined || typeof o.masked === "boolean", () => `%${o.id} has a strange "masked"`);
        this.#axis(o.axis, `%${o.id}`);
        return id(o.x);
      default:
        throw new Error(`the unknown operation ${said(op satisfies never)}`);
    }
  }

  #loop(o: Fields, depth: number): void {
    need(o.kind === "over" || o.kind === "range", () => `a loop of the unknown kind ${said(o.kind)}`);
    if (o.kind === "over") this.#axis(o.axis, "a loop");
    else id(o.start);
    id(o.limit);
    this.#value(o.index);
    if (o.twin !== undefined) {
      const twin = fields(o.twin, "a loop's twin");
      this.#axis(twin.axis, "a loop's twin");
      this.#value(twin.index);
    }
    for (const c of list(o.carried, "what a loop changes")) {
      const f = fields(c, "a variable of a loop");
      variable(f.name);
      id(f.init);
      this.#value(f.inside);
      id(f.next);
      this.#value(f.after);
    }
    this.#ops(o.body, depth + 1);
  }

  #param_(x: unknown, kind: Param["kind"]): void {
    need(this.#params.get(x) === kind, () => `${said(x)} is no ${kind} among the parameters`);
  }
}

function need(holds: boolean, otherwise: () => string): asserts holds {
  if (!holds) throw new Error(otherwise());
}

/** A value as it can stand in a message. */
function said(x: unknown): string {
  const text = JSON.stringify(x) ?? "nothing";
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

function fields(x: unknown, what: string): Fields {
  need(typeof x === "object" && x !== null && !Array.isArray(x), () => `${what} is ${said(x)}`);
  return x as Fields;
}

function list(x: unknown, what: string): readonly unknown[] {
  need(Array.isArray(x), () => `${what}: expected a list, got ${said(x)}`);
  return x;
}

function name(x: unknown, of: string): void {
  need(isIdentifier(x), () => `${of} has the name ${said(x)}, which is no identifier`);
}

/** Variables are called by their number or as in the source; only messages name them. */
function variable(x: unknown): void {
  need(typeof x === "string" && /^[\p{ID_Continue}$]{1,1000}$/u.test(x), () => `a variable has the name ${said(x)}`);
}

function whole(x: unknown): x is number {
  return Number.isSafeInteger(x) && (x as number) >= 0;
}

function id(x: unknown): void {
  need(whole(x), () => `${said(x)} is no value`);
}

function ids(x: unknown): void {
  for (const i of list(x, "operands")) id(i);
}

function span(x: unknown): void {
  const s = fields(x, "a span");
  const places = [s.start, s.end, s.line, s.column];
  need(typeof s.file === "string" && places.every(whole), () => `a strange span: ${said(x)}`);
}
