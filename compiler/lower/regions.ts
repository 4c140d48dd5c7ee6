/**
 * Loops and branches of a kernel as regions of the lane IR: tile operations with bodies go in, `for` and `if` with the
 * variables that they change come out.
 */

import type { Emitter } from "../ir/lane/emitter.ts";
import { type Atom, constant, U32 } from "../ir/lane/program.ts";
import type { Loop, Op } from "../ir/tile/program.ts";
import type { Target } from "../schedule/target.ts";
import type { Schedule } from "../schedule/types.ts";
import type { Context } from "./addressing.ts";
import { isAlone, Variables } from "./loop-variables.ts";
import type { Registers } from "./registers.ts";

export class Regions {
  readonly #e: Emitter;
  readonly #r: Registers;
  readonly #s: Schedule;
  readonly #target: Target;
  readonly #variables: Variables;
  /** Lowers the operations of a body, in the region that is open. */
  readonly #walk: (ops: readonly Op[]) => void;

  constructor(context: Context, target: Target, walk: (ops: readonly Op[]) => void) {
    this.#e = context.e;
    this.#r = context.r;
    this.#s = context.schedule;
    this.#target = target;
    this.#variables = new Variables(context);
    this.#walk = walk;
  }

  /** A loop that one lane takes turn by turn. */
  loop(op: Loop): void {
    const e = this.#e;
    const start = op.start === undefined ? constant(0, U32) : this.#r.reg(this.#r.tile(op.start), [], []);
    const limit = this.#r.reg(this.#r.tile(op.limit), [], []);
    const step = op.axis === undefined ? 1 : (this.#s.axes[op.axis]?.count ?? 1) * this.#r.turn(op.axis);
    const afters = op.carried.map((c) => c.after);
    const { names, types } = this.#variables.declare(
      afters,
      op.carried.map((c) => c.init),
    );
    // A short loop with known bounds would be unrolled by the adapter's compiler, which costs seconds.
    const known = start.kind === "const" && limit.kind === "const";
    const trips = known ? Math.ceil((limit.value - start.value) / step) : 0;
    const opaque = this.#target.traits.unrollsLoops && trips > 1 && trips <= 64;
    const pass = (from: Atom, below: Atom, full: boolean, rest = false): void => {
      const index = e.name("n");
      const depth = e.depth + 1;
      if (from.kind === "const") e.multiple(index, Math.min(e.twos(from), e.twos(constant(step, U32))));
      const body = e.region(() => {
        const at = e.ref(index, U32, depth);
        if (op.axis !== undefined) {
          for (const [axis, value] of [
            [op.axis, op.index] as const,
            ...(op.twin === undefined ? [] : [[op.twin.axis, op.twin.index] as const]),
          ]) {
            this.#r.extents.set(axis, { base: at, limit: below, full, rest });
            this.#r.promise(value, (c) => this.#r.elements(axis, c[0] ?? 0));
          }
        } else this.#r.define(op.index, () => at);
        this.#variables.readBack(
          op.carried.map((c) => c.inside),
          names,
          types,
        );
        this.#walk(op.body);
        this.#variables.assign(
          op.carried.map((c) => c.next),
          afters,
          names,
          types,
          (i) => isAlone(op, i),
        );
      });
      e.push({ op: "for", name: index, start: from, limit: below, step, opaque, body });
    };
    if (!known && this.#splits(op)) {
      // Whole turns need no masks; what is left is one turn that does.
      const rest = e.binary("rem", limit, constant(step, U32));
      const whole = e.binary("sub", limit, rest);
      pass(start, whole, true);
      pass(whole, limit, false, true);
    } else pass(start, limit, known && (limit.value - start.value) % step === 0);
    this.#variables.readBack(afters, names, types);
  }

  /** Is a loop over a few elements a turn worth a second copy for the last turn, so that the others need no masks? */
  #splits(op: Loop): boolean {
    const layout = op.axis === undefined ? undefined : this.#r.layout(op.axis);
    if (layout === undefined || layout.spread || layout.size === 1) return false;
    return !op.body.some((x) => x.op === "loop" || x.op === "if");
  }

  /** A branch, and what either side changes. */
  branch(op: Op & { op: "if" }): void {
    const e = this.#e;
    const cond = this.#r.reg(this.#r.tile(op.cond), [], []);
    const afters = op.merged.map((m) => m.after);
    const { names, types } = this.#variables.declare(afters, []);
    const side = (body: readonly Op[], ids: readonly number[]): ReturnType<Emitter["region"]> =>
      e.region(() => {
        this.#walk(body);
        this.#variables.assign(ids, afters, names, types);
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
    this.#variables.readBack(afters, names, types);
  }
}
