/**
 * What passes over finished lane programs share: walking the statements, and small pieces of address arithmetic that
 * are folded and made once in what encloses their uses. Lowering has its own, richer Emitter; these passes come after
 * everything was placed.
 */
import type { BinaryOp } from "../operators.ts";
import type { Atom, LaneType, Rhs, Stmt } from "./program.ts";
import { BOOL, constant, U32 } from "./program.ts";

type Load = Rhs & { op: "load" };

/** Copies a program statement by statement; passes say what becomes of loads and stores. */
export class Rewriter {
  readonly #known: Map<string, Atom>[] = [];
  readonly #prefix: string;
  #out: Stmt[] = [];
  #names = 0;

  /** Names are the prefix, a number and "_": those of lowering end in a digit. */
  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  region(stmts: readonly Stmt[]): Stmt[] {
    const outer = this.#out;
    this.#known.push(new Map());
    this.#out = [];
    for (const s of stmts) {
      if (s.op === "for") this.push({ ...s, body: this.region(s.body) });
      else if (s.op === "if") this.push({ ...s, yes: this.region(s.yes), no: this.region(s.no) });
      else if (s.op === "store") this.store(s);
      else if (s.op === "let" && s.rhs.op === "load") this.load(s, s.rhs);
      else this.push(s);
    }
    const made = this.#out;
    this.#known.pop();
    this.#out = outer;
    return made;
  }

  protected load(s: Stmt & { op: "let" }, _: Load): void {
    this.push(s);
  }

  protected store(s: Stmt & { op: "store" }): void {
    this.push(s);
  }

  protected push(s: Stmt): void {
    this.#out.push(s);
  }

  /** A new name for what is computed here. */
  protected let(rhs: Rhs, type: LaneType): Atom {
    const name = `${this.#prefix}${this.#names++}_`;
    this.push({ op: "let", name, type, rhs });
    return { kind: "ref", name, type, depth: 0 };
  }

  /** The same, found again by its key while it is visible. */
  protected once(rhs: Rhs, type: LaneType, key: string): Atom {
    for (const known of this.#known) {
      const found = known.get(key);
      if (found !== undefined) return found;
    }
    const made = this.let(rhs, type);
    this.#known.at(-1)?.set(key, made);
    return made;
  }

  /** u32 arithmetic with a constant; comparisons give a bool. */
  protected binary(fn: BinaryOp, a: Atom, by: number): Atom {
    const b = constant(by, U32);
    if (a.kind === "const") {
      const folded = { add: a.value + by, mul: a.value * by, shr: a.value >>> by, and: a.value & by };
      return constant(folded[fn as keyof typeof folded] >>> 0, U32);
    }
    if ((fn === "mul" && by === 1) || ((fn === "add" || fn === "shr" || fn === "sub") && by === 0)) return a;
    return this.once({ op: "binary", fn, a, b }, fn === "ge" ? BOOL : U32, `${fn} ${a.name} ${by}`);
  }

  protected sum(a: Atom, b: Atom): Atom {
    if (b.kind === "const") return this.binary("add", a, b.value);
    if (a.kind === "const") return this.binary("add", b, a.value);
    return this.once({ op: "binary", fn: "add", a, b }, U32, `add ${a.name} ${b.name}`);
  }
}

/** The operands of an operation. */
export function atomsOf(r: Rhs): readonly (Atom | undefined)[] {
  switch (r.op) {
    case "binary":
    case "dot":
    case "pack":
      return [r.a, r.b];
    case "select":
      return [r.cond, r.yes, r.no];
    case "compose":
      return r.parts;
    case "pick":
      return [r.x, r.at];
    case "load":
    case "read":
      return [r.index, r.part];
    case "scalar":
      return [];
    default:
      return [r.x];
  }
}
