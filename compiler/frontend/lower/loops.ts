/**
 * Loops: `over` and `range` become an operation whose carried variables are explicit, `unroll` repeats its body here
 * and now.
 *
 * What type and axes a carried variable has depends on what it meets inside, so a turn is lowered with what is known
 * and again while that widens.
 */

import type { Span } from "../../host/source-text.ts";
import type { ValueType } from "../../ir/operators.ts";
import type { TileItem } from "../../ir/tile/builder.ts";
import type { Carried, Loop, Value } from "../../ir/tile/program.ts";
import type { Stmt } from "../syntax.ts";
import { type Assigned, assigned, describe, type Item, isTile, type Lowering } from "./context.ts";

/** Longer compile-time loops are a mistake: each turn is a copy of the body. */
const MOST_UNROLLED = 1024;

export function lowerLoop(l: Lowering, s: Stmt & { kind: "for" }): void {
  if (s.source.kind === "array")
    l.b.fail("TS-201", "a loop over a list", s.source.span, 'write over("dim"), range(n) or unroll(n)');
  const source = l.item(s.source);
  if (source.is !== "loop")
    l.b.fail("TS-201", "a loop over something other than over(…), range(…) or unroll(…)", s.source.span);
  if (source.kind === "unroll") {
    if (source.start.is !== "weak" || source.limit.is !== "weak")
      l.b.fail(
        "TS-215",
        "unroll needs numbers known when compiling",
        s.source.span,
        "use range(…) for a run-time count",
      );
    if (!(source.limit.value - source.start.value <= MOST_UNROLLED))
      l.b.fail(
        "TS-215",
        `unroll would repeat this body ${source.limit.value - source.start.value} times`,
        s.source.span,
        `the most is ${MOST_UNROLLED}; use range(…) for long loops`,
      );
    for (let i = source.start.value; i < source.limit.value; i++) {
      l.own.add(s.id);
      l.env.set(s.id, { is: "weak", value: i });
      l.statements(s.body, false);
    }
    return;
  }
  const start = l.b.as(source.start, "u32", s.source.span);
  const limit = l.b.as(source.limit, "u32", s.source.span);
  const names = assigned(s.body);
  const changed = [...names.keys()].filter((id) => l.env.has(id) && l.own.has(id));
  const who = (i: number): Assigned => names.get(changed[i] ?? -1) ?? { name: "?", span: s.span };
  l.own.add(s.id);
  const axesBefore = l.b.axes.length;
  const outer = l.b.ops;
  const env = l.env;
  const entering = new Map(env);
  // Types of the carried variables are found by trying: a turn is lowered with what is known, and again while it
  // widens.
  let types = changed.map((id, i) => carriedType(l, entering.get(id), who(i)));
  for (let attempt = 0; attempt < 6; attempt++) {
    l.b.axes.length = axesBefore;
    l.b.ops = outer.slice();
    const inits = changed.map((id, i) => enter(l, entering.get(id), types[i], who(i).span));
    const region = l.b.ops;
    const axis = source.kind === "over" ? l.b.axis(source.dim, "over") : undefined;
    const index = l.b.value("u32", axis === undefined ? [] : [axis.id], s.span);
    if (axis !== undefined) l.b.noteIndex(index, axis.id);
    const inside = inits.map((v) => l.b.value(v.type, v.axes, v.span));
    l.env = new Map(entering);
    // A variable that entered as a plain number and has no type yet stays one for this attempt: what it meets gives the
    // type.
    for (const [i, id] of changed.entries()) {
      const untyped = types[i]?.type === undefined ? entering.get(id) : undefined;
      l.env.set(id, untyped ?? { is: "tile", value: inside[i] as Value });
    }
    l.env.set(s.id, { is: "tile", value: index });
    l.b.ops = [];
    l.depth++;
    l.statements(s.body, false);
    l.depth--;
    const next = changed.map((id) => l.env.get(id));
    const wider = types.map((t, i) => widen(l, t, next[i], entering.get(changed[i] ?? -1), axis?.id, who(i)));
    if (
      wider.some(
        (w, i) => w.type !== types[i]?.type || types[i]?.type === undefined || w.axes.length !== types[i]?.axes.length,
      )
    ) {
      types = wider;
      continue;
    }
    const ends = next.map((item, i) => {
      const [type, { name, span }] = [inits[i]?.type ?? "f32", who(i)];
      if (item?.is === "tile" && item.value.type !== type && (type !== "f32" || item.value.type === "bool"))
        l.b.fail(
          "TS-205",
          `"${name}" enters the loop as ${type} and leaves a turn as ${item.value.type}`,
          span,
          `make them one type, with cast(…, "${type === "bool" ? "u32" : type}") here or another start`,
        );
      return l.b.splat(l.b.as(item as TileItem, type, span), inits[i]?.axes ?? [], span);
    });
    const carried: Carried[] = changed.map((id, i) => {
      const after = l.b.value(inits[i]?.type ?? "f32", inits[i]?.axes ?? [], s.span);
      return {
        name: String(id),
        init: inits[i]?.id ?? -1,
        inside: inside[i] as Value,
        next: ends[i]?.id ?? -1,
        after,
      };
    });
    const body = l.b.ops;
    const loop: Loop = {
      op: "loop",
      kind: source.kind,
      ...(axis === undefined ? {} : { axis: axis.id }),
      start: start.id,
      limit: limit.id,
      index,
      carried,
      body,
      span: s.span,
    };
    outer.length = 0;
    outer.push(...region, loop);
    l.b.ops = outer;
    l.env = env;
    for (const [i, id] of changed.entries()) env.set(id, { is: "tile", value: carried[i]?.after as Value });
    return;
  }
  l.b.fail("TS-205", "the types of this loop's variables do not settle", s.span);
}

function carriedType(
  l: Lowering,
  item: Item | undefined,
  { name, span }: Assigned,
): { type: ValueType | undefined; axes: readonly number[] } {
  if (item === undefined || !isTile(item))
    return l.b.fail(
      "TS-205",
      `"${name}" is ${describe(item ?? { is: "nothing" })}: a loop can only change tiles and scalars`,
      span,
    );
  return item.is === "weak" ? { type: undefined, axes: [] } : { type: item.value.type, axes: item.value.axes };
}

function enter(
  l: Lowering,
  item: Item | undefined,
  want: { type: ValueType | undefined; axes: readonly number[] } | undefined,
  span: Span,
): Value {
  const type = want?.type ?? "f32";
  return l.b.splat(l.b.as(item as TileItem, type, span), want?.axes ?? [], span);
}

function widen(
  l: Lowering,
  known: { type: ValueType | undefined; axes: readonly number[] },
  next: Item | undefined,
  entered: Item | undefined,
  loopAxis: number | undefined,
  { name, span }: Assigned,
): { type: ValueType | undefined; axes: readonly number[] } {
  if (next === undefined || !isTile(next))
    return l.b.fail(
      "TS-205",
      `"${name}" becomes ${describe(next ?? { is: "nothing" })}: a loop can only change tiles and scalars`,
      span,
    );
  if (next.is === "weak") {
    const truth = next.truth === true && entered?.is === "weak" && entered.truth === true;
    return { type: known.type ?? (truth ? "bool" : "f32"), axes: known.axes };
  }
  const escaping = next.value.axes.find((a) => a === loopAxis);
  if (escaping !== undefined) {
    l.b.fail(
      "TS-212",
      `"${name}" keeps a tile over one block of "${l.b.dimOf(escaping)}" beyond its turn of the loop`,
      span,
      "reduce it first: sum, amax, dot …",
    );
  }
  const type =
    known.type ??
    (next.value.type === "f32" || entered?.is !== "weak" || Number.isInteger(entered.value) ? next.value.type : "f32");
  return { type, axes: l.b.align([{ ...next.value, axes: known.axes }, next.value], span) };
}
