/**
 * What each word of the language lowers to.
 *
 * The counterpart of dsl/words.ts: one entry a word, from its arguments to tile IR. Anything that can be written in the
 * language itself is not here but in dsl/helpers.ts.
 */

import type { Span } from "../../host/source-text.ts";
import type { BinaryOp, ReduceKind, UnaryOp, ValueType } from "../../ir/operators.ts";
import type { TileItem } from "../../ir/tile/builder.ts";
import type { Value } from "../../ir/tile/program.ts";
import type { Expr } from "../syntax.ts";
import type { Item, Lowering } from "./context.ts";
import { type Into, lowerTopk } from "./intrinsics-topk.ts";
import { power } from "./powers.ts";

type Call = Expr & { kind: "call" };
type Word = (l: Lowering, e: Call) => Item;

const tileOf = (value: Value): Item => ({ is: "tile", value });

function arg(l: Lowering, e: Call, i: number): TileItem {
  const given = e.args[i];
  const word = e.callee.kind === "name" ? ` of ${e.callee.text}` : "";
  return given === undefined ? l.b.fail("TS-215", `argument ${i + 1}${word} is missing`, e.span) : l.tile(given);
}

function text(l: Lowering, e: Call, i: number): string | undefined {
  const given = e.args[i];
  if (given === undefined) return undefined;
  const item = l.item(given);
  return item.is === "text" ? item.value : l.b.fail("TS-215", "a string literal is needed here", given.span);
}

function dimName(l: Lowering, e: Call, i: number): string {
  const dim = text(l, e, i);
  if (dim === undefined) return l.b.fail("TS-215", "the name of a dim is needed here", e.span);
  return knownDim(l, dim, e.args[i]?.span ?? e.span);
}

function knownDim(l: Lowering, dim: string, span: Span): string {
  const known = new Set([...l.params.values()].flatMap((p) => (p.kind === "tensor" ? p.dims : [])));
  if (!known.has(dim))
    l.b.fail("TS-217", `no tensor of this kernel has a dim "${dim}"`, span, `known dims: ${[...known].join(", ")}`);
  return dim;
}

const unary =
  (fn: UnaryOp): Word =>
  (l, e) =>
    l.b.unary(fn, arg(l, e, 0), e.span);
const binary =
  (fn: BinaryOp): Word =>
  (l, e) =>
    l.b.binary(fn, arg(l, e, 0), arg(l, e, 1), e.span);

const reduce =
  (fn: ReduceKind): Word =>
  (l, e) => {
    const x = l.b.settle(arg(l, e, 0), e.span);
    return tileOf(l.b.reduce(fn, x, l.b.pick(x, text(l, e, 1), fn === "sum" ? fn : `a${fn}`, e.span), e.span));
  };

const argReduce =
  (fn: "min" | "max"): Word =>
  (l, e) => {
    const x = l.b.settle(arg(l, e, 0), e.span);
    const index = l.b.settle(arg(l, e, 1), e.span, "u32");
    const axis = l.b.pick(x, text(l, e, 2), `arg${fn}`, e.span);
    if (index.type !== "u32") l.b.fail("TS-205", `the index of arg${fn} must be u32, got ${index.type}`, e.span);
    // The extreme value first, then the lowest index that has it: the tie rule comes for free and holds on every
    // adapter.
    const best: TileItem = { is: "tile", value: l.b.reduce(fn, x, axis, e.span) };
    const hit = l.b.binary("eq", { is: "tile", value: x }, best, e.span);
    const none: TileItem = { is: "tile", value: l.b.constant(0xffffffff, "u32", e.span) };
    const candidates = l.b.settle(l.b.select(hit, { is: "tile", value: index }, none, e.span), e.span);
    const found: TileItem = { is: "tile", value: l.b.reduce("min", candidates, axis, e.span) };
    // What is no number equals nothing, not even itself: then the index is some one of them all the same.
    const last: TileItem = { is: "tile", value: lastIndex(l, index, axis, e.span) };
    return l.b.binary("min", found, last, e.span);
  };

/** An upper bound of the indices along an axis that is one of them, or at least one of the dim. */
function lastIndex(l: Lowering, index: Value, axis: number, span: Span): Value {
  if (!l.b.isIndex(index, axis)) return index.axes.includes(axis) ? l.b.reduce("max", index, axis, span) : index;
  const size: TileItem = {
    is: "tile",
    value: l.b.emit({ op: "size", type: "u32", axes: [], span, dim: l.b.dimOf(axis) }),
  };
  return l.b.settle(l.b.binary("sub", size, { is: "weak", value: 1 }, span), span);
}

const largest: Word = (l, e) => {
  const value = l.b.settle(arg(l, e, 0), e.span);
  const index = l.b.settle(arg(l, e, 1), e.span, "u32");
  if (value.type === "bool") l.b.noCondition("topk", e.span);
  if (index.type !== "u32") l.b.fail("TS-205", `the index of topk must be u32, got ${index.type}`, e.span);
  const axis = l.b.pick(value, text(l, e, 3), "topk", e.span);
  return lowerTopk(l, { value, index, axis }, listOf(l, e, value, axis), e.span);
};

/** What the third argument of topk says: the dim of a new list, or a list to go on with. */
function listOf(l: Lowering, e: Call, value: Value, axis: number): Into {
  const given = e.args[2];
  const item = given === undefined ? undefined : l.item(given);
  const span = given?.span ?? e.span;
  if (item?.is === "text") return { axis: l.b.whole(knownDim(l, item.value, span)).id };
  const [values, places] = item?.is === "list" && item.items.length === 2 ? item.items : [];
  if (values?.is !== "tile" || places?.is !== "tile")
    return l.b.fail(
      "TS-215",
      "topk needs to know what it goes into",
      span,
      'the dim of a new list: topk(value, index, "k"), or a list to go on with: [best, places] = topk(value, index, [best, places])',
    );
  const own = values.value.axes.filter((a) => a === axis || !value.axes.includes(a));
  const [into] = own;
  if (own.length !== 1 || into === undefined || l.b.axes[into]?.kind !== "whole")
    return l.b.fail(
      "TS-211",
      `topk: the list has dims "${values.value.axes.map((a) => l.b.dimOf(a)).join(" ")}", of which one, taken whole, must be its own`,
      span,
      'start it with emptyTopk("k"), or with full("k", …)',
    );
  const list: [Value, Value] = [l.b.as(values, value.type, span), l.b.as(places, "u32", span)];
  return { axis: into, list };
}

const filled = (l: Lowering, e: Call, value: Value): Item => {
  const axes = (text(l, e, 0) ?? "")
    .split(/\s+/)
    .filter(Boolean)
    .map((dim) => l.b.whole(knownDim(l, dim, e.args[0]?.span ?? e.span)).id);
  if (value.axes.some((a) => !axes.includes(a)))
    l.b.fail(
      "TS-216",
      "full fills a tile with one number, got a tile",
      e.args[1]?.span ?? e.span,
      "use the tile itself",
    );
  return tileOf(l.b.splat(value, axes, e.span));
};

const convert =
  (how: "cast" | "bitcast"): Word =>
  (l, e) => {
    const to = text(l, e, 1);
    if (to !== "f32" && to !== "u32" && to !== "i32")
      return l.b.fail("TS-215", `${how} to "f32", "u32" or "i32"`, e.span);
    const x = arg(l, e, 0);
    const known: ValueType = to;
    return tileOf(how === "cast" ? l.b.cast(x, known, e.span) : l.b.bitcast(x, known, e.span));
  };

function onGrid(l: Lowering, e: Call): string {
  const dim = dimName(l, e, 0);
  if (l.depth > 0)
    l.b.fail("TS-218", "the grid is laid out at the top of a kernel, not inside a loop or branch", e.span);
  if (l.b.grid.some((g) => g.dim === dim)) l.b.fail("TS-218", `the grid already has the dim "${dim}"`, e.span);
  return dim;
}

const WORDS: Readonly<Record<string, Word>> = {
  program: (l, e) => {
    const dim = onGrid(l, e);
    l.b.grid.push({ dim });
    return tileOf(l.b.emit({ op: "program", type: "u32", axes: [], span: e.span, dim }));
  },
  block: (l, e) => {
    const dim = onGrid(l, e);
    const size = e.args[1] === undefined ? undefined : arg(l, e, 1);
    if (size !== undefined && (size.is !== "weak" || !Number.isInteger(size.value) || size.value < 1)) {
      return l.b.fail(
        "TS-215",
        "the size of a block must be a positive whole number known when compiling",
        e.args[1]?.span ?? e.span,
      );
    }
    const axis = l.b.axis(dim, "block", size?.is === "weak" ? size.value : undefined);
    l.b.grid.push({ dim, axis: axis.id });
    return tileOf(l.b.emit({ op: "iota", type: "u32", axes: [axis.id], span: e.span, axis: axis.id }));
  },
  every: (l, e) => {
    const axis = l.b.whole(dimName(l, e, 0));
    return tileOf(l.b.emit({ op: "iota", type: "u32", axes: [axis.id], span: e.span, axis: axis.id }));
  },
  size: (l, e) => tileOf(l.b.emit({ op: "size", type: "u32", axes: [], span: e.span, dim: dimName(l, e, 0) })),
  over: (l, e) => {
    const dim = dimName(l, e, 0);
    const zero: TileItem = { is: "weak", value: 0 };
    return { is: "loop", kind: "over", dim, start: zero, limit: limitOf(l, e, dim) };
  },
  range: (l, e) => loop(l, e, "range"),
  unroll: (l, e) => loop(l, e, "unroll"),
  zeros: (l, e) => filled(l, e, l.b.constant(0, "f32", e.span)),
  full: (l, e) => filled(l, e, l.b.settle(arg(l, e, 1), e.span)),
  zerosLike: (l, e) => tileOf(l.b.splat(l.b.constant(0, "f32", e.span), l.b.settle(arg(l, e, 0), e.span).axes, e.span)),
  exp: unary("exp"),
  exp2: unary("exp2"),
  log: unary("log"),
  log2: unary("log2"),
  sqrt: unary("sqrt"),
  rsqrt: unary("rsqrt"),
  sin: unary("sin"),
  cos: unary("cos"),
  tanh: unary("tanh"),
  abs: unary("abs"),
  floor: unary("floor"),
  ceil: unary("ceil"),
  round: unary("round"),
  min: binary("min"),
  max: binary("max"),
  pow: (l, e) => power(l.b, arg(l, e, 0), arg(l, e, 1), e.span),
  idiv: (l, e) => {
    const [a, b] = [arg(l, e, 0), arg(l, e, 1)];
    if (b.is === "weak" && b.value === 0) return l.b.fail("TS-206", "an integer divided by zero", e.span);
    if (a.is === "weak" && b.is === "weak") return { is: "weak", value: Math.trunc(a.value / b.value) };
    const type = a.is === "tile" ? a.value.type : b.is === "tile" ? b.value.type : "u32";
    if (type !== "u32" && type !== "i32")
      return l.b.fail("TS-206", `idiv divides integers, got ${type}`, e.span, "real numbers divide with /");
    const [va, vb] = [l.b.as(a, type, e.span), l.b.as(b, type, e.span)];
    return tileOf(
      l.b.emit({ op: "binary", fn: "div", type, axes: l.b.align([va, vb], e.span), span: e.span, a: va.id, b: vb.id }),
    );
  },
  select: (l, e) => l.b.select(arg(l, e, 0), arg(l, e, 1), arg(l, e, 2), e.span),
  cast: convert("cast"),
  bitcast: convert("bitcast"),
  sum: reduce("sum"),
  amax: reduce("max"),
  amin: reduce("min"),
  cumsum: (l, e) => {
    const x = l.b.settle(arg(l, e, 0), e.span);
    if (x.type === "bool") l.b.noCondition("cumsum", e.span);
    const axis = l.b.pick(x, text(l, e, 1), "cumsum", e.span);
    return tileOf(l.b.emit({ op: "scan", type: x.type, axes: x.axes, span: e.span, x: x.id, axis }));
  },
  topk: largest,
  argmax: argReduce("max"),
  argmin: argReduce("min"),
  dot: (l, e) => {
    const [a, b] = [l.b.as(arg(l, e, 0), "f32", e.span), l.b.as(arg(l, e, 1), "f32", e.span)];
    const dim = text(l, e, 2);
    const shared = a.axes.filter((x) => b.axes.includes(x) && (dim === undefined || l.b.dimOf(x) === dim));
    const axis = shared.length === 1 ? shared[0] : undefined;
    if (axis === undefined) {
      const names = (v: Value): string => `"${v.axes.map((x) => l.b.dimOf(x)).join(" ")}"`;
      return l.b.fail(
        "TS-211",
        `dot needs one dim that both sides share, got ${names(a)} and ${names(b)}`,
        e.span,
        'name it: dot(a, b, "dim")',
      );
    }
    const product = l.b.binary("mul", { is: "tile", value: a }, { is: "tile", value: b }, e.span);
    return tileOf(l.b.reduce("sum", l.b.settle(product, e.span), axis, e.span));
  },
};

/** Where a loop over a dim ends: at the end of the dim, or before it at a limit that is given. */
function limitOf(l: Lowering, e: Call, dim: string): TileItem {
  const end = (): TileItem => ({
    is: "tile",
    value: l.b.emit({ op: "size", type: "u32", axes: [], span: e.span, dim }),
  });
  if (e.args[1] === undefined) return end();
  const limit = arg(l, e, 1);
  if (limit.is === "weak" && limit.value < 0)
    return l.b.fail("TS-215", `a loop up to ${limit.value}`, e.args[1].span, "the limit of a loop is 0 or more");
  if (limit.is === "weak") return limit.value === Infinity ? end() : l.b.binary("min", limit, end(), e.span);
  if (limit.value.axes.length > 0) l.b.fail("TS-215", "the limit of a loop must be a scalar", e.span);
  if (l.b.within(limit.value, dim)) return limit;
  return l.b.binary("min", { is: "tile", value: l.b.as(limit, "u32", e.span) }, end(), e.span);
}

function loop(l: Lowering, e: Call, kind: "range" | "unroll"): Item {
  const zero: TileItem = { is: "weak", value: 0 };
  const first = arg(l, e, 0);
  const [start, limit] = e.args[1] === undefined ? [zero, first] : [first, arg(l, e, 1)];
  for (const bound of [start, limit]) {
    if (bound.is === "tile" && bound.value.axes.length > 0)
      l.b.fail("TS-215", "the bounds of a loop must be scalars", e.span);
  }
  return { is: "loop", kind, dim: "", start, limit };
}

/** Lowers a call of a word. */
export function callWord(l: Lowering, name: string, e: Call): Item {
  const word = WORDS[name];
  return word === undefined ? l.b.fail("TS-203", `"${name}" is not a word of the kernel language`, e.span) : word(l, e);
}
