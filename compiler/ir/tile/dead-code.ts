/**
 * Removes operations whose value nobody reads: constants of dead branches, indices of whole dims that were replaced.
 */
import { type Op, operands } from "./program.ts";

export function prune(ops: readonly Op[]): Op[] {
  const used = new Set<number>();
  const visit = (list: readonly Op[], live: readonly number[]): Op[] => {
    for (const id of live) used.add(id);
    const kept: Op[] = [];
    for (const op of [...list].reverse()) {
      if (op.op === "loop") {
        for (const id of operands(op)) used.add(id);
        kept.push({
          ...op,
          body: visit(
            op.body,
            op.carried.map((c) => c.next),
          ),
        });
      } else if (op.op === "if") {
        used.add(op.cond);
        kept.push({
          ...op,
          yes: visit(
            op.yes,
            op.merged.map((m) => m.yes),
          ),
          no: visit(
            op.no,
            op.merged.map((m) => m.no),
          ),
        });
      } else if (op.op === "store" || used.has(op.id)) {
        for (const id of operands(op)) used.add(id);
        kept.push(op);
      }
    }
    return kept.reverse();
  };
  return visit(ops, []);
}
