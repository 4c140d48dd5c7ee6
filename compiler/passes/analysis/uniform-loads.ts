/**
 * Which loads the lanes of a program have to agree on.
 *
 * A value without a spread axis is held by every lane alike. That is so by itself, except for what is read from a
 * tensor that the kernel also writes: one lane may have stored before another one has loaded. Such a value is read once
 * and handed to all (Halide and Triton place barriers for the same reason), unless it only goes into what the one lane
 * stores anyway.
 */
import type { Op, Specialised } from "../../ir/tile/program.ts";
import { isValue, operands } from "../../ir/tile/program.ts";
import { everyOp } from "../../ir/tile/traverse.ts";

/** Ids of the loads whose value one lane reads for all; `open` are parameters that count as written. */
export function sharedLoads(
  program: Specialised,
  spread: (axis: number) => boolean,
  open: readonly string[] = [],
): ReadonlySet<number> {
  const written = new Set([
    ...open,
    ...program.params.flatMap((p) => (p.kind === "tensor" && p.writes ? [p.name] : [])),
  ]);
  const axes = new Map<number, readonly number[]>();
  const users = new Map<number, Op[]>();
  const escaping = new Set<number>();
  everyOp(program.body, (op) => {
    if (isValue(op)) axes.set(op.id, op.axes);
    if (op.op === "loop") {
      axes.set(op.index.id, op.index.axes);
      for (const c of op.carried) escaping.add(c.init).add(c.next);
    }
    if (op.op === "if") for (const m of op.merged) escaping.add(m.yes).add(m.no);
    for (const id of operands(op)) {
      if (op.op === "loop" || op.op === "if") escaping.add(id);
      users.set(id, [...(users.get(id) ?? []), op]);
    }
  });
  const wide = (id: number): boolean => (axes.get(id) ?? []).some(spread);
  const leaves = (id: number): boolean =>
    escaping.has(id) ||
    (users.get(id) ?? []).some((op) => {
      if (op.op === "store") return op.index.includes(id) || op.index.some(wide);
      if (op.op === "load" || op.op === "reduce" || op.op === "fold" || op.op === "scan" || !isValue(op)) return true;
      return wide(op.id) || leaves(op.id);
    });
  const found = new Set<number>();
  everyOp(program.body, (op) => {
    if (op.op === "load" && written.has(op.param) && !wide(op.id) && leaves(op.id)) found.add(op.id);
  });
  return found;
}
