/**
 * The word `topk`: the k largest elements of a tile with their indices, alone or merged into a list that a loop
 * carries.
 *
 * Nothing is sorted. Each of k turns takes the first element after the last pick, in the order "value falling, index
 * rising"; that is two reductions a turn over the tile and two over the list, and ties need no rule of their own. A
 * merge is skipped where the tile holds nothing for the list, so walking a long row in blocks costs two reductions for
 * most of them. Only existing operations are used: any layout and any feature level can run it.
 */

import type { Span } from "../../host/source-text.ts";
import type { ValueType } from "../../ir/operators.ts";
import { HUGE, type TileItem } from "../../ir/tile/builder.ts";
import type { Carried, Op, Value } from "../../ir/tile/program.ts";
import type { Item, Lowering } from "./context.ts";

/** The index of a place that no element takes. */
const NONE = 0xffffffff;
const LOWEST: Readonly<Record<string, number>> = { u32: 0, i32: -(2 ** 31) };
const HIGHEST: Readonly<Record<string, number>> = { u32: NONE, i32: 2 ** 31 - 1 };

/** The elements of one source: values along an axis, and the index of each. */
interface Source {
  readonly value: Value;
  readonly index: Value;
  readonly axis: number;
}

/** What the picks go into: an axis, and what it holds so far. */
export type Into = { readonly axis: number; readonly list?: readonly [values: Value, places: Value] };

const tile = (value: Value): TileItem => ({ is: "tile", value });

/** The list's axis in the place of the tile's: values and indices, best first. */
export function lowerTopk(l: Lowering, from: Source, into: Into, span: Span): Item {
  const { b } = l;
  const { type } = from.value;
  const rest = from.value.axes.filter((a) => a !== from.axis);
  const axes = [...rest, into.axis];
  const fill = (x: Value): Value => b.splat(x, axes, span);
  if (into.list === undefined) {
    const empty = fill(b.constant(type === "f32" ? -HUGE : (LOWEST[type] ?? 0), type, span));
    const [values, places] = turns(l, [from], into.axis, [empty, fill(b.constant(NONE, "u32", span))], span);
    return { is: "list", items: [tile(values), tile(places)] };
  }
  const old = into.list.map((v) => b.splat(v, axes, span)) as [Value, Value];
  const list: Source = { value: bare(l, old, span), index: old[1], axis: into.axis };
  const outer = b.ops;
  const cond = worthwhile(l, from, list, span);
  b.ops = [];
  const merged = turns(l, [from, list], into.axis, old, span);
  const yes = b.ops;
  b.ops = outer;
  const after = merged.map((v) => b.value(v.type, v.axes, span));
  b.ops.push({
    op: "if",
    cond: cond.id,
    yes,
    no: [],
    merged: after.map((v, i) => ({
      name: i === 0 ? "values" : "places",
      yes: merged[i]?.id ?? -1,
      no: old[i]?.id ?? -1,
      after: v,
    })),
    span,
  });
  return { is: "list", items: after.map(tile) };
}

/** The values of a list, with infinities in the places that nothing has taken: below whatever data can hold. */
function bare({ b }: Lowering, [values, places]: readonly [Value, Value], span: Span): Value {
  if (values.type !== "f32") return values;
  const free = b.binary("eq", tile(places), tile(b.constant(NONE, "u32", span)), span);
  const low = b.binary("le", tile(values), tile(b.constant(-HUGE, "f32", span)), span);
  return b.settle(b.select(b.binary("and", free, low, span), tile(b.infinity(-1, span)), tile(values), span), span);
}

/** Does any row of the tile reach the end of its list? Equal is enough: the index may be lower. */
function worthwhile(l: Lowering, from: Source, list: Source, span: Span): Value {
  const { b } = l;
  const best = b.reduce("max", from.value, from.axis, span);
  const last = b.reduce("min", list.value, list.axis, span);
  const reaches = b.binary("ge", tile(best), tile(last), span);
  if (best.axes.length + last.axes.length === 0) return b.settle(reaches, span);
  const [one, zero] = [b.constant(1, "u32", span), b.constant(0, "u32", span)];
  let rows = b.settle(b.select(reaches, tile(one), tile(zero), span), span);
  for (const a of [...rows.axes].reverse()) rows = b.reduce("max", rows, a, span);
  return b.settle(b.binary("gt", tile(rows), tile(zero), span), span);
}

/** As many turns as the list has places; `start` is what it holds where no turn writes. */
function turns(
  l: Lowering,
  sources: readonly Source[],
  into: number,
  start: readonly [Value, Value],
  span: Span,
): [Value, Value] {
  const { b } = l;
  const { type, axes } = start[0];
  const rest = axes.filter((a) => a !== into);
  const limit = b.emit({ op: "size", type: "u32", axes: [], span, dim: b.dimOf(into) });
  const zero = b.constant(0, "u32", span);
  const inits = [
    b.splat(type === "f32" ? b.infinity(1, span) : b.constant(HIGHEST[type] ?? 0, type, span), rest, span),
    b.splat(b.constant(0, "u32", span), rest, span),
    ...start,
  ];
  const turn = b.value("u32", [], span);
  const inside = inits.map((v) => b.value(v.type, v.axes, span));
  const [last, next, values, places] = inside as [Value, Value, Value, Value];
  const outer = b.ops;
  const body: Op[] = [];
  b.ops = body;
  const open = sources.map((s) => after(l, s, last, next, span));
  const value = fold(
    l,
    "max",
    sources,
    (s, i) => b.select(open[i] as TileItem, tile(s.value), tile(lowest(l, type, span)), span),
    span,
  );
  const index = fold(
    l,
    "min",
    sources,
    (s, i) => {
      const hit = b.binary("eq", tile(s.value), tile(value), span);
      return b.select(b.binary("and", open[i] as TileItem, hit, span), tile(s.index), none(l, span), span);
    },
    span,
  );
  const place = b.emit({ op: "iota", type: "u32", axes: [into], span, axis: into });
  const here = b.binary("eq", tile(place), tile(turn), span);
  const taken = b.binary("eq", tile(index), none(l, span), span);
  // A place that nothing takes holds what `-Infinity` stands for.
  const shown =
    type === "f32"
      ? b.select(taken, b.binary("max", tile(value), { is: "weak", value: -HUGE }, span), tile(value), span)
      : tile(value);
  const following = b.binary("add", tile(index), { is: "weak", value: 1 }, span);
  const ends = [
    value,
    b.settle(b.select(taken, none(l, span), following, span), span),
    b.settle(b.select(here, shown, tile(values), span), span),
    b.settle(b.select(here, tile(index), tile(places), span), span),
  ].map((v, i) => b.splat(v, inits[i]?.axes ?? [], span));
  b.ops = outer;
  const names = ["last", "next", "values", "places"];
  const carried = inits.map((v, i): Carried => {
    const done = b.value(v.type, v.axes, span);
    return { name: names[i] ?? "", init: v.id, inside: inside[i] as Value, next: ends[i]?.id ?? -1, after: done };
  });
  outer.push({ op: "loop", kind: "range", start: zero.id, limit: limit.id, index: turn, carried, body, span });
  return [carried[2]?.after as Value, carried[3]?.after as Value];
}

/** Elements that come after the last pick. */
function after(l: Lowering, s: Source, last: Value, next: Value, span: Span): TileItem {
  const { b } = l;
  const same = b.binary("eq", tile(s.value), tile(last), span);
  const later = b.binary("ge", tile(s.index), tile(next), span);
  return b.binary("or", b.binary("lt", tile(s.value), tile(last), span), b.binary("and", same, later, span), span);
}

function fold(
  l: Lowering,
  fn: "min" | "max",
  sources: readonly Source[],
  of: (s: Source, i: number) => TileItem,
  span: Span,
): Value {
  const parts = sources.map((s, i) => l.b.reduce(fn, l.b.settle(of(s, i), span), s.axis, span));
  return parts.reduce((x, y) => l.b.settle(l.b.binary(fn, tile(x), tile(y), span), span));
}

function lowest(l: Lowering, type: ValueType, span: Span): Value {
  return type === "f32" ? l.b.infinity(-1, span) : l.b.constant(LOWEST[type] ?? 0, type, span);
}

function none(l: Lowering, span: Span): TileItem {
  return tile(l.b.constant(NONE, "u32", span));
}
