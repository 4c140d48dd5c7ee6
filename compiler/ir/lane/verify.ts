/**
 * The verifier of the lane IR: what is legal between lowering and printing.
 *
 * Names are defined once and used where they are visible, operands have the types that WGSL wants of them, memory is
 * used as it was declared, and what lanes do together is reached by all of them. docs/architecture.md has the rules in
 * words. A pass that breaks one is our defect, so the message names the pass.
 */

import { elementCount, formatOf, isNarrow, perWord, wordType } from "../formats.ts";
import { type BinaryOp, compares, type UnaryOp } from "../operators.ts";
import type { Atom, Buffer, LaneProgram, LaneType, Rhs, Stmt } from "./program.ts";
import { atomsOf } from "./traverse.ts";
import { RoomChecker } from "./verify-shared-memory.ts";

interface Known {
  readonly type: LaneType;
  readonly kind: "let" | "var" | "for";
  visible: boolean;
}

const ONE = {
  u32: { base: "u32", width: 1 },
  bool: { base: "bool", width: 1 },
  f32: { base: "f32", width: 1 },
} as const;
const BITWISE: ReadonlySet<BinaryOp> = new Set<BinaryOp>(["and", "or", "xor"]);
const ANY_NUMBER: ReadonlySet<UnaryOp> = new Set<UnaryOp>(["neg", "abs"]);

/** Returns the program unchanged, or throws naming the pass that made it illegal. */
export function verifyLanes(program: LaneProgram, pass: string): LaneProgram {
  new Checker(program, pass).run();
  return program;
}

class Checker {
  readonly #p: LaneProgram;
  readonly #pass: string;
  readonly #names: Map<string, Known> = new Map();
  readonly #buffers: ReadonlyMap<string, Buffer>;
  readonly #rooms: RoomChecker;
  /** Names whose values may differ from lane to lane of one program. */
  readonly #varying: Set<string> = new Set(["lane"]);

  constructor(program: LaneProgram, pass: string) {
    this.#p = program;
    this.#pass = pass;
    this.#buffers = new Map(program.buffers.map((b) => [b.name, b]));
    this.#rooms = new RoomChecker(program, {
      bad: (what) => this.#bad(what),
      is: (a, type, what) => this.#is(a, type, what),
    });
  }

  run(): void {
    this.#shape();
    this.#rooms.shape();
    this.#names.set("pid", { type: ONE.u32, kind: "let", visible: true });
    if (this.#p.lanes > 1) this.#names.set("lane", { type: ONE.u32, kind: "let", visible: true });
    this.#region(this.#p.body);
    // Variables carry values around loops, so what varies is known once another look finds nothing new. What a look
    // refuses, every later one would.
    if (this.#p.lanes > 1) {
      for (let before = -1; before !== this.#varying.size; ) {
        before = this.#varying.size;
        this.#spread(this.#p.body, false);
      }
    }
  }

  #bad(what: string): never {
    throw new Error(`kernel ${this.#p.name}: the lane IR after "${this.#pass}" is not legal: ${what}`);
  }

  #shape(): void {
    const p = this.#p;
    const positive = [p.lanes, p.workgroupSize, p.programsPerWorkgroup, ...p.workgroups];
    if (!positive.every((n) => Number.isInteger(n) && n >= 1))
      this.#bad("a count of lanes or workgroups is not positive");
    if (p.workgroupSize !== p.lanes * p.programsPerWorkgroup)
      this.#bad(`${p.workgroupSize} invocations are not ${p.programsPerWorkgroup} programs of ${p.lanes} lanes`);
    if (p.mode === "thread" && p.lanes !== 1) this.#bad(`a thread has ${p.lanes} lanes`);
    if (p.mode === "workgroup" && p.programsPerWorkgroup !== 1)
      this.#bad("several programs share a workgroup's barriers");
    if (p.mode !== "thread" && (p.lanes & (p.lanes - 1)) !== 0) this.#bad(`${p.lanes} lanes are not a power of two`);
    if (p.workgroups[0] * p.workgroups[1] * p.programsPerWorkgroup < p.programs)
      this.#bad(`${p.programs} programs do not fit into ${p.workgroups.join(" x ")} workgroups`);
    if (this.#buffers.size !== p.buffers.length) this.#bad("two buffers have one name");
    for (const b of p.buffers) {
      const per = b.unit / perWord(b.storage);
      if (![1, 2, 4].includes(per)) this.#bad(`"${b.name}" has elements of ${per} words`);
      if (b.atomic && (per !== 1 || !b.writes)) this.#bad(`"${b.name}" is atomic but not written word by word`);
      if (
        b.pitch !== undefined &&
        (b.writes || b.writable || b.members !== undefined || !Number.isInteger(Math.log2(b.pitch)))
      )
        this.#bad(`"${b.name}" cannot be bound as a texture with rows of ${b.pitch} texels`);
      if (b.writes && formatOf(b.storage).stores === "nothing") this.#bad(`"${b.name}" is ${b.storage} but written`);
    }
  }

  // ---- Names and types ----------------------------------------------------------------------------------------------

  #region(stmts: readonly Stmt[], counter?: string): void {
    const own: string[] = [];
    const define = (name: string, type: LaneType, kind: Known["kind"]): void => {
      if (this.#names.has(name)) this.#bad(`${name} is defined twice`);
      if (name.length === 3 && /^[iuf](16|32)$/.test(name)) this.#bad(`${name} is the name of a type`);
      this.#names.set(name, { type, kind, visible: true });
      own.push(name);
    };
    if (counter !== undefined) define(counter, ONE.u32, "for");
    for (const s of stmts) {
      switch (s.op) {
        case "let":
          for (const a of atomsOf(s.rhs)) if (a !== undefined) this.#known(a);
          this.#rhs(s.name, s.rhs, s.type);
          define(s.name, s.type, "let");
          break;
        case "var":
          if (s.init !== undefined) this.#is(s.init, s.type, `the start of ${s.name}`);
          define(s.name, s.type, "var");
          break;
        case "assign": {
          const to = this.#names.get(s.name);
          if (to === undefined || !to.visible) this.#bad(`${s.name} is assigned where it is not visible`);
          if (to.kind !== "var") this.#bad(`${s.name} is assigned but is not a variable`);
          this.#is(s.value, to.type, `what ${s.name} is assigned`);
          break;
        }
        case "for":
          this.#is(s.start, ONE.u32, `the start of loop ${s.name}`);
          this.#is(s.limit, ONE.u32, `the limit of loop ${s.name}`);
          if (!Number.isInteger(s.step) || s.step < 1) this.#bad(`loop ${s.name} steps by ${s.step}`);
          this.#region(s.body, s.name);
          break;
        case "if":
          this.#is(s.cond, ONE.bool, "a condition");
          this.#region(s.yes);
          this.#region(s.no);
          break;
        case "write": {
          const type = this.#rooms.element(s.room, s.index, undefined);
          this.#is(s.value, type, `what is written to "${s.room}"`);
          break;
        }
        case "barrier":
          this.#rooms.barrier();
          break;
        case "matrix":
        case "fetch":
        case "multiply":
        case "spill":
          this.#rooms.matrix(s);
          break;
        case "store": {
          const b = this.#written(s.buffer);
          const type = this.#element(b, s.index, s.part);
          this.#is(s.value, type, `what is stored in "${b.name}"`);
          break;
        }
        case "atomic": {
          const b = this.#written(s.buffer);
          if (!b.atomic) this.#bad(`"${b.name}" is updated but not atomic`);
          this.#is(s.value, this.#element(b, s.index, undefined), `what "${b.name}" is updated with`);
          break;
        }
        case "insert": {
          const b = this.#written(s.buffer);
          if (!b.atomic || !isNarrow(b.storage))
            this.#bad(`bits of "${b.name}" are written, but it is not atomic words`);
          if (!(s.bits > 0 && s.bits < 32)) this.#bad(`${s.bits} bits of "${b.name}" are written`);
          this.#is(s.value, this.#element(b, s.index, undefined), `what goes into "${b.name}"`);
          this.#is(s.shift, ONE.u32, `a bit of "${b.name}"`);
          break;
        }
      }
    }
    for (const name of own) (this.#names.get(name) as Known).visible = false;
  }

  /** A reference to what is visible here, of the type that it was defined with. */
  #known(a: Atom): void {
    if (a.kind === "const") return;
    const found = this.#names.get(a.name);
    if (found === undefined || !found.visible)
      this.#bad(`${a.name} is used ${found === undefined ? "before it is defined" : "outside its region"}`);
    if (!same(a.type, found.type)) this.#bad(`${a.name} is ${show(found.type)} but used as ${show(a.type)}`);
  }

  #is(a: Atom, type: LaneType, what: string): void {
    this.#known(a);
    if (!same(a.type, type)) this.#bad(`${what} is ${show(a.type)}, not ${show(type)}`);
  }

  #buffer(name: string): Buffer {
    return this.#buffers.get(name) ?? this.#bad(`there is no buffer "${name}"`);
  }

  #written(name: string): Buffer {
    const b = this.#buffer(name);
    return b.writes ? b : this.#bad(`"${name}" is written but bound for reading`);
  }

  /** The type of an element, or of the component `part` of it. */
  #element(b: Buffer, index: Atom, part: Atom | undefined): LaneType {
    const per = (b.unit / perWord(b.storage)) as LaneType["width"];
    const base = wordType(b.storage);
    this.#is(index, ONE.u32, `an index of "${b.name}"`);
    if (index.kind === "const" && index.value >= elementCount(b))
      this.#bad(`the constant index ${index.value} of "${b.name}" is beyond its ${elementCount(b)} elements`);
    if (part === undefined) return { base, width: per };
    this.#is(part, ONE.u32, `a component of "${b.name}"`);
    if (per === 1) this.#bad(`elements of "${b.name}" have no components`);
    if (part.kind === "const" && part.value >= per) this.#bad(`"${b.name}" has no component ${part.value}`);
    return { base, width: 1 };
  }

  #rhs(name: string, r: Rhs, type: LaneType): void {
    const must = (ok: boolean): void => {
      if (ok) return;
      const parts = atomsOf(r).map((a) => (a === undefined ? "" : show(a.type)));
      this.#bad(`${name} = ${r.op}${"fn" in r ? ` ${r.fn}` : ""}(${parts.join(", ")}) cannot be ${show(type)}`);
    };
    switch (r.op) {
      case "unary": {
        const { base } = r.x.type;
        const numbers =
          base === "f32" || (base === "i32" && ANY_NUMBER.has(r.fn)) || (base === "u32" && r.fn === "abs");
        return must(same(r.x.type, type) && (r.fn === "not" ? base === "bool" : numbers));
      }
      case "binary":
        return must(binaryFits(r.fn, r.a.type, r.b.type, type));
      case "select":
        must(r.cond.type.base === "bool" && (r.cond.type.width === 1 || r.cond.type.width === type.width));
        return must(same(r.yes.type, type) && same(r.no.type, type));
      case "cast":
        return must(r.x.type.width === type.width);
      case "bitcast":
        return must(r.x.type.width === type.width && r.x.type.base !== "bool" && type.base !== "bool");
      case "splat":
        return must(r.x.type.width === 1 && r.x.type.base === type.base && type.width > 1);
      case "compose":
        must(r.parts.every((p) => p.type.base === type.base));
        return must(r.parts.reduce((n, p) => n + p.type.width, 0) === type.width);
      case "pick":
        must(r.x.type.width > 1 && same(type, { base: r.x.type.base, width: 1 }) && same(r.at.type, ONE.u32));
        return must(r.at.kind === "ref" || r.at.value < r.x.type.width);
      case "copy":
        must(r.hidden !== true || (r.x.kind === "const" && type.width === 1 && /^[ui]32$/.test(type.base)));
        return must(same(r.x.type, type));
      case "load":
        return must(same(this.#element(this.#buffer(r.buffer), r.index, r.part), type));
      case "read":
        return must(same(this.#rooms.read(r.room, r.index, r.part), type));
      case "unpack":
        must(same(r.x.type, ONE.u32) && type.base === "f32");
        return must(type.width === (r.format === "f16" || r.format === "bf16" ? 2 : 4));
      case "pack":
        return must(same(r.a.type, ONE.f32) && same(r.b.type, ONE.f32) && same(type, ONE.u32));
      case "scalar": {
        const found = this.#p.uniforms.find((u) => u.name === r.param) ?? this.#bad(`there is no scalar "${r.param}"`);
        return must(same(type, { base: found.dtype, width: 1 }));
      }
      case "dot":
        must(same(r.a.type, r.b.type) && r.a.type.base === "f32" && r.a.type.width > 1);
        return must(same(type, ONE.f32));
      case "take":
        if (this.#p.mode !== "subgroup") this.#bad(`${name}: "take" outside a subgroup`);
        if (!(Number.isInteger(r.lane) && r.lane >= 0 && r.lane < this.#p.lanes))
          this.#bad(`${name} takes from lane ${r.lane} of ${this.#p.lanes}`);
        return must(same(r.x.type, type) && type.base !== "bool");
      case "lanes":
      case "before":
        if (this.#p.lanes === 1) this.#bad(`${name}: one lane has nobody to do "${r.op}" with`);
        return must(same(r.x.type, type) && type.base !== "bool" && (r.op === "lanes" || type.width === 1));
    }
  }

  // ---- What varies by lane ------------------------------------------------------------------------------------------

  #varies(a: Atom | undefined): boolean {
    return a?.kind === "ref" && this.#varying.has(a.name);
  }

  /** Marks what varies, and refuses what all lanes must do and cannot; `apart` says that not all lanes need be here. */
  #spread(stmts: readonly Stmt[], apart: boolean): void {
    for (const s of stmts) {
      switch (s.op) {
        case "let":
          if (apart && (s.rhs.op === "lanes" || s.rhs.op === "before" || s.rhs.op === "take"))
            this.#bad(`${s.name}: "${s.rhs.op}" under a condition that varies by lane`);
          if (this.#rhsVaries(s.rhs)) this.#varying.add(s.name);
          break;
        case "barrier":
        case "matrix":
        case "fetch":
        case "multiply":
        case "spill":
          if (apart) this.#bad(`"${s.op}" under a condition that varies by lane`);
          break;
        case "var":
          if (this.#varies(s.init)) this.#varying.add(s.name);
          break;
        case "assign":
          if (apart || this.#varies(s.value)) this.#varying.add(s.name);
          break;
        case "for":
          if (this.#varies(s.start) || this.#varies(s.limit)) this.#bad(`the bounds of loop ${s.name} vary by lane`);
          this.#spread(s.body, apart);
          break;
        case "if": {
          const inside = apart || this.#varies(s.cond);
          this.#spread(s.yes, inside);
          this.#spread(s.no, inside);
          break;
        }
      }
    }
  }

  /** Bound for writing, which is what WGSL goes by. */
  #isOpen(b: Buffer): boolean {
    return b.writes || b.writable === true;
  }

  #rhsVaries(r: Rhs): boolean {
    if (r.op === "lanes" || r.op === "take") return false;
    if (r.op === "before" || r.op === "read") return true;
    // WGSL knows no order of other lanes' writes, and refuses barriers that depend on what it reads there.
    if (r.op === "load" && this.#p.mode === "workgroup" && this.#isOpen(this.#buffer(r.buffer))) return true;
    return atomsOf(r).some((a) => this.#varies(a));
  }
}

function binaryFits(fn: BinaryOp, a: LaneType, b: LaneType, type: LaneType): boolean {
  if (a.width !== b.width || a.width !== type.width) return false;
  const integer = a.base === "u32" || a.base === "i32";
  if (fn === "shl" || fn === "shr") return integer && b.base === "u32" && a.base === type.base;
  if (a.base !== b.base) return false;
  if (compares(fn)) return type.base === "bool" && (a.base !== "bool" || fn === "eq" || fn === "ne");
  if (a.base !== type.base) return false;
  if (BITWISE.has(fn)) return a.base !== "f32";
  return fn === "pow" ? a.base === "f32" : a.base !== "bool";
}

function same(a: LaneType, b: LaneType): boolean {
  return a === b || (a.base === b.base && a.width === b.width);
}

function show(t: LaneType): string {
  return t.width === 1 ? t.base : `${t.base}x${t.width}`;
}
