/**
 * What passes over tile programs share: visiting every operation, extents of axes, and facts of single operations.
 */

import type { Span } from "../../host/source-text.ts";
import type { ReduceKind } from "../operators.ts";
import type { Op, Specialised } from "./program.ts";
import { isValue } from "./program.ts";

/** Calls `visit` for every operation, loops and branches from outside in. */
export function everyOp(
  ops: readonly Op[],
  visit: (op: Op, loops: readonly (Op & { op: "loop" })[]) => void,
  loops: readonly (Op & { op: "loop" })[] = [],
): void {
  for (const op of ops) {
    visit(op, loops);
    if (op.op === "loop") everyOp(op.body, visit, [...loops, op]);
    if (op.op === "if") {
      everyOp(op.yes, visit, loops);
      everyOp(op.no, visit, loops);
    }
  }
}

/** The extent of an axis's dim. */
export function extentOf(program: Specialised, axis: number): number {
  const dim = program.axes[axis]?.dim ?? "";
  return program.binding.sizes[dim] ?? 0;
}

/** A span for operations that a pass makes up. */
export const NOWHERE: Span = { file: "", start: 0, end: 0, line: 0, column: 0 };

/** The highest id of a value. */
export function highest(ops: readonly Op[]): number {
  let most = 0;
  for (const op of ops) {
    if (isValue(op)) most = Math.max(most, op.id);
    if (op.op === "loop")
      most = Math.max(
        most,
        op.index.id,
        op.twin?.index.id ?? 0,
        ...op.carried.flatMap((c) => [c.inside.id, c.after.id]),
        highest(op.body),
      );
    if (op.op === "if") most = Math.max(most, ...op.merged.map((m) => m.after.id), highest(op.yes), highest(op.no));
  }
  return most;
}

/** Is this the sum of an f32 product? Then a lane forms dot products of its registers. */
export function isDot(op: { readonly fn: ReduceKind; readonly x: number }, ops: ReadonlyMap<number, Op>): boolean {
  const x = ops.get(op.x);
  return op.fn === "sum" && x?.op === "binary" && x.fn === "mul" && x.type === "f32";
}
