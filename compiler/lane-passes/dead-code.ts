/**
 * Removes lane operations whose result nobody reads.
 *
 * Lowering makes some values on speculation (components of a vector that is stored whole, indices of an axis that only
 * addresses use). Adapters' compilers would drop most of them, but not all do, and the printed shader is easier to read
 * without.
 */
import type { Atom, Stmt } from "../ir/lane/program.ts";
import { atomsOf } from "../ir/lane/traverse.ts";

/** The statements without dead `let`s, and without loops and branches that have become empty. */
export function sweep(stmts: readonly Stmt[]): Stmt[] {
  const used = new Set<string>();
  collect(stmts, used);
  for (;;) {
    const kept = filter(stmts, used);
    const still = new Set<string>();
    collect(kept, still);
    if (still.size === used.size) return kept;
    stmts = kept;
    used.clear();
    for (const name of still) used.add(name);
  }
}

function filter(stmts: readonly Stmt[], used: ReadonlySet<string>): Stmt[] {
  return stmts.flatMap((s): Stmt[] => {
    if (s.op === "let") return used.has(s.name) ? [s] : [];
    if (s.op === "var") return used.has(s.name) ? [s] : [];
    if (s.op === "assign") return used.has(s.name) ? [s] : [];
    if (s.op === "for") {
      const body = filter(s.body, used);
      return body.length > 0 ? [{ ...s, body }] : [];
    }
    if (s.op === "if") {
      const [yes, no] = [filter(s.yes, used), filter(s.no, used)];
      return yes.length + no.length > 0 ? [{ ...s, yes, no }] : [];
    }
    return [s];
  });
}

function collect(stmts: readonly Stmt[], used: Set<string>): void {
  const read = (a: Atom | undefined): void => {
    if (a?.kind === "ref") used.add(a.name);
  };
  for (const s of stmts) {
    switch (s.op) {
      case "let":
        for (const a of atomsOf(s.rhs)) read(a);
        break;
      case "var":
        read(s.init);
        break;
      case "assign":
        read(s.value);
        break;
      case "for":
        read(s.start);
        read(s.limit);
        collect(s.body, used);
        break;
      case "if":
        read(s.cond);
        collect(s.yes, used);
        collect(s.no, used);
        break;
      case "write":
        read(s.index);
        read(s.value);
        break;
      case "fetch":
      case "spill":
        read(s.index);
        break;
      case "store":
      case "atomic":
      case "insert":
        read(s.index);
        read(s.value);
        if (s.op === "store") read(s.part);
        if (s.op === "insert") read(s.shift);
        break;
    }
  }
}
