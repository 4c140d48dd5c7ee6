/**
 * Loads and stores: `t.at(…)`, `t.set([…], value)` and the indivisible updates.
 */

import type { Span } from "../../host/source-text.ts";
import type { ReduceKind, ValueType } from "../../ir/operators.ts";
import type { Value } from "../../ir/tile/program.ts";
import type { Expr } from "../syntax.ts";
import type { Item, Lowering } from "./context.ts";

export function lowerLoad(l: Lowering, param: string, e: Expr & { kind: "call" }): Item {
  const index = indices(l, param, e.args, e.span);
  l.touch(param, "reads");
  const p = l.params.get(param);
  const stored = p?.kind === "tensor" ? (p.storage[0] ?? "f32") : "f32";
  const type: ValueType = stored === "u32" || stored === "i32" ? stored : "f32";
  const axes = l.b.align(index, e.span);
  return {
    is: "tile",
    value: l.b.emit({ op: "load", type, axes, span: e.span, param, index: index.map((v) => v.id) }),
  };
}

export function lowerStore(l: Lowering, param: string, e: Expr & { kind: "call" }, combine?: ReduceKind): Item {
  const [list, valueExpr] = e.args;
  if (list?.kind !== "array" || valueExpr === undefined)
    return l.b.fail("TS-215", "set takes a list of indices and a value: t.set([i, j], value)", e.span);
  const index = indices(l, param, list.items, e.span);
  const p = l.params.get(param);
  const stored = p?.kind === "tensor" ? (p.storage[0] ?? "f32") : "f32";
  const value = l.b.as(l.tile(valueExpr), stored === "u32" || stored === "i32" ? stored : "f32", valueExpr.span);
  const axes = l.b.align(index, e.span);
  const lost = value.axes.find((a) => !axes.includes(a));
  if (lost !== undefined) {
    l.b.fail(
      "TS-216",
      `the value has dim "${l.b.dimOf(lost)}", which no index of "${param}" has`,
      valueExpr.span,
      "reduce it, or index the tensor by it",
    );
  }
  if (combine !== undefined) {
    const other = p?.kind === "tensor" ? p.storage.find((s) => s !== "f32" && s !== "u32" && s !== "i32") : undefined;
    if (other !== undefined)
      l.b.fail(
        "TS-219",
        `"${param}" may be stored as ${other}, whose elements cannot be updated one at a time`,
        e.span,
        "use f32, u32 or i32",
      );
    l.touch(param, "atomic");
  }
  l.touch(param, "writes");
  l.b.ops.push({
    op: "store",
    param,
    index: index.map((v) => v.id),
    value: value.id,
    ...(combine === undefined ? {} : { combine }),
    span: e.span,
  });
  return { is: "nothing" };
}

function indices(l: Lowering, param: string, given: readonly Expr[], span: Span): Value[] {
  const p = l.params.get(param);
  const dims = p?.kind === "tensor" ? p.dims : [];
  if (given.length > dims.length) {
    l.b.fail("TS-202", `"${param}" has ${dims.length} dims ("${dims.join(" ")}"), got ${given.length} indices`, span);
  }
  const index = given.map((e) => {
    const item = l.tile(e);
    if (item.is === "weak" && !(Number.isInteger(item.value) && item.value >= 0))
      l.b.fail("TS-205", `${item.value} is not an index`, e.span, "indices are whole numbers from 0");
    const v = item.is === "weak" ? l.b.constant(item.value, "u32", e.span) : item.value;
    if (v.type === "i32") return l.b.cast({ is: "tile", value: v }, "u32", e.span);
    if (v.type !== "u32") l.b.fail("TS-205", `an index must be an integer, got ${v.type}`, e.span, 'cast(…, "u32")');
    return v;
  });
  for (const dim of dims.slice(given.length)) {
    const axis = l.b.whole(dim);
    index.push(l.b.emit({ op: "iota", type: "u32", axes: [axis.id], span, axis: axis.id }));
  }
  return index;
}
