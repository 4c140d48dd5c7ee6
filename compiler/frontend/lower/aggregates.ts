/**
 * Lists and objects: bundles of values that exist while compiling only.
 *
 * A helper returns several values as a list, a word like topk too, and an object carries the compile-time parameters of
 * a kernel. Neither is anything on a GPU: names are given to their parts, and the parts are what is computed with.
 */

import type { Span } from "../../host/source-text.ts";
import type { Target } from "../syntax.ts";
import { describe, type Item, type Lowering } from "./context.ts";

/** The field of an object; "nothing" where it was left out. */
export function fieldOf(fields: ReadonlyMap<string, Item>, name: string): Item {
  return fields.get(name) ?? { is: "nothing" };
}

/** Calls `put` with every target and its part of `from`. */
export function unpack(
  l: Lowering,
  targets: readonly Target[],
  from: Item,
  span: Span,
  put: (t: Target, value: Item) => void,
): void {
  // All parts before the first name changes: `[a, b] = [b, a]` swaps.
  const parts = targets.map((t): Item => {
    const part = partOf(l, t, from, span);
    return part.is === "nothing" && t.fallback !== undefined ? l.item(t.fallback) : part;
  });
  for (const [i, t] of targets.entries()) put(t, parts[i] ?? { is: "nothing" });
}

function partOf(l: Lowering, t: Target, from: Item, span: Span): Item {
  if (typeof t.part === "string") {
    if (from.is === "record") return fieldOf(from.fields, t.part);
    return l.b.fail("TS-205", `"{ ${t.part} }" takes an object apart, got ${describe(from)}`, span);
  }
  if (from.is !== "list")
    return l.b.fail("TS-205", `"[…]" takes a list apart, got ${describe(from)}`, span, "topk and helpers return lists");
  const part = from.items[t.part];
  if (part === undefined && t.fallback === undefined)
    return l.b.fail("TS-215", `"${t.name}" is value ${t.part + 1} of a list of ${from.items.length}`, t.span);
  return part ?? { is: "nothing" };
}
