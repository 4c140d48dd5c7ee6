/**
 * Building the lane IR: operations go in, statements in regions come out.
 *
 * `Emitter` places every pure operation in the outermost region where its operands exist, once: common subexpressions
 * and loop-invariant motion in one mechanism, which matters on adapters whose own compiler does neither.
 */
import { type BinaryOp, compares } from "../operators.ts";
import { LARGEST, Origins } from "./known-bits.ts";
import type { Atom, LaneType, Rhs, Stmt, Width } from "./program.ts";
import { constant, F32, isAtom, U32 } from "./program.ts";

function key(a: Atom): string {
  return a.kind === "ref" ? a.name : `${a.value}:${a.type.base}${a.type.width}`;
}

interface Scope {
  readonly stmts: Stmt[];
  readonly known: Map<string, Atom>;
}

export class Emitter {
  readonly #scopes: Scope[] = [{ stmts: [], known: new Map() }];
  readonly #origins: Origins = new Origins();
  #names = 0;

  get depth(): number {
    return this.#scopes.length - 1;
  }

  name(hint: string): string {
    return `${hint}${this.#names++}`;
  }

  /** A pure operation: found again if it was made before, placed as far out as its operands allow. */
  pure(rhs: Rhs, type: LaneType, operands: readonly Atom[]): Atom {
    if (operands.length > 0 && operands.every((a) => a.kind === "const")) rhs = this.#atRunTime(rhs);
    const depth = operands.reduce((d, a) => Math.max(d, a.kind === "ref" ? a.depth : 0), 0);
    const scope = this.#scopes[depth];
    if (scope === undefined) throw new Error("an operand is used outside its region");
    const id = JSON.stringify(rhs, (_, v: unknown) => (isAtom(v) ? key(v) : v)) + type.base + type.width;
    const known = scope.known.get(id);
    if (known !== undefined) return known;
    const made: Atom = { kind: "ref", name: this.name("t"), type, depth };
    scope.stmts.push({ op: "let", name: made.name, type, rhs });
    scope.known.set(id, made);
    if (type.base === "u32") this.#origins.note(made.name, rhs, operands, type.width === 1);
    return made;
  }

  /** Says that `2 ** twos` divides a name. */
  multiple(name: string, twos: number): void {
    this.#origins.multiple(name, twos);
  }

  /** How often 2 surely divides a u32. */
  twos(x: Atom): number {
    return this.#origins.twos(x);
  }

  /**
   * x / 2 ** bits for an address: the parts of a sum are divided one by one where that is exact, so that what does not
   * change in a loop is divided outside.
   */
  shift(x: Atom, bits: number): Atom {
    if (bits === 0) return x;
    if (x.kind === "const") return constant(x.value >>> bits, U32);
    const made = this.#origins.of(x);
    if (made !== undefined && !this.#origins.wraps(x)) {
      const [rest, c] = this.#origins.split(x);
      const even = c - (c % 2 ** bits);
      if (even > 0) {
        const odd = this.binary("add", rest, constant(c - even, U32));
        return this.binary("add", this.shift(odd, bits), constant(even / 2 ** bits, U32));
      }
      if (made.fn === "add" && (this.twos(made.a) >= bits || this.twos(made.b) >= bits))
        return this.binary("add", this.shift(made.a, bits), this.shift(made.b, bits));
      if (made.fn === "mul" && made.b.kind === "const" && this.twos(made.b) >= bits)
        return this.binary("mul", made.a, constant(made.b.value >>> bits, U32));
    }
    return this.binary("shr", x, constant(bits, U32));
  }

  /** The lowest `bits` bits of an address. */
  low(x: Atom, bits: number): Atom {
    if (bits === 0 || this.twos(x) >= bits) return constant(0, U32);
    if (x.kind === "const") return constant(x.value & (2 ** bits - 1), U32);
    const made = this.#origins.of(x);
    if (made?.fn === "add") {
      if (this.twos(made.a) >= bits) return this.low(made.b, bits);
      if (this.twos(made.b) >= bits) return this.low(made.a, bits);
      const [rest, c] = this.#origins.split(x);
      if (c >= 2 ** bits) return this.low(this.binary("add", rest, constant(c % 2 ** bits, U32)), bits);
    }
    return this.binary("and", x, constant(2 ** bits - 1, U32));
  }

  /**
   * WGSL computes what has only constants while compiling, and refuses the shader where that overflows or has no value;
   * a name is read at run time.
   */
  #atRunTime(rhs: Rhs): Rhs {
    const named = (x: Atom): Atom => this.pure({ op: "copy", x }, x.type, []);
    if (rhs.op === "binary") return { ...rhs, a: named(rhs.a) };
    if (rhs.op === "pack") return { ...rhs, a: named(rhs.a), b: named(rhs.b) };
    return rhs.op === "unary" || rhs.op === "cast" || rhs.op === "bitcast" ? { ...rhs, x: named(rhs.x) } : rhs;
  }

  /** An integer that the adapter's compiler cannot see, and so keeps beside the variables. */
  hidden(value: number, type: LaneType): Atom {
    return this.pure({ op: "copy", x: constant(value, type), hidden: true }, type, []);
  }

  /** An operation that must stay where it is: loads of memory that is written, work that lanes do together. */
  here(rhs: Rhs, type: LaneType): Atom {
    const made: Atom = { kind: "ref", name: this.name("t"), type, depth: this.depth };
    this.push({ op: "let", name: made.name, type, rhs });
    return made;
  }

  push(s: Stmt): void {
    this.#scopes.at(-1)?.stmts.push(s);
  }

  variable(hint: string, type: LaneType, init: Atom | undefined): string {
    const name = this.name(hint);
    this.push({ op: "var", name, type, init });
    return name;
  }

  /** The statements that `fill` emits, as a region of their own. */
  region(fill: () => void): Stmt[] {
    const scope: Scope = { stmts: [], known: new Map() };
    this.#scopes.push(scope);
    fill();
    this.#scopes.pop();
    return scope.stmts;
  }

  /**
   * A reference to a name that is defined in the current region (or will be, as a loop's variable, in the next one in).
   */
  ref(name: string, type: LaneType, depth: number = this.depth): Atom {
    return { kind: "ref", name, type, depth };
  }

  get statements(): readonly Stmt[] {
    return this.#scopes[0]?.stmts ?? [];
  }

  // ---- Arithmetic with the small foldings that keep addresses readable ----------------------------------------------

  binary(fn: BinaryOp, a: Atom, b: Atom): Atom {
    const width = Math.max(a.type.width, b.type.width) as Width;
    if (a.type.base === "u32" && width === 1 && b.type.base === "u32") {
      if (a.kind === "const" && b.kind === "const" && (fn === "add" || fn === "mul")) {
        return constant(fn === "add" ? (a.value + b.value) >>> 0 : Math.imul(a.value, b.value) >>> 0, U32);
      }
      for (const [x, y] of [
        [a, b],
        [b, a],
      ] as const) {
        if (x.kind === "const" && fn === "add" && x.value === 0) return y;
        if (x.kind === "const" && fn === "mul" && x.value === 1) return y;
        if (x.kind === "const" && fn === "mul" && x.value === 0) return x;
      }
      if (fn === "div" && b.kind === "const" && b.value === 1) return a;
      const moved = fn === "add" || fn === "mul" ? this.#outward(fn, a, b) : undefined;
      if (moved !== undefined) return moved;
    }
    if (b.kind === "const" && b.type.base !== "f32") {
      // WGSL refuses these when they are constants, and defines them when they are not.
      if (fn === "div" && b.value === 0) return this.widen(a, width);
      if (fn === "rem" && b.value === 0) return constant(0, { base: a.type.base, width });
      if (fn === "shl" || fn === "shr") b = constant(b.value & 31, b.type);
    }
    const [wa, wb] = [this.widen(a, width), this.widen(b, width)];
    return this.pure({ op: "binary", fn, a: wa, b: wb }, { base: compares(fn) ? "bool" : a.type.base, width }, [
      wa,
      wb,
    ]);
  }

  /**
   * Constants in an address go last: (x + c) · k is x · k + c · k, (x + c) + y is (x + y) + c. So addresses that lie a
   * known distance apart are made from one, and what is derived from their common part, such as a number of a block, is
   * made once.
   */
  #outward(fn: "add" | "mul", a: Atom, b: Atom): Atom | undefined {
    if (a.kind === "const") return b.kind === "const" ? undefined : this.binary(fn, b, a);
    const [x, c] = this.#origins.split(a);
    if (fn === "mul") {
      if (c === 0 || b.kind !== "const" || c * b.value > LARGEST) return undefined;
      return this.binary("add", this.binary("mul", x, b), constant(c * b.value, U32));
    }
    const [y, d] = b.kind === "const" ? [undefined, b.value] : this.#origins.split(b);
    if (c + d > LARGEST || (y === undefined ? c === 0 : c + d === 0)) return undefined;
    return this.binary("add", y === undefined ? x : this.binary("add", x, y), constant(c + d, U32));
  }

  widen(x: Atom, width: Width): Atom {
    if (x.type.width === width) return x;
    if (x.kind === "const") return constant(x.value, { base: x.type.base, width });
    return this.pure({ op: "splat", x }, { base: x.type.base, width }, [x]);
  }

  select(cond: Atom, yes: Atom, no: Atom): Atom {
    const width = Math.max(yes.type.width, no.type.width, cond.type.width) as Width;
    const [y, n] = [this.widen(yes, width), this.widen(no, width)];
    return this.pure({ op: "select", cond, yes: y, no: n }, { base: yes.type.base, width }, [cond, y, n]);
  }

  component(x: Atom, at: number): Atom {
    if (x.type.width === 1) return x;
    if (x.kind === "const") return constant(x.value, { base: x.type.base, width: 1 });
    const index = constant(at, U32);
    return this.pure({ op: "pick", x, at: index }, { base: x.type.base, width: 1 }, [x]);
  }

  dot(a: Atom, b: Atom): Atom {
    return a.type.width === 1 ? this.binary("mul", a, b) : this.pure({ op: "dot", a, b }, F32, [a, b]);
  }

  take(x: Atom, lane: number): Atom {
    return x.kind === "const" ? x : this.pure({ op: "take", x, lane }, x.type, [x]);
  }

  compose(parts: readonly Atom[]): Atom {
    const first = parts[0];
    if (first === undefined) throw new Error("a vector of no parts");
    if (parts.length === 1) return first;
    return this.pure(
      { op: "compose", parts },
      { base: first.type.base, width: (parts.length * first.type.width) as Width },
      parts,
    );
  }
}
