/**
 * What is known of the u32 names of a lane program: how they came about, which powers of two divide them, and which may
 * have gone below zero on the way. With it the Emitter takes addresses apart, so that what several of them have in
 * common is made once.
 */
import type { Atom, Rhs } from "./program.ts";

type Binary = Rhs & { op: "binary" };

/** What counts as a distance: anything larger may be a negative number. */
export const LARGEST: number = 2 ** 31 - 1;

/** What makes a number of anything. */
const WITHIN: ReadonlySet<string> = new Set(["shr", "and", "div", "rem"]);

export class Origins {
  readonly #made: Map<string, Binary> = new Map();
  /** Names -> how often 2 divides them. */
  readonly #twos: Map<string, number> = new Map();
  readonly #wraps: Set<string> = new Set();

  /** Takes down how a name of u32, or of a vector of them, is made. */
  note(name: string, rhs: Rhs, operands: readonly Atom[], scalar: boolean): void {
    if (this.#mayWrap(rhs, operands)) this.#wraps.add(name);
    if (rhs.op !== "binary" || !scalar) return;
    this.#made.set(name, rhs);
    const [a, b] = [this.twos(rhs.a), this.twos(rhs.b)];
    if (rhs.fn === "add") this.#twos.set(name, Math.min(a, b));
    if (rhs.fn === "mul") this.#twos.set(name, Math.min(31, a + b));
    if (rhs.fn === "shl" && rhs.b.kind === "const") this.#twos.set(name, Math.min(31, a + rhs.b.value));
  }

  /** Says that `2 ** twos` divides a name. */
  multiple(name: string, twos: number): void {
    this.#twos.set(name, twos);
  }

  /** How often 2 surely divides a u32. */
  twos(x: Atom): number {
    if (x.kind === "ref") return this.#twos.get(x.name) ?? 0;
    return x.value === 0 ? 31 : Math.min(31, Math.log2((x.value & -x.value) >>> 0));
  }

  /** The operation that made a name, if it was one of two operands. */
  of(x: Atom): Binary | undefined {
    return x.kind === "ref" ? this.#made.get(x.name) : undefined;
  }

  /** May this have gone below zero, so that the parts of the sum that it is are no numbers of their own? */
  wraps(x: Atom): boolean {
    return x.kind === "ref" ? this.#wraps.has(x.name) : x.value > LARGEST;
  }

  /** A name as a sum of something and a distance. */
  split(x: Atom): readonly [rest: Atom, distance: number] {
    const made = this.of(x);
    return made?.fn === "add" && made.b.kind === "const" && made.b.value <= LARGEST ? [made.a, made.b.value] : [x, 0];
  }

  /**
   * Differences and signed numbers may be below zero, and so may what is made of them, until a division or a mask makes
   * a number of it again.
   */
  #mayWrap(rhs: Rhs, operands: readonly Atom[]): boolean {
    if (rhs.op === "bitcast") return true;
    if (rhs.op === "cast") return rhs.x.type.base === "i32";
    if (rhs.op === "binary" && rhs.fn === "sub") return true;
    if (rhs.op === "binary" && WITHIN.has(rhs.fn)) return false;
    return operands.some((a) => this.wraps(a));
  }
}
