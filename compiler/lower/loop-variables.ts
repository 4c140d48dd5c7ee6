/**
 * Variables of loops and branches: what changes from turn to turn, one variable of the lane IR for each register of the
 * value.
 */

import type { Atom, LaneType } from "../ir/lane/program.ts";
import { type Loop, type Op, operands, type Value } from "../ir/tile/program.ts";
import { everyOp } from "../ir/tile/traverse.ts";
import type { Context } from "./addressing.ts";

export class Variables {
  readonly #c: Context;

  constructor(context: Context) {
    this.#c = context;
  }

  /** Declares variables for the registers of these values. */
  declare(values: readonly Value[], inits: readonly number[]): { names: string[][]; types: LaneType[] } {
    const types = values.map((v): LaneType => ({ base: v.type, width: this.#c.r.width(v.axes) }));
    const names = values.map((v, i) => {
      const type = types[i] as LaneType;
      return this.#c.r.coordinates(v.axes).map((at) => {
        const init =
          inits[i] === undefined
            ? undefined
            : this.#c.e.widen(this.#c.r.reg(this.#c.r.tile(inits[i]), v.axes, at), type.width);
        return this.#c.e.variable("v", type, init);
      });
    });
    return { names, types };
  }

  /**
   * The registers of these values are the variables themselves: nothing changes them before the turn (or the region)
   * ends.
   */
  readBack(values: readonly Value[], names: readonly string[][], types: readonly LaneType[]): void {
    for (const [i, v] of values.entries()) {
      const type = types[i] as LaneType;
      const regs = (names[i] ?? []).map((n) => this.#c.e.ref(n, type));
      this.#c.r.tiles.set(v.id, { axes: v.axes, regs });
    }
  }

  /**
   * Sets variables at the end of a turn. A new value that is itself a variable set here is read before any of them
   * changes; those for which `alone` holds are set as soon as their value is made.
   */
  assign(
    ids: readonly number[],
    values: readonly Value[],
    names: readonly string[][],
    types: readonly LaneType[],
    alone: (i: number) => boolean = () => false,
  ): void {
    const e = this.#c.e;
    const targets = new Set(names.flat());
    const pending: { name: string; value: Atom }[] = [];
    for (const [i, v] of values.entries()) {
      const width = types[i]?.width ?? 1;
      for (const [n, at] of this.#c.r.coordinates(v.axes).entries()) {
        const name = names[i]?.[n] ?? "";
        const value = e.widen(this.#c.r.reg(this.#c.r.tile(ids[i] ?? -1), v.axes, at), width);
        if (value.kind === "ref" && value.name === name) continue;
        const taken = value.kind === "ref" && targets.has(value.name);
        if (alone(i) && !taken) e.push({ op: "assign", name, value });
        else pending.push({ name, value: taken ? e.here({ op: "copy", x: value }, value.type) : value });
      }
    }
    for (const { name, value } of pending) e.push({ op: "assign", name, value });
  }
}

/** Is the old value of this variable read for its own next value only, element by element? */
export function isAlone(loop: Loop, i: number): boolean {
  const own = loop.carried[i];
  if (own === undefined) return false;
  const users: Op[] = [];
  everyOp(loop.body, (op) => {
    const inner = op.op === "loop" ? op.carried.map((c) => c.next) : [];
    const merged = op.op === "if" ? op.merged.flatMap((m) => [m.yes, m.no]) : [];
    if ([...operands(op), ...inner, ...merged].includes(own.inside.id)) users.push(op);
  });
  const [user] = users;
  if (users.length !== 1 || user?.op !== "binary" || user.id !== own.next) return false;
  return !loop.carried.some((c, j) => j !== i && (c.next === own.inside.id || c.next === own.next));
}
