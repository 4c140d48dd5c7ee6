/**
 * Partial sums: a reduction that a loop only accumulates is done once, after the loop.
 *
 * `acc = acc · f + sum(t)` with `acc` used nowhere else becomes `acc' = acc' · f + t` on a tile with what each lane
 * made of the reduced axis; the lanes meet once, at the end. This one rewrite is what makes a matrix-vector product
 * fast (no cross-lane work in the loop). Only for axes that are spread over lanes: for owned ones it would cost
 * registers and gain nothing.
 */

import type { ReduceKind } from "../ir/operators.ts";
import { identityOf } from "../ir/operators.ts";
import type { Axis, Carried, Loop, Op, PartialAxis, Specialised, Value } from "../ir/tile/program.ts";
import { operands } from "../ir/tile/program.ts";
import { highest, isDot, NOWHERE } from "../ir/tile/traverse.ts";
import { Definitions } from "./analysis/induction.ts";

const ACCUMULATES: Readonly<Record<ReduceKind, "add" | "max" | "min">> = { sum: "add", max: "max", min: "min" };

/**
 * Hoists reductions over the axes for which `spread` holds out of their loops, inner loops first. `made` maps each new
 * partial axis to the axis that it is what is left of.
 */
export function hoistPartials(
  program: Specialised,
  spread: (axis: number) => boolean,
): { program: Specialised; made: ReadonlyMap<number, PartialAxis> } {
  const all: Axis[] = [...program.axes];
  const made = new Map<number, PartialAxis>();
  let next = 1 + highest(program.body);
  const fresh = (like: Value, axes: readonly number[]): Value => ({
    id: next++,
    type: like.type,
    axes,
    span: like.span,
  });

  const loop = (l: Loop): Op[] => {
    let current: Loop = { ...l, body: walk(l.body) };
    const before: Op[] = [];
    const after: Op[] = [];
    for (const c of current.carried) {
      const hoisted = hoist(current, c);
      if (hoisted === undefined) continue;
      current = hoisted.loop;
      before.push(...hoisted.before);
      after.push(...hoisted.after);
    }
    return [...before, current, ...after];
  };

  const hoist = (l: Loop, c: Carried): { loop: Loop; before: Op[]; after: Op[] } | undefined => {
    const definitions = new Definitions({ name: "", params: [], axes: program.axes, grid: [], body: l.body });
    const end = definitions.ops.get(c.next);
    if (end?.op !== "binary" || !l.body.includes(end)) return undefined;
    for (const [left, right] of [
      [end.a, end.b],
      [end.b, end.a],
    ] as const) {
      const r = definitions.ops.get(right);
      if (
        r?.op !== "reduce" ||
        end.fn !== ACCUMULATES[r.fn] ||
        !(spread(r.axis) || made.has(r.axis)) ||
        !l.body.includes(r)
      )
        continue;
      // The old value enters as it is, or (for sums) times something that does not vary along the reduced axis.
      const scaled = left === c.inside.id ? undefined : definitions.ops.get(left);
      let factor: number | undefined;
      if (scaled !== undefined) {
        if (r.fn !== "sum" || scaled.op !== "binary" || scaled.fn !== "mul" || !l.body.includes(scaled)) continue;
        factor = scaled.a === c.inside.id ? scaled.b : scaled.b === c.inside.id ? scaled.a : undefined;
        if (factor === undefined || countUses(l, scaled.id) !== 1) continue;
      } else if (left !== c.inside.id) continue;
      if (countUses(l, c.inside.id) !== 1 || countUses(l, r.id) !== 1 || countUses(l, end.id) !== 1) continue;

      const to = all.length;
      all.push({ id: to, dim: program.axes[r.axis]?.dim ?? "", kind: "partial" });
      made.set(to, { from: r.axis, dot: isDot(r, definitions.ops) });
      const axes = [...c.inside.axes, to];
      const identity: Value = { id: next++, type: c.inside.type, axes: [], span: NOWHERE };
      const start = fresh(c.inside, axes);
      const inside = fresh(c.inside, axes);
      const folded = fresh(c.inside, axes);
      const faded = fresh(c.inside, axes);
      const sum = fresh(c.inside, axes);
      const done = fresh(c.after, axes);
      const total = fresh(c.after, c.after.axes);
      const turn: Op[] = [];
      const drop = new Set<Op>([end, r, ...(scaled === undefined ? [] : [scaled])]);
      const kept = l.body.filter((op) => !drop.has(op));
      turn.push({
        ...folded,
        op: "fold",
        fn: r.fn,
        x: r.x,
        axis: r.axis,
        to,
        ...(r.masked === true ? { masked: true } : {}),
      });
      if (factor !== undefined) turn.push({ ...faded, op: "binary", fn: "mul", a: inside.id, b: factor });
      turn.push({ ...sum, op: "binary", fn: end.fn, a: factor === undefined ? inside.id : faded.id, b: folded.id });
      // With a factor the starting value must fade as the parts do, so it cannot wait outside: it enters lane 0's
      // element by staying a separate carry.
      if (factor !== undefined && !isZero(c.init)) return undefined;
      const replaced: Carried = { ...c, init: start.id, inside, next: sum.id, after: done };
      return {
        loop: { ...l, carried: l.carried.map((x) => (x === c ? replaced : x)), body: [...kept, ...turn] },
        before: [
          { ...identity, op: "const", value: identityOf(r.fn, c.inside.type) },
          { ...start, op: "splat", x: identity.id },
        ],
        after: [
          { ...total, op: "reduce", fn: r.fn, x: done.id, axis: to, masked: true },
          { ...c.after, op: "binary", fn: end.fn, a: c.init, b: total.id },
        ],
      };
    }
    return undefined;
  };

  const definitions = new Definitions(program);
  const isZero = (id: number): boolean => {
    const op = definitions.ops.get(id);
    if (op?.op === "splat") return isZero(op.x);
    return op?.op === "const" && op.value === 0;
  };

  const walk = (ops: readonly Op[]): Op[] =>
    ops.flatMap((op) => {
      if (op.op === "loop") return loop(op);
      if (op.op === "if") return [{ ...op, yes: walk(op.yes), no: walk(op.no) }];
      return [op];
    });
  const body = walk(program.body);
  return { program: { ...program, axes: all, body }, made };
}

function countUses(l: Loop, id: number): number {
  let n = l.carried.filter((c) => c.next === id).length;
  const visit = (ops: readonly Op[]): void => {
    for (const op of ops) {
      n += operands(op).filter((x) => x === id).length;
      if (op.op === "loop") {
        n += op.carried.filter((c) => c.next === id).length;
        visit(op.body);
      }
      if (op.op === "if") {
        n += op.merged.filter((m) => m.yes === id).length + op.merged.filter((m) => m.no === id).length;
        visit(op.yes);
        visit(op.no);
      }
    }
  };
  visit(l.body);
  return n;
}
