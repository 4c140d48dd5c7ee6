/**
 * Which stores wait for a load of all lanes, since what they write (or whether, or where) depends on what all of them
 * have loaded.
 *
 * A reduction has its result when every lane that shares the axis has given its part, and what one lane reads for all
 * has been read when the others have it. So a store that needs such a value comes after the loads that it is made of.
 */

import type { Carried, Loop, Op, TileProgram } from "../../ir/tile/program.ts";
import { operands } from "../../ir/tile/program.ts";
import { everyOp } from "../../ir/tile/traverse.ts";
import type { Definitions } from "../../passes/analysis/induction.ts";

type Load = Op & { op: "load" };
type Store = Op & { op: "store" };
type Branch = Op & { op: "if" };

/** What a merged variable or one that a loop changes is made of. */
type Made =
  | { readonly is: "merged"; readonly branch: Branch; readonly yes: number; readonly no: number }
  | { readonly is: "inside" | "after"; readonly loop: Loop; readonly carried: Carried }
  | { readonly is: "index"; readonly loop: Loop };

export class Waits {
  readonly #d: Definitions;
  readonly #made: Map<number, Made> = new Map();
  /** What decides whether an operation is done. */
  readonly #around: Map<Op, readonly (Loop | Branch)[]> = new Map();

  constructor(program: TileProgram, definitions: Definitions) {
    this.#d = definitions;
    everyOp(program.body, (op) => {
      if (op.op === "if")
        for (const m of op.merged) this.#made.set(m.after.id, { is: "merged", branch: op, yes: m.yes, no: m.no });
      if (op.op !== "loop") return;
      this.#made.set(op.index.id, { is: "index", loop: op });
      for (const carried of op.carried) {
        this.#made.set(carried.inside.id, { is: "inside", loop: op, carried });
        this.#made.set(carried.after.id, { is: "after", loop: op, carried });
      }
    });
    this.#place(program.body, []);
  }

  #place(ops: readonly Op[], around: readonly (Loop | Branch)[]): void {
    for (const op of ops) {
      this.#around.set(op, around);
      if (op.op === "loop") this.#place(op.body, [...around, op]);
      if (op.op === "if") for (const side of [op.yes, op.no]) this.#place(side, [...around, op]);
    }
  }

  /**
   * Does an operation need an operand that passes the test, whatever is folded while compiling? A condition of sizes
   * picks one side of a select, and a product with 0 or a remainder by 0 needs nothing of its other side. What passes
   * the test itself, or is loaded, is no constant.
   */
  #needs(op: Op, test: (id: number) => boolean): boolean {
    if (op.op === "select") return test(op.cond) || (test(op.yes) && test(op.no));
    if (op.op !== "binary" || (op.fn !== "mul" && op.fn !== "rem")) return operands(op).some(test);
    const stays = (id: number): boolean => test(id) || this.#d.ops.get(id)?.op === "load" || this.#notZero(id);
    return op.fn === "rem"
      ? test(op.b) || (test(op.a) && stays(op.b))
      : (test(op.a) && stays(op.b)) || (test(op.b) && stays(op.a));
  }

  /** Is it a literal other than 0, or a real number, whose products are never folded? */
  #notZero(id: number): boolean {
    const op = this.#d.ops.get(id);
    if (op === undefined || !("type" in op)) return false;
    if (op.type === "f32") return true;
    if (op.op === "splat") return this.#notZero(op.x);
    return op.op === "const" && op.value !== 0;
  }

  /**
   * Does every execution of `store` depend on a value without the axes `over` that is made of what `load` read before?
   */
  for(store: Store, load: Load, over: ReadonlySet<number>): boolean {
    const loadLoops = new Set(this.#around.get(load) ?? []);
    const known = new Map<number, boolean>();
    /** Depends on the load, through a value that no axis of `over` has. */
    const waits = (id: number): boolean => {
      const found = known.get(id);
      if (found !== undefined) return found;
      known.set(id, false);
      const answer = (whole(id) && comesFrom(id)) || parts(id, waits);
      known.set(id, answer);
      return answer;
    };
    const whole = (id: number): boolean => !this.#d.axesOf(id).some((a) => over.has(a));
    const visited = new Map<number, boolean>();
    const comesFrom = (id: number): boolean => {
      if (id === load.id) return true;
      const found = visited.get(id);
      if (found !== undefined) return found;
      visited.set(id, false);
      const answer = parts(id, comesFrom);
      visited.set(id, answer);
      return answer;
    };
    const storeAround = this.#around.get(store) ?? [];
    const parts = (id: number, test: (id: number) => boolean): boolean => {
      const made = this.#made.get(id);
      const op = this.#d.ops.get(id);
      if (made === undefined) return op !== undefined && this.#needs(op, test);
      if (made.is === "merged") return test(made.branch.cond) || (test(made.yes) && test(made.no));
      const { loop } = made;
      if (made.is === "index") return test(loop.limit) || (loop.start !== undefined && test(loop.start));
      const { init, next } = made.carried;
      // The first turn has what was there before; of a loop around both, what an earlier turn left tells nothing of
      // this one's loads.
      if (made.is === "inside") return test(init);
      // A loop without turns has loaded nothing.
      return test(next) && (loadLoops.has(loop) || test(init)) && !storeAround.includes(loop);
    };
    const given = [store.value, ...store.index];
    for (const a of storeAround)
      given.push(...(a.op === "if" ? [a.cond] : [a.limit, ...(a.start === undefined ? [] : [a.start])]));
    return given.some(waits);
  }
}
