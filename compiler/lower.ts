/**
 * Lowering: our syntax tree to tile IR.
 *
 * A tree walk with an environment of locals. Helpers are inlined as they are called, compile-time values (numbers, dim names, functions) are resolved, loops
 * and branches become structured operations whose changed variables are made explicit. Words of the language are in words.ts.
 */
import { Builder, type TileItem } from "./builder.ts";
import type { BinaryOp, Carried, Loop, Op, Param, ReduceKind, Span, TileProgram, Value, ValueType } from "./ir.ts";
import { operands } from "./ir.ts";
import type { Expr, FunctionSyntax, ModuleSyntax, Stmt } from "./syntax.ts";
import { callWord } from "./words.ts";

/** What an expression can stand for while lowering. */
export type Item =
  | TileItem
  | { readonly is: "text"; readonly value: string }
  | { readonly is: "tensor"; readonly param: string }
  | { readonly is: "function"; readonly fn: FunctionSyntax }
  | { readonly is: "word"; readonly name: string }
  | {
      readonly is: "loop";
      readonly kind: "over" | "range" | "unroll";
      readonly dim: string;
      readonly start: TileItem;
      readonly limit: TileItem;
    }
  | { readonly is: "nothing" };

const OPERATORS: Readonly<Record<string, BinaryOp>> = {
  "+": "add",
  "-": "sub",
  "*": "mul",
  "/": "div",
  "%": "rem",
  "**": "pow",
  "<": "lt",
  "<=": "le",
  ">": "gt",
  ">=": "ge",
  "===": "eq",
  "!==": "ne",
  "==": "eq",
  "!=": "ne",
  "&": "and",
  "|": "or",
  "^": "xor",
  "<<": "shl",
  ">>": "shr",
};

/** Methods of a tensor that combine a value with an element. */
const COMBINES: ReadonlyMap<string, ReduceKind> = new Map([
  ["add", "sum"],
  ["max", "max"],
  ["min", "min"],
]);

/** Longer compile-time loops are a mistake: each turn is a copy of the body. */
const MOST_UNROLLED = 1024;

export class Lowering {
  readonly b: Builder = new Builder();
  readonly params: Map<string, Param> = new Map<string, Param>();
  #env: Map<number, Item> = new Map<number, Item>();
  readonly #module: ModuleSyntax;
  readonly #active: string[] = [];
  /** Variables of the function being lowered: a helper may read those around it, and change only its own. */
  #own: Set<number> = new Set<number>();
  #depth = 0;

  constructor(module: ModuleSyntax) {
    this.#module = module;
  }

  kernel(name: string, fn: FunctionSyntax): TileProgram {
    for (const p of fn.params) {
      this.#own.add(p.id);
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
        this.#env.set(p.id, { is: "tensor", param: p.name });
      } else if (p.type.is === "scalar") {
        const dtype = p.type.dtype as "f32" | "u32" | "i32";
        this.params.set(p.name, { kind: "scalar", name: p.name, dtype });
        this.#env.set(p.id, {
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
    this.#statements(fn.body, false);
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

  /** True inside loops and branches, where the grid can no longer change. */
  get nested(): boolean {
    return this.#depth > 0;
  }

  touch(param: string, how: "reads" | "writes" | "atomic"): void {
    const p = this.params.get(param);
    if (p?.kind === "tensor") this.params.set(param, { ...p, [how]: true });
  }

  // ---- Statements -------------------------------------------------------------------------------------------------------------

  /** Runs statements; the value of a final `return` comes back. */
  #statements(body: readonly Stmt[], returns: boolean): Item {
    for (const [at, s] of body.entries()) {
      if (s.kind === "return") {
        if (s.value === undefined && !returns)
          this.b.fail("TS-210", "a kernel cannot return early", s.span, "put the rest into an if");
        if (at !== body.length - 1 || !returns) this.#early(s.span);
        return s.value === undefined ? { is: "nothing" } : this.item(s.value);
      }
      this.#statement(s);
    }
    return { is: "nothing" };
  }

  #statement(s: Stmt): void {
    switch (s.kind) {
      case "declare": {
        // The value first: lowering it may replace the environment.
        const value = this.item(s.value);
        this.#own.add(s.id);
        this.#env.set(s.id, value);
        return;
      }
      case "assign": {
        const old = this.#env.get(s.id);
        if (old !== undefined && !this.#own.has(s.id))
          this.b.fail(
            "TS-203",
            `"${s.name}" belongs to the code around this function, which can read it and not change it`,
            s.span,
            "return the new value and assign it there",
          );
        if (old === undefined)
          this.b.fail(
            "TS-203",
            `"${s.name}" is not a variable of this kernel`,
            s.span,
            "a kernel changes only its own variables; results leave through tensors",
          );
        const value = this.item(s.value);
        this.#env.set(s.id, s.op === "" ? value : this.#binary(s.op, old, value, s.span));
        return;
      }
      case "expression":
        this.item(s.value);
        return;
      case "block":
        this.#statements(s.body, false);
        return;
      case "if":
        this.#branch(s);
        return;
      case "for":
        this.#for(s);
        return;
      case "refused":
        return this.b.fail("TS-201", `${s.what} is not part of the kernel language`, s.span, s.hint);
      case "return":
        return this.#early(s.span);
    }
  }

  #early(span: Span): never {
    return this.b.fail(
      "TS-210",
      "an early return",
      span,
      "return once, as the last statement of a helper; choose with ?: or select()",
    );
  }

  #branch(s: Stmt & { kind: "if" }): void {
    const cond = this.tile(s.test);
    if (cond.is === "weak") {
      this.#statements(cond.value ? s.yes : s.no, false);
      return;
    }
    this.#condition(cond.value, s.test.span);
    const before = this.#env;
    const outer = this.b.ops;
    const side = (body: readonly Stmt[]): { env: Map<number, Item>; ops: Op[] } => {
      this.#env = new Map(before);
      this.b.ops = [];
      this.#depth++;
      this.#statements(body, false);
      this.#depth--;
      return { env: this.#env, ops: this.b.ops };
    };
    const [yes, no] = [side(s.yes), side(s.no)];
    const names = assigned(s.no, assigned(s.yes));
    const merged: { name: string; yes: number; no: number; after: Value }[] = [];
    this.#env = before;
    for (const [id, old] of before) {
      const [y, n] = [yes.env.get(id), no.env.get(id)];
      if (y === old && n === old) continue;
      const { name, span } = names.get(id) ?? { name: String(id), span: s.span };
      if (!isTile(y) || !isTile(n))
        this.b.fail("TS-205", `"${name}" is ${describe(old)}: a branch can only change tiles and scalars`, span);
      const type = this.b.join([y, n], span);
      const settle = (side: { ops: Op[] }, item: TileItem): Value => {
        this.b.ops = side.ops;
        return this.b.as(item, type, span);
      };
      let [vy, vn] = [settle(yes, y), settle(no, n)];
      const axes = this.b.align([vy, vn], span);
      this.b.ops = yes.ops;
      vy = this.b.splat(vy, axes, span);
      this.b.ops = no.ops;
      vn = this.b.splat(vn, axes, span);
      const after = this.b.value(type, axes, span);
      merged.push({ name: String(id), yes: vy.id, no: vn.id, after });
      this.#env.set(id, { is: "tile", value: after });
    }
    this.b.ops = outer;
    this.b.ops.push({ op: "if", cond: cond.value.id, yes: yes.ops, no: no.ops, merged, span: s.span });
  }

  #for(s: Stmt & { kind: "for" }): void {
    if (s.source.kind === "array")
      this.b.fail("TS-201", "a loop over a list", s.source.span, 'write over("dim"), range(n) or unroll(n)');
    const source = this.item(s.source);
    if (source.is !== "loop")
      this.b.fail("TS-201", "a loop over something other than over(…), range(…) or unroll(…)", s.source.span);
    if (source.kind === "unroll") {
      if (source.start.is !== "weak" || source.limit.is !== "weak")
        this.b.fail(
          "TS-215",
          "unroll needs numbers known when compiling",
          s.source.span,
          "use range(…) for a run-time count",
        );
      if (!(source.limit.value - source.start.value <= MOST_UNROLLED))
        this.b.fail(
          "TS-215",
          `unroll would repeat this body ${source.limit.value - source.start.value} times`,
          s.source.span,
          `the most is ${MOST_UNROLLED}; use range(…) for long loops`,
        );
      for (let i = source.start.value; i < source.limit.value; i++) {
        this.#own.add(s.id);
        this.#env.set(s.id, { is: "weak", value: i });
        this.#statements(s.body, false);
      }
      return;
    }
    const start = this.b.as(source.start, "u32", s.source.span);
    const limit = this.b.as(source.limit, "u32", s.source.span);
    const names = assigned(s.body);
    const changed = [...names.keys()].filter((id) => this.#env.has(id) && this.#own.has(id));
    const who = (i: number): Assigned => names.get(changed[i] ?? -1) ?? { name: "?", span: s.span };
    this.#own.add(s.id);
    const axesBefore = this.b.axes.length;
    const outer = this.b.ops;
    const env = this.#env;
    const entering = new Map(env);
    // Types of the carried variables are found by trying: a turn is lowered with what is known, and again while it widens.
    let types = changed.map((id, i) => this.#carriedType(entering.get(id), who(i)));
    for (let attempt = 0; attempt < 6; attempt++) {
      this.b.axes.length = axesBefore;
      this.b.ops = outer.slice();
      const inits = changed.map((id, i) => this.#enter(entering.get(id), types[i], who(i).span));
      const region = this.b.ops;
      const axis = source.kind === "over" ? this.b.axis(source.dim, "over") : undefined;
      const index = this.b.value("u32", axis === undefined ? [] : [axis.id], s.span);
      const inside = inits.map((v) => this.b.value(v.type, v.axes, v.span));
      this.#env = new Map(entering);
      // A variable that entered as a plain number and has no type yet stays one for this attempt: what it meets gives the type.
      for (const [i, id] of changed.entries()) {
        const untyped = types[i]?.type === undefined ? entering.get(id) : undefined;
        this.#env.set(id, untyped ?? { is: "tile", value: inside[i] as Value });
      }
      this.#env.set(s.id, { is: "tile", value: index });
      this.b.ops = [];
      this.#depth++;
      this.#statements(s.body, false);
      this.#depth--;
      const next = changed.map((id) => this.#env.get(id));
      const wider = types.map((t, i) => this.#widen(t, next[i], entering.get(changed[i] ?? -1), axis?.id, who(i)));
      if (
        wider.some(
          (w, i) =>
            w.type !== types[i]?.type || types[i]?.type === undefined || w.axes.length !== types[i]?.axes.length,
        )
      ) {
        types = wider;
        continue;
      }
      const ends = next.map((item, i) => {
        const [type, { name, span }] = [inits[i]?.type ?? "f32", who(i)];
        if (item?.is === "tile" && item.value.type !== type && (type !== "f32" || item.value.type === "bool"))
          this.b.fail(
            "TS-205",
            `"${name}" enters the loop as ${type} and leaves a turn as ${item.value.type}`,
            span,
            `make them one type, with cast(…, "${type === "bool" ? "u32" : type}") here or another start`,
          );
        return this.b.splat(this.b.as(item as TileItem, type, span), inits[i]?.axes ?? [], span);
      });
      const carried: Carried[] = changed.map((id, i) => {
        const after = this.b.value(inits[i]?.type ?? "f32", inits[i]?.axes ?? [], s.span);
        return {
          name: String(id),
          init: inits[i]?.id ?? -1,
          inside: inside[i] as Value,
          next: ends[i]?.id ?? -1,
          after,
        };
      });
      const body = this.b.ops;
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
      this.b.ops = outer;
      this.#env = env;
      for (const [i, id] of changed.entries()) env.set(id, { is: "tile", value: carried[i]?.after as Value });
      return;
    }
    this.b.fail("TS-205", "the types of this loop's variables do not settle", s.span);
  }

  #carriedType(
    item: Item | undefined,
    { name, span }: Assigned,
  ): { type: ValueType | undefined; axes: readonly number[] } {
    if (item === undefined || !isTile(item))
      return this.b.fail(
        "TS-205",
        `"${name}" is ${describe(item ?? { is: "nothing" })}: a loop can only change tiles and scalars`,
        span,
      );
    return item.is === "weak" ? { type: undefined, axes: [] } : { type: item.value.type, axes: item.value.axes };
  }

  #enter(
    item: Item | undefined,
    want: { type: ValueType | undefined; axes: readonly number[] } | undefined,
    span: Span,
  ): Value {
    const type = want?.type ?? "f32";
    return this.b.splat(this.b.as(item as TileItem, type, span), want?.axes ?? [], span);
  }

  #widen(
    known: { type: ValueType | undefined; axes: readonly number[] },
    next: Item | undefined,
    entered: Item | undefined,
    loopAxis: number | undefined,
    { name, span }: Assigned,
  ): { type: ValueType | undefined; axes: readonly number[] } {
    if (next === undefined || !isTile(next))
      return this.b.fail(
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
      this.b.fail(
        "TS-212",
        `"${name}" keeps a tile over one block of "${this.b.dimOf(escaping)}" beyond its turn of the loop`,
        span,
        "reduce it first: sum, amax, dot …",
      );
    }
    const type =
      known.type ??
      (next.value.type === "f32" || entered?.is !== "weak" || Number.isInteger(entered.value)
        ? next.value.type
        : "f32");
    return { type, axes: this.b.align([{ ...next.value, axes: known.axes }, next.value], span) };
  }

  // ---- Expressions ------------------------------------------------------------------------------------------------------------

  item(e: Expr): Item {
    switch (e.kind) {
      case "number":
        return { is: "weak", value: e.value };
      case "boolean":
        return { is: "weak", value: Number(e.value), truth: true };
      case "string":
        return { is: "text", value: e.value };
      case "name":
        return this.#name(e);
      case "unary": {
        const x = this.tile(e.x);
        if (e.op === "-") return this.b.unary("neg", x, e.span);
        if (e.op === "!") return this.b.unary("not", x, e.span);
        if (e.op === "~" && x.is === "tile" && x.value.type === "bool")
          return this.b.fail("TS-205", '"~" turns the bits of an integer, got a condition', e.span, "write !");
        if (e.op === "~") return this.b.binary("xor", x, { is: "weak", value: 0xffffffff }, e.span);
        return x;
      }
      case "binary":
        return this.#binary(e.op, this.item(e.a), this.item(e.b), e.span);
      case "conditional": {
        const cond = this.tile(e.test);
        if (cond.is === "weak") return this.item(cond.value ? e.yes : e.no);
        this.#condition(cond.value, e.test.span);
        return this.b.select(cond, this.tile(e.yes), this.tile(e.no), e.span);
      }
      case "call":
        return this.#call(e);
      case "lambda":
        return { is: "function", fn: e.fn };
      case "member":
        return this.#member(e);
      case "array":
        return this.b.fail("TS-201", "a list is only used as the index of set([…], value)", e.span);
      case "refused":
        return this.b.fail("TS-201", `${e.what} is not part of the kernel language`, e.span, e.hint);
    }
  }

  /** The expression as a tile or scalar. */
  tile(e: Expr): TileItem {
    const item = this.item(e);
    return isTile(item) ? item : this.b.fail("TS-205", `a number is needed here, got ${describe(item)}`, e.span);
  }

  #condition(v: Value, span: Span): void {
    if (v.axes.length > 0) {
      this.b.fail(
        "TS-207",
        `tile "${v.axes.map((a) => this.b.dimOf(a)).join(" ")}" used as a condition`,
        span,
        "a branch needs one answer: use select(condition, a, b), or reduce the tile first",
      );
    }
    if (v.type !== "bool") this.b.fail("TS-205", `a condition is needed, got ${v.type}`, span, "compare it: x > 0");
  }

  #name(e: Expr & { kind: "name" }): Item {
    const { symbol } = e;
    if (symbol.is === "local") {
      const item = this.#env.get(symbol.id);
      if (item !== undefined) return item;
      return this.b.fail(
        "TS-203",
        `"${e.text}" has no value here: it is declared further down, or belongs to the code around the kernel`,
        e.span,
        "pass run-time values as Scalar or Tensor parameters; constants may stand at the top of the file",
      );
    }
    if (symbol.is === "const") return this.item(symbol.value);
    if (symbol.is === "function") return { is: "function", fn: this.#function(symbol.key, e.span) };
    if (symbol.is === "global") {
      if (e.text === "Infinity") return { is: "weak", value: Infinity };
      return this.b.fail(
        "TS-203",
        `"${e.text}" is not known inside a kernel`,
        e.span,
        "a kernel sees its parameters, constants of its file, helper functions and the words of tilestate/dsl",
      );
    }
    return { is: "word", name: symbol.name };
  }

  #member(e: Expr & { kind: "member" }): Item {
    if (e.object.kind === "name" && e.object.symbol.is === "global" && e.object.text === "Math") {
      return this.b.fail(
        "TS-209",
        `Math.${e.name} does not exist inside a kernel`,
        e.span,
        `import { ${e.name} } from "tilestate/dsl", where it works on tiles`,
      );
    }
    const object = this.item(e.object);
    if (object.is === "tensor")
      return this.b.fail("TS-208", `a tensor has at(…), set([…], value), add, max and min, not "${e.name}"`, e.span);
    return this.b.fail(
      "TS-208",
      `"${e.name}" is not a method of tiles`,
      e.span,
      "tiles have operators and the words of tilestate/dsl",
    );
  }

  #function(key: string, span: Span): FunctionSyntax {
    return this.#module.functions.get(key) ?? this.b.fail("TS-203", `the source of ${key} was not found`, span);
  }

  #binary(op: string, a: Item, b: Item, span: Span): Item {
    if (isTile(a) && isTile(b) && (op === "&&" || op === "||")) return this.b.logic(op, a, b, span);
    if (isTile(a) && isTile(b) && op === ">>>") return this.b.shiftBits(a, b, span);
    const fn = OPERATORS[op];
    if (!isTile(a) || !isTile(b) || fn === undefined) {
      return this.b.fail("TS-205", `"${op}" needs two numbers, got ${describe(a)} and ${describe(b)}`, span);
    }
    return this.b.binary(fn, a, b, span);
  }

  #call(e: Expr & { kind: "call" }): Item {
    const { callee } = e;
    if (callee.kind === "member") {
      const object =
        callee.object.kind === "name" && callee.object.symbol.is === "global" ? undefined : this.item(callee.object);
      if (object?.is === "tensor" && callee.name === "at") return this.#load(object.param, e);
      if (object?.is === "tensor" && callee.name === "set") return this.#store(object.param, e);
      const combine = object?.is === "tensor" ? COMBINES.get(callee.name) : undefined;
      if (object?.is === "tensor" && combine !== undefined) return this.#store(object.param, e, combine);
      return this.#member(callee);
    }
    if (callee.kind === "name" && callee.symbol.is === "word") return callWord(this, callee.symbol.name, e);
    const target = this.item(callee);
    if (target.is === "word") return callWord(this, target.name, e);
    if (target.is !== "function") return this.b.fail("TS-203", `cannot call ${describe(target)}`, e.span);
    return this.inline(
      target.fn,
      e.args.map((a) => this.item(a)),
      e.span,
    );
  }

  /** Inlines a helper. */
  inline(fn: FunctionSyntax, args: readonly Item[], span: Span): Item {
    const name = `${fn.span.file}:${fn.span.start}`;
    if (this.#active.includes(name))
      this.b.fail("TS-214", `"${fn.name}" calls itself`, span, "helpers are inlined: write a loop");
    if (args.length !== fn.params.length)
      this.b.fail("TS-215", `"${fn.name}" takes ${fn.params.length} arguments, got ${args.length}`, span);
    const around = this.#own;
    this.#own = new Set(fn.params.map((p) => p.id));
    this.#active.push(name);
    this.b.chain.push({ name: fn.name, span });
    for (const [i, p] of fn.params.entries()) this.#env.set(p.id, args[i] ?? { is: "nothing" });
    const result = this.#statements(fn.body, true);
    this.b.chain.pop();
    this.#active.pop();
    this.#own = around;
    return result;
  }

  #indices(param: string, given: readonly Expr[], span: Span): Value[] {
    const p = this.params.get(param);
    const dims = p?.kind === "tensor" ? p.dims : [];
    if (given.length > dims.length) {
      this.b.fail(
        "TS-202",
        `"${param}" has ${dims.length} dims ("${dims.join(" ")}"), got ${given.length} indices`,
        span,
      );
    }
    const index = given.map((e) => {
      const item = this.tile(e);
      if (item.is === "weak" && !(Number.isInteger(item.value) && item.value >= 0))
        this.b.fail("TS-205", `${item.value} is not an index`, e.span, "indices are whole numbers from 0");
      const v = item.is === "weak" ? this.b.constant(item.value, "u32", e.span) : item.value;
      if (v.type === "i32") return this.b.cast({ is: "tile", value: v }, "u32", e.span);
      if (v.type !== "u32")
        this.b.fail("TS-205", `an index must be an integer, got ${v.type}`, e.span, 'cast(…, "u32")');
      return v;
    });
    for (const dim of dims.slice(given.length)) {
      const axis = this.b.whole(dim);
      index.push(this.b.emit({ op: "iota", type: "u32", axes: [axis.id], span, axis: axis.id }));
    }
    return index;
  }

  #load(param: string, e: Expr & { kind: "call" }): Item {
    const index = this.#indices(param, e.args, e.span);
    this.touch(param, "reads");
    const p = this.params.get(param);
    const stored = p?.kind === "tensor" ? (p.storage[0] ?? "f32") : "f32";
    const type: ValueType = stored === "u32" || stored === "i32" ? stored : "f32";
    const axes = this.b.align(index, e.span);
    return {
      is: "tile",
      value: this.b.emit({ op: "load", type, axes, span: e.span, param, index: index.map((v) => v.id) }),
    };
  }

  #store(param: string, e: Expr & { kind: "call" }, combine?: ReduceKind): Item {
    const [list, valueExpr] = e.args;
    if (list?.kind !== "array" || valueExpr === undefined)
      return this.b.fail("TS-215", "set takes a list of indices and a value: t.set([i, j], value)", e.span);
    const index = this.#indices(param, list.items, e.span);
    const p = this.params.get(param);
    const stored = p?.kind === "tensor" ? (p.storage[0] ?? "f32") : "f32";
    const value = this.b.as(
      this.tile(valueExpr),
      stored === "u32" || stored === "i32" ? stored : "f32",
      valueExpr.span,
    );
    const axes = this.b.align(index, e.span);
    const lost = value.axes.find((a) => !axes.includes(a));
    if (lost !== undefined) {
      this.b.fail(
        "TS-216",
        `the value has dim "${this.b.dimOf(lost)}", which no index of "${param}" has`,
        valueExpr.span,
        "reduce it, or index the tensor by it",
      );
    }
    if (combine !== undefined) {
      const other = p?.kind === "tensor" ? p.storage.find((s) => s !== "f32" && s !== "u32" && s !== "i32") : undefined;
      if (other !== undefined)
        this.b.fail(
          "TS-219",
          `"${param}" may be stored as ${other}, whose elements cannot be updated one at a time`,
          e.span,
          "use f32, u32 or i32",
        );
      this.touch(param, "atomic");
    }
    this.touch(param, "writes");
    this.b.ops.push({
      op: "store",
      param,
      index: index.map((v) => v.id),
      value: value.id,
      ...(combine === undefined ? {} : { combine }),
      span: e.span,
    });
    return { is: "nothing" };
  }
}

export function isTile(item: Item | undefined): item is TileItem {
  return item?.is === "tile" || item?.is === "weak";
}

function describe(item: Item): string {
  return {
    tile: "a tile",
    weak: "a number",
    text: "a string",
    tensor: "a tensor",
    function: "a function",
    word: "a word of the language",
    loop: "a loop",
    nothing: "nothing",
  }[item.is];
}

/** A variable that statements assign, and where they last do. */
interface Assigned {
  readonly name: string;
  readonly span: Span;
}

/** The locals that the statements assign, nested ones included. */
function assigned(body: readonly Stmt[], found: Map<number, Assigned> = new Map()): Map<number, Assigned> {
  for (const s of body) {
    if (s.kind === "assign") found.set(s.id, { name: s.name, span: s.span });
    if (s.kind === "for" || s.kind === "block") assigned(s.body, found);
    if (s.kind === "if") {
      assigned(s.yes, found);
      assigned(s.no, found);
    }
  }
  return found;
}

/** Removes operations whose value nobody reads (constants of dead branches, whole-dim indices that were replaced). */
export function prune(ops: readonly Op[]): Op[] {
  const used = new Set<number>();
  const visit = (list: readonly Op[], live: readonly number[]): Op[] => {
    for (const id of live) used.add(id);
    const kept: Op[] = [];
    for (const op of [...list].reverse()) {
      if (op.op === "loop") {
        for (const id of operands(op)) used.add(id);
        kept.push({
          ...op,
          body: visit(
            op.body,
            op.carried.map((c) => c.next),
          ),
        });
      } else if (op.op === "if") {
        used.add(op.cond);
        kept.push({
          ...op,
          yes: visit(
            op.yes,
            op.merged.map((m) => m.yes),
          ),
          no: visit(
            op.no,
            op.merged.map((m) => m.no),
          ),
        });
      } else if (op.op === "store" || used.has(op.id)) {
        for (const id of operands(op)) used.add(id);
        kept.push(op);
      }
    }
    return kept.reverse();
  };
  return visit(ops, []);
}
