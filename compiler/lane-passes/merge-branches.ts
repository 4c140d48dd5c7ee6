/**
 * Branches on one condition that stand near each other become one branch.
 *
 * Each store of something that every lane holds is guarded, so that one lane speaks for all, and a kernel that stores
 * several of them a turn branches as often. Software adapters compute masks for each branch, and arithmetic cannot be
 * ordered across it.
 */
import type { LaneProgram, Stmt } from "../ir/lane/program.ts";

type Branch = Stmt & { op: "if" };

/** The program with each branch moved into the next one that has its condition, where nothing between them may mind. */
export function mergeGuards(program: LaneProgram): LaneProgram {
  const written = new Set(program.buffers.filter((b) => b.writes).map((b) => b.name));
  const names = new Set<string>();
  return { ...program, body: merged(program.body, written, names) };
}

function merged(body: readonly Stmt[], written: ReadonlySet<string>, fixed: Set<string>): Stmt[] {
  const out: Stmt[] = [];
  for (const s of body) {
    if (s.op === "let") fixed.add(s.name);
    if (s.op === "for") out.push({ ...s, body: merged(s.body, written, fixed) });
    else if (s.op === "if") {
      const own: Branch = { ...s, yes: merged(s.yes, written, fixed), no: merged(s.no, written, fixed) };
      const at = out.findLastIndex((t) => !passes(t, written));
      const before = out[at];
      if (before?.op === "if" && joins(before, own, fixed)) {
        out.splice(at, 1);
        out.push({ ...own, yes: [...before.yes, ...own.yes] });
      } else out.push(own);
    } else out.push(s);
  }
  return out;
}

/** May a store be made after this statement instead of before it? */
function passes(s: Stmt, written: ReadonlySet<string>): boolean {
  return s.op === "let" && s.rhs.op !== "read" && !(s.rhs.op === "load" && written.has(s.rhs.buffer));
}

/** Are both taken together or not at all, whatever the first one does? */
function joins(a: Branch, b: Branch, fixed: ReadonlySet<string>): boolean {
  if (a.no.length > 0 || b.no.length > 0) return false;
  if (a.cond.kind !== "ref" || b.cond.kind !== "ref" || a.cond.name !== b.cond.name) return false;
  // What assigns variables may change what the statements between read.
  return fixed.has(a.cond.name) && a.yes.every((s) => s.op === "store" || s.op === "let");
}
