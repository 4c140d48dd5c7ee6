/**
 * Which index values walk along an axis.
 *
 * A load can be a wide one only when its last index is the axis's own index plus a constant; this file finds that out,
 * for scheduling (which axis should be spread over lanes) and for lane lowering (which loads are wide).
 */
import type { Op, TileProgram, Value } from "../../ir/tile/program.ts";
import { isValue } from "../../ir/tile/program.ts";
import { everyOp } from "../../ir/tile/traverse.ts";

/** index = (index tile of `axis`) + offset, where the offset is a known number. */
export interface Walk {
  readonly axis: number;
  readonly offset: number;
}

export class Definitions {
  readonly ops: Map<number, Op> = new Map<number, Op>();
  /** Index values of over-loops: value id -> axis. */
  readonly loopIndex: Map<number, number> = new Map<number, number>();

  /** Axes of every value, those of loops and branches included. */
  readonly #axes: Map<number, readonly number[]> = new Map<number, readonly number[]>();

  constructor(program: TileProgram) {
    const note = (v: Value): unknown => this.#axes.set(v.id, v.axes);
    everyOp(program.body, (op) => {
      if (isValue(op)) note(op);
      if (op.op === "if") for (const m of op.merged) note(m.after);
      if (op.op === "loop")
        for (const v of [
          op.index,
          ...(op.twin === undefined ? [] : [op.twin.index]),
          ...op.carried.flatMap((c) => [c.inside, c.after]),
        ])
          note(v);
      if (isValue(op)) this.ops.set(op.id, op);
      if (op.op === "loop" && op.axis !== undefined) this.loopIndex.set(op.index.id, op.axis);
      if (op.op === "loop" && op.twin !== undefined) this.loopIndex.set(op.twin.index.id, op.twin.axis);
    });
  }

  axesOf(id: number): readonly number[] {
    return this.#axes.get(id) ?? [];
  }

  constant(id: number): number | undefined {
    const op = this.ops.get(id);
    return op?.op === "const" ? op.value : undefined;
  }

  /** The axis that this index walks along, if it does. */
  walk(id: number): Walk | undefined {
    const axis = this.loopIndex.get(id);
    if (axis !== undefined) return { axis, offset: 0 };
    const op = this.ops.get(id);
    if (op?.op === "iota") return { axis: op.axis, offset: 0 };
    if (op?.op === "binary" && op.fn === "add") {
      for (const [x, y] of [
        [op.a, op.b],
        [op.b, op.a],
      ] as const) {
        const [base, plus] = [this.walk(x), this.constant(y)];
        if (base !== undefined && plus !== undefined) return { axis: base.axis, offset: base.offset + plus };
      }
    }
    return undefined;
  }
}
