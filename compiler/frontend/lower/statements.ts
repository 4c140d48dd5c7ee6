/**
 * Statements and branches of a kernel, lowered one after the other.
 *
 * A branch on something known now takes one side. Any other becomes an operation with two bodies, and the variables
 * that either side changes are merged after it.
 */

import type { Span } from "../../host/source-text.ts";
import type { TileItem } from "../../ir/tile/builder.ts";
import type { Op, Value } from "../../ir/tile/program.ts";
import type { Stmt } from "../syntax.ts";
import { assigned, describe, type Item, isTile, type Lowering } from "./context.ts";
import { lowerBinary, lowerCondition } from "./expressions.ts";
import { lowerLoop } from "./loops.ts";

/** Runs statements; the value of a final `return` comes back. */
export function lowerStatements(l: Lowering, body: readonly Stmt[], returns: boolean): Item {
  for (const [at, s] of body.entries()) {
    if (s.kind === "return") {
      if (s.value === undefined && !returns)
        l.b.fail("TS-210", "a kernel cannot return early", s.span, "put the rest into an if");
      if (at !== body.length - 1 || !returns) early(l, s.span);
      return s.value === undefined ? { is: "nothing" } : l.item(s.value);
    }
    statement(l, s);
  }
  return { is: "nothing" };
}

function statement(l: Lowering, s: Stmt): void {
  switch (s.kind) {
    case "declare": {
      // The value first: lowering it may replace the environment.
      const value = l.item(s.value);
      l.own.add(s.id);
      l.env.set(s.id, value);
      return;
    }
    case "unpack": {
      const value = l.item(s.value);
      l.unpack(s.targets, value, s.span, (t, part) => {
        if (s.declares) l.own.add(t.id);
        else changeable(l, t.id, t.name, t.span);
        l.env.set(t.id, part);
      });
      return;
    }
    case "assign": {
      const old = changeable(l, s.id, s.name, s.span);
      const value = l.item(s.value);
      l.env.set(s.id, s.op === "" ? value : lowerBinary(l, s.op, old, value, s.span));
      return;
    }
    case "expression":
      l.item(s.value);
      return;
    case "block":
      l.statements(s.body, false);
      return;
    case "if":
      branch(l, s);
      return;
    case "for":
      lowerLoop(l, s);
      return;
    case "refused":
      return l.b.fail("TS-201", `${s.what} is not part of the kernel language`, s.span, s.hint);
    case "return":
      return early(l, s.span);
  }
}

/** The value so far of a variable that this function may change. */
function changeable(l: Lowering, id: number, name: string, span: Span): Item {
  const old = l.env.get(id);
  if (old === undefined)
    return l.b.fail(
      "TS-203",
      `"${name}" is not a variable of this kernel`,
      span,
      "a kernel changes only its own variables; results leave through tensors",
    );
  if (!l.own.has(id))
    l.b.fail(
      "TS-203",
      `"${name}" belongs to the code around this function, which can read it and not change it`,
      span,
      "return the new value and assign it there",
    );
  return old;
}

function early(l: Lowering, span: Span): never {
  return l.b.fail(
    "TS-210",
    "an early return",
    span,
    "return once, as the last statement of a helper; choose with ?: or select()",
  );
}

function branch(l: Lowering, s: Stmt & { kind: "if" }): void {
  const cond = l.tile(s.test);
  if (cond.is === "weak") {
    l.statements(cond.value ? s.yes : s.no, false);
    return;
  }
  lowerCondition(l, cond.value, s.test.span);
  const before = l.env;
  const outer = l.b.ops;
  const side = (body: readonly Stmt[]): { env: Map<number, Item>; ops: Op[] } => {
    l.env = new Map(before);
    l.b.ops = [];
    l.depth++;
    l.statements(body, false);
    l.depth--;
    return { env: l.env, ops: l.b.ops };
  };
  const [yes, no] = [side(s.yes), side(s.no)];
  const names = assigned(s.no, assigned(s.yes));
  const merged: { name: string; yes: number; no: number; after: Value }[] = [];
  l.env = before;
  for (const [id, old] of before) {
    const [y, n] = [yes.env.get(id), no.env.get(id)];
    if (y === old && n === old) continue;
    const { name, span } = names.get(id) ?? { name: String(id), span: s.span };
    if (!isTile(y) || !isTile(n))
      l.b.fail("TS-205", `"${name}" is ${describe(old)}: a branch can only change tiles and scalars`, span);
    const type = l.b.join([y, n], span);
    const settle = (side: { ops: Op[] }, item: TileItem): Value => {
      l.b.ops = side.ops;
      return l.b.as(item, type, span);
    };
    let [vy, vn] = [settle(yes, y), settle(no, n)];
    const axes = l.b.align([vy, vn], span);
    l.b.ops = yes.ops;
    vy = l.b.splat(vy, axes, span);
    l.b.ops = no.ops;
    vn = l.b.splat(vn, axes, span);
    const after = l.b.value(type, axes, span);
    merged.push({ name: String(id), yes: vy.id, no: vn.id, after });
    l.env.set(id, { is: "tile", value: after });
  }
  l.b.ops = outer;
  l.b.ops.push({ op: "if", cond: cond.value.id, yes: yes.ops, no: no.ops, merged, span: s.span });
}
