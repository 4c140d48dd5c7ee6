/**
 * Which values of the lane IR the printer writes where they are used, instead of giving them a name.
 */
import type { Atom, Stmt } from "../ir/lane/program.ts";
import { atomsOf } from "../ir/lane/traverse.ts";

/**
 * Vectors of different constants that are only used beside what is not constant. (WGSL computes what has only constants
 * while compiling, and refuses the shader where that overflows.)
 */
export function constantVectors(body: readonly Stmt[]): Map<string, Stmt & { op: "let" }> {
  const found = new Map<string, Stmt & { op: "let" }>();
  everyStatement(body, (s) => {
    if (s.op === "let" && s.rhs.op === "compose" && s.rhs.parts.every((p) => p.kind === "const")) found.set(s.name, s);
  });
  const fixed = (a: Atom | undefined): boolean => a === undefined || a.kind === "const" || found.has(a.name);
  const keep = (a: Atom | undefined): void => {
    if (a?.kind === "ref") found.delete(a.name);
  };
  everyStatement(body, (s) => {
    if (s.op === "let" && found.has(s.name)) return;
    if (s.op === "let" && (s.rhs.op === "binary" || s.rhs.op === "dot") && !atomsOf(s.rhs).every(fixed)) return;
    for (const a of s.op === "let" ? atomsOf(s.rhs) : atomsOfStatement(s)) keep(a);
  });
  return found;
}

function everyStatement(body: readonly Stmt[], visit: (s: Stmt) => void): void {
  for (const s of body) {
    visit(s);
    if (s.op === "for") everyStatement(s.body, visit);
    if (s.op === "if") for (const side of [s.yes, s.no]) everyStatement(side, visit);
  }
}

function atomsOfStatement(s: Stmt): readonly (Atom | undefined)[] {
  switch (s.op) {
    case "var":
      return [s.init];
    case "assign":
      return [s.value];
    case "for":
      return [s.start, s.limit];
    case "if":
      return [s.cond];
    case "store":
      return [s.index, s.part, s.value];
    case "insert":
      return [s.index, s.shift, s.value];
    case "atomic":
      return [s.index, s.value];
    default:
      return [];
  }
}
