/**
 * What the parts of lowering share: the things that an expression can stand for, and the state of the walk.
 *
 * Statements, loops, expressions and words call each other through the interface here, so that each has a file of its
 * own and none imports in a circle.
 */

import type { Span } from "../../host/source-text.ts";
import type { Builder, TileItem } from "../../ir/tile/builder.ts";
import type { Param } from "../../ir/tile/program.ts";
import type { Expr, FunctionSyntax, ModuleSyntax, Stmt, Target } from "../syntax.ts";

/** What an expression can stand for while lowering. */
export type Item =
  | TileItem
  | { readonly is: "text"; readonly value: string }
  | { readonly is: "tensor"; readonly param: string }
  | { readonly is: "function"; readonly fn: FunctionSyntax }
  | { readonly is: "word"; readonly name: string }
  | { readonly is: "list"; readonly items: readonly Item[] }
  | { readonly is: "record"; readonly fields: ReadonlyMap<string, Item> }
  | {
      readonly is: "loop";
      readonly kind: "over" | "range" | "unroll";
      readonly dim: string;
      readonly start: TileItem;
      readonly limit: TileItem;
    }
  | { readonly is: "nothing" };

/** One kernel on its way from syntax to tile IR. */
export interface Lowering {
  readonly b: Builder;
  readonly params: ReadonlyMap<string, Param>;
  readonly module: ModuleSyntax;
  /** What each local stands for now. */
  env: Map<number, Item>;
  /** Variables of the function being lowered: a helper may read those around it, and change only its own. */
  readonly own: Set<number>;
  /** How many loops and branches are around; inside them the grid can no longer change. */
  depth: number;
  item(e: Expr): Item;
  /** The expression as a tile or scalar. */
  tile(e: Expr): TileItem;
  /** Runs statements; the value of a final `return` comes back. */
  statements(body: readonly Stmt[], returns: boolean): Item;
  /** Gives names to the parts of a list or an object. */
  unpack(targets: readonly Target[], from: Item, span: Span, put: (t: Target, value: Item) => void): void;
  /** Inlines a helper. */
  inline(fn: FunctionSyntax, args: readonly Item[], span: Span): Item;
  /** Notes what the kernel does to a tensor. */
  touch(param: string, how: "reads" | "writes" | "atomic"): void;
}

export function isTile(item: Item | undefined): item is TileItem {
  return item?.is === "tile" || item?.is === "weak";
}

export function describe(item: Item): string {
  return {
    tile: "a tile",
    weak: "a number",
    text: "a string",
    tensor: "a tensor",
    function: "a function",
    word: "a word of the language",
    list: "a list",
    record: "an object",
    loop: "a loop",
    nothing: "nothing",
  }[item.is];
}

/** A variable that statements assign, and where they last do. */
export interface Assigned {
  readonly name: string;
  readonly span: Span;
}

/** The locals that the statements assign, nested ones included. */
export function assigned(body: readonly Stmt[], found: Map<number, Assigned> = new Map()): Map<number, Assigned> {
  for (const s of body) {
    if (s.kind === "unpack" && !s.declares) for (const t of s.targets) found.set(t.id, { name: t.name, span: s.span });
    if (s.kind === "assign") found.set(s.id, { name: s.name, span: s.span });
    if (s.kind === "for" || s.kind === "block") assigned(s.body, found);
    if (s.kind === "if") {
      assigned(s.yes, found);
      assigned(s.no, found);
    }
  }
  return found;
}
