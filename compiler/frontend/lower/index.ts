/**
 * Lowering: our syntax tree to tile IR.
 *
 * A tree walk with an environment of locals. Helpers are inlined as they are called, compile-time values (numbers, dim
 * names, functions) are resolved, loops and branches become structured operations whose changed variables are made
 * explicit. This file sets up a kernel and inlines; statements, loops, expressions, memory and the words of the
 * language have a file each.
 */

import { jsdocHelp } from "../../host/diagnostics.ts";
import type { Span } from "../../host/source-text.ts";
import { Builder, type TileItem } from "../../ir/tile/builder.ts";
import type { Param, TileProgram } from "../../ir/tile/program.ts";
import { isJavaScript } from "../read/javascript.ts";
import type { Expr, FunctionSyntax, ModuleSyntax, Stmt, Target, Wanted } from "../syntax.ts";
import { unpack } from "./aggregates.ts";
import { describe, type Item, isTile, type Lowering } from "./context.ts";
import { type Kinds, kindOf } from "./dtype-variants.ts";
import { lowerExpression } from "./expressions.ts";
import { lowerStatements } from "./statements.ts";
import { checkStatic, staticsOf } from "./static-params.ts";

/** Lowers one kernel of a module. */
export function lowerKernel(
  module: ModuleSyntax,
  name: string,
  fn: FunctionSyntax,
  wanted: Wanted,
  kinds: Kinds = new Map(),
): TileProgram {
  return new KernelLowering(module).kernel(name, fn, wanted, kinds);
}

class KernelLowering implements Lowering {
  readonly b: Builder = new Builder();
  readonly params: Map<string, Param> = new Map<string, Param>();
  readonly module: ModuleSyntax;
  env: Map<number, Item> = new Map<number, Item>();
  own: Set<number> = new Set<number>();
  depth = 0;
  readonly #active: string[] = [];

  constructor(module: ModuleSyntax) {
    this.module = module;
  }

  kernel(name: string, fn: FunctionSyntax, wanted: Wanted, kinds: Kinds): TileProgram {
    let fixed: TileProgram["fixed"];
    for (const [i, p] of fn.params.entries()) {
      this.own.add(p.id);
      const { type } = p;
      if (type.is === "tensor") {
        const kind = kinds.get(type.generic ?? "");
        const storage = type.storage.filter((s) => kind === undefined || kindOf(s) === kind);
        this.#oneKind(p.name, storage, p.span);
        this.params.set(p.name, {
          kind: "tensor",
          name: p.name,
          dims: type.dims,
          storage: storage as ("f32" | "u32")[],
          reads: false,
          writes: false,
        });
        this.env.set(p.id, { is: "tensor", param: p.name });
      } else if (type.is === "scalar") {
        const dtype = type.dtype as "f32" | "u32" | "i32";
        this.params.set(p.name, { kind: "scalar", name: p.name, dtype });
        this.env.set(p.id, {
          is: "tile",
          value: this.b.emit({ op: "scalar", type: dtype, axes: [], span: p.span, param: p.name }),
        });
      } else if (type.is === "static") {
        if (i !== fn.params.length - 1)
          this.b.fail(
            "TS-213",
            "the compile-time parameters are not the last parameter",
            p.span,
            "put them at the end",
          );
        const { fields, said } = staticsOf(this, fn, p, wanted);
        fixed = said;
        this.#bind(p, { is: "record", fields });
      } else {
        this.b.fail(
          "TS-213",
          `the parameter "${p.name}" has ${type.text}; a kernel takes Tensor<"dims", dtype>, Scalar<dtype> and, as the last one, Static<{ … }>`,
          p.span,
          isJavaScript(p.span.file) ? jsdocHelp(p.name) : undefined,
        );
      }
    }
    this.statements(fn.body, fn.body[0]?.kind === "return" && fn.body[0].implied === true);
    return {
      name,
      ...(fixed === undefined ? {} : { fixed }),
      params: [...this.params.values()],
      axes: this.b.axes,
      grid: this.b.grid,
      body: this.b.ops,
    };
  }

  /** Gives a parameter, or the names it is taken apart into, their value. */
  #bind(p: FunctionSyntax["params"][number], value: Item): void {
    if (p.targets === undefined) this.env.set(p.id, value);
    else
      this.unpack(p.targets, value, p.span, (t, part) => {
        this.own.add(t.id);
        this.env.set(t.id, part);
      });
  }

  /** A kernel has one arithmetic for each tensor, whatever its storage. */
  #oneKind(name: string, storage: readonly string[], span: Span): void {
    const kinds = new Set(storage.map(kindOf));
    if (kinds.size > 1)
      this.b.fail(
        "TS-213",
        `the parameter "${name}" may hold ${[...kinds].join(" or ")}; a kernel computes with one of them`,
        span,
        'use f32, f16, bf16, real, u32 or i32, or a type parameter for a kernel of each: <T extends DType>(x: Tensor<"n", T>)',
      );
    if (kinds.size === 0) this.b.fail("TS-213", `the parameter "${name}" has no known element type`, span);
  }

  item(e: Expr): Item {
    return lowerExpression(this, e);
  }

  tile(e: Expr): TileItem {
    const item = this.item(e);
    return isTile(item) ? item : this.b.fail("TS-205", `a number is needed here, got ${describe(item)}`, e.span);
  }

  statements(body: readonly Stmt[], returns: boolean): Item {
    return lowerStatements(this, body, returns);
  }

  inline(fn: FunctionSyntax, args: readonly Item[], span: Span): Item {
    const name = `${fn.span.file}:${fn.span.start}`;
    if (this.#active.includes(name))
      this.b.fail("TS-214", `"${fn.name}" calls itself`, span, "helpers are inlined: write a loop");
    const least = fn.params.filter((p) => !p.optional).length;
    if (args.length > fn.params.length || args.length < least) {
      const count = least === fn.params.length ? least : `${least} to ${fn.params.length}`;
      this.b.fail("TS-215", `"${fn.name}" takes ${count} arguments, got ${args.length}`, span);
    }
    for (const [i, p] of fn.params.entries()) if (p.type.is === "static") checkStatic(this, args[i], span);
    const around = this.own;
    this.own = new Set(fn.params.map((p) => p.id));
    this.#active.push(name);
    this.b.chain.push({ name: fn.name, span });
    for (const [i, p] of fn.params.entries()) {
      const given = args[i] ?? { is: "nothing" };
      const value = given.is === "nothing" && p.fallback !== undefined ? this.item(p.fallback) : given;
      this.#bind(p, value);
    }
    const result = this.statements(fn.body, true);
    this.b.chain.pop();
    this.#active.pop();
    this.own = around;
    return result;
  }

  unpack(targets: readonly Target[], from: Item, span: Span, put: (t: Target, value: Item) => void): void {
    unpack(this, targets, from, span, put);
  }

  touch(param: string, how: "reads" | "writes" | "atomic"): void {
    const p = this.params.get(param);
    if (p?.kind === "tensor") this.params.set(param, { ...p, [how]: true });
  }
}
