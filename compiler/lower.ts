/**
 * Lowering: our syntax tree to tile IR.
 *
 * A tree walk with an environment of locals. Helpers are inlined as they are called, compile-time values (numbers, dim names, functions) are resolved, loops
 * and branches become structured operations whose changed variables are made explicit. This file sets up a kernel and inlines; statements, loops, expressions,
 * memory and the words of the language have a file each.
 */
import { Builder, type TileItem } from "./builder.ts";
import type { Param, Span, TileProgram } from "./ir.ts";
import { lowerExpression } from "./lower-expressions.ts";
import { lowerStatements } from "./lower-statements.ts";
import { describe, type Item, isTile, type Lowering } from "./lowering.ts";
import type { Expr, FunctionSyntax, ModuleSyntax, Stmt } from "./syntax.ts";

/** Lowers one kernel of a module. */
export function lowerKernel(module: ModuleSyntax, name: string, fn: FunctionSyntax): TileProgram {
  return new KernelLowering(module).kernel(name, fn);
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

  kernel(name: string, fn: FunctionSyntax): TileProgram {
    for (const p of fn.params) {
      this.own.add(p.id);
      if (p.type.is === "tensor") {
        this.#oneKind(p.name, p.type.storage, p.span);
        this.params.set(p.name, {
          kind: "tensor",
          name: p.name,
          dims: p.type.dims,
          storage: p.type.storage as ("f32" | "u32")[],
          reads: false,
          writes: false,
        });
        this.env.set(p.id, { is: "tensor", param: p.name });
      } else if (p.type.is === "scalar") {
        const dtype = p.type.dtype as "f32" | "u32" | "i32";
        this.params.set(p.name, { kind: "scalar", name: p.name, dtype });
        this.env.set(p.id, {
          is: "tile",
          value: this.b.emit({ op: "scalar", type: dtype, axes: [], span: p.span, param: p.name }),
        });
      } else {
        this.b.fail(
          "TS-213",
          `the parameter "${p.name}" has ${p.type.text}; a kernel takes Tensor<"dims", dtype> and Scalar<dtype>`,
          p.span,
        );
      }
    }
    this.statements(fn.body, false);
    return { name, params: [...this.params.values()], axes: this.b.axes, grid: this.b.grid, body: this.b.ops };
  }

  /** A kernel has one arithmetic for each tensor, whatever its storage. */
  #oneKind(name: string, storage: readonly string[], span: Span): void {
    const kinds = new Set(storage.map((s) => (s === "u32" || s === "i32" ? s : "real numbers")));
    if (kinds.size > 1)
      this.b.fail(
        "TS-213",
        `the parameter "${name}" may hold ${[...kinds].join(" or ")}; a kernel computes with one of them`,
        span,
        "use f32, f16, bf16, real, u32 or i32",
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
    if (args.length !== fn.params.length)
      this.b.fail("TS-215", `"${fn.name}" takes ${fn.params.length} arguments, got ${args.length}`, span);
    const around = this.own;
    this.own = new Set(fn.params.map((p) => p.id));
    this.#active.push(name);
    this.b.chain.push({ name: fn.name, span });
    for (const [i, p] of fn.params.entries()) this.env.set(p.id, args[i] ?? { is: "nothing" });
    const result = this.statements(fn.body, true);
    this.b.chain.pop();
    this.#active.pop();
    this.own = around;
    return result;
  }

  touch(param: string, how: "reads" | "writes" | "atomic"): void {
    const p = this.params.get(param);
    if (p?.kind === "tensor") this.params.set(param, { ...p, [how]: true });
  }
}
