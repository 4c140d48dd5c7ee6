/**
 * Expressions: what a name, an operator or a call stands for.
 *
 * Words of the language are in words.ts, loads and stores in lower-access.ts.
 */

import type { Span } from "../../host/source-text.ts";
import type { BinaryOp, ReduceKind } from "../../ir/operators.ts";
import type { Value } from "../../ir/tile/program.ts";
import type { Expr, FunctionSyntax } from "../syntax.ts";
import { lowerLoad, lowerStore } from "./access.ts";
import { fieldOf } from "./aggregates.ts";
import { describe, type Item, isTile, type Lowering } from "./context.ts";
import { callWord } from "./intrinsics.ts";
import { power } from "./powers.ts";

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

export function lowerExpression(l: Lowering, e: Expr): Item {
  switch (e.kind) {
    case "number":
      return { is: "weak", value: e.value };
    case "boolean":
      return { is: "weak", value: Number(e.value), truth: true };
    case "string":
      return { is: "text", value: e.value };
    case "name":
      return nameOf(l, e);
    case "unary": {
      const x = l.tile(e.x);
      if (e.op === "-") return l.b.unary("neg", x, e.span);
      if (e.op === "!") return l.b.unary("not", x, e.span);
      if (e.op === "~" && x.is === "tile" && x.value.type === "bool")
        return l.b.fail("TS-205", '"~" turns the bits of an integer, got a condition', e.span, "write !");
      if (e.op === "~") return l.b.binary("xor", x, { is: "weak", value: 0xffffffff }, e.span);
      return x;
    }
    case "binary":
      if (e.op === "??") return either(l, e);
      if (e.op === "&&" || e.op === "||") {
        const a = l.item(e.a);
        const decides = a.is === "weak" && Boolean(a.value) === (e.op === "||");
        return decides
          ? { ...a, value: Number(e.op === "||"), truth: true }
          : lowerBinary(l, e.op, a, l.item(e.b), e.span);
      }
      return lowerBinary(l, e.op, l.item(e.a), l.item(e.b), e.span);
    case "conditional": {
      const cond = l.tile(e.test);
      if (cond.is === "weak") return l.item(cond.value ? e.yes : e.no);
      lowerCondition(l, cond.value, e.test.span);
      return l.b.select(cond, l.tile(e.yes), l.tile(e.no), e.span);
    }
    case "call":
      return call(l, e);
    case "lambda":
      return { is: "function", fn: e.fn };
    case "member":
      return member(l, e);
    case "array":
      return { is: "list", items: e.items.map((x) => l.item(x)) };
    case "record":
      return { is: "record", fields: new Map(e.fields.map((f) => [f.name, l.item(f.value)])) };
    case "refused":
      return l.b.fail("TS-201", `${e.what} is not part of the kernel language`, e.span, e.hint);
  }
}

export function lowerCondition(l: Lowering, v: Value, span: Span): void {
  if (v.axes.length > 0) {
    l.b.fail(
      "TS-207",
      `tile "${v.axes.map((a) => l.b.dimOf(a)).join(" ")}" used as a condition`,
      span,
      "a branch needs one answer: use select(condition, a, b), or reduce the tile first",
    );
  }
  if (v.type !== "bool") l.b.fail("TS-205", `a condition is needed, got ${v.type}`, span, "compare it: x > 0");
}

function nameOf(l: Lowering, e: Expr & { kind: "name" }): Item {
  const { symbol } = e;
  if (symbol.is === "local") {
    const item = l.env.get(symbol.id);
    if (item !== undefined) return item;
    return l.b.fail(
      "TS-203",
      `"${e.text}" has no value here: it is declared further down, or belongs to the code around the kernel`,
      e.span,
      "pass run-time values as Scalar or Tensor parameters; constants may stand at the top of the file",
    );
  }
  if (symbol.is === "const") return l.item(symbol.value);
  if (symbol.is === "function") return { is: "function", fn: functionOf(l, symbol.key, e.span) };
  if (symbol.is === "global") {
    if (e.text === "Infinity") return { is: "weak", value: Infinity };
    if (e.text === "undefined") return { is: "nothing" };
    return l.b.fail(
      "TS-203",
      `"${e.text}" is not known inside a kernel`,
      e.span,
      "a kernel sees its parameters, constants of its file, helper functions and the words of tilestate/dsl",
    );
  }
  return { is: "word", name: symbol.name };
}

function member(l: Lowering, e: Expr & { kind: "member" }): Item {
  if (e.object.kind === "name" && e.object.symbol.is === "global" && e.object.text === "Math") {
    return l.b.fail(
      "TS-209",
      `Math.${e.name} does not exist inside a kernel`,
      e.span,
      `import { ${e.name} } from "tilestate/dsl", where it works on tiles`,
    );
  }
  const object = l.item(e.object);
  if (object.is === "record") return fieldOf(object.fields, e.name);
  if (object.is === "tensor")
    return l.b.fail("TS-208", `a tensor has at(…), set([…], value), add, max and min, not "${e.name}"`, e.span);
  return l.b.fail(
    "TS-208",
    `"${e.name}" is not a method of tiles`,
    e.span,
    "tiles have operators and the words of tilestate/dsl",
  );
}

function functionOf(l: Lowering, key: string, span: Span): FunctionSyntax {
  return l.module.functions.get(key) ?? l.b.fail("TS-203", `the source of ${key} was not found`, span);
}

export function lowerBinary(l: Lowering, op: string, a: Item, b: Item, span: Span): Item {
  if (isTile(a) && isTile(b) && (op === "&&" || op === "||")) return l.b.logic(op, a, b, span);
  if (isTile(a) && isTile(b) && op === ">>>") return l.b.shiftBits(a, b, span);
  const known = sameness(op, a, b);
  if (known !== undefined) return known;
  const fn = OPERATORS[op];
  if (!isTile(a) || !isTile(b) || fn === undefined) {
    return l.b.fail("TS-205", `"${op}" needs two numbers, got ${describe(a)} and ${describe(b)}`, span);
  }
  return fn === "pow" ? power(l.b, a, b, span) : l.b.binary(fn, a, b, span);
}

/** `a ?? b`: what may be left out is known while compiling. */
function either(l: Lowering, e: Expr & { kind: "binary" }): Item {
  const a = l.item(e.a);
  return a.is === "nothing" ? l.item(e.b) : a;
}

/** Comparisons of strings, and of anything with undefined, are decided while compiling. */
function sameness(op: string, a: Item, b: Item): Item | undefined {
  const equal = op === "===" || op === "==";
  if (!equal && op !== "!==" && op !== "!=") return undefined;
  const same =
    a.is === "text" && b.is === "text"
      ? a.value === b.value
      : a.is === "nothing" || b.is === "nothing"
        ? a.is === b.is
        : undefined;
  return same === undefined ? undefined : { is: "weak", value: Number(same === equal), truth: true };
}

function call(l: Lowering, e: Expr & { kind: "call" }): Item {
  const { callee } = e;
  if (callee.kind === "member") {
    const object =
      callee.object.kind === "name" && callee.object.symbol.is === "global" ? undefined : l.item(callee.object);
    if (object?.is === "tensor" && callee.name === "at") return lowerLoad(l, object.param, e);
    if (object?.is === "tensor" && callee.name === "set") return lowerStore(l, object.param, e);
    const combine = object?.is === "tensor" ? COMBINES.get(callee.name) : undefined;
    if (object?.is === "tensor" && combine !== undefined) return lowerStore(l, object.param, e, combine);
    if (object?.is !== "record") return member(l, callee);
  }
  if (callee.kind === "name" && callee.symbol.is === "word") return callWord(l, callee.symbol.name, e);
  const target = l.item(callee);
  if (target.is === "word") return callWord(l, target.name, e);
  if (target.is !== "function") return l.b.fail("TS-203", `cannot call ${describe(target)}`, e.span);
  const args = e.args.map((a) => l.item(a));
  // A function that is passed on need not take all that it is given, as in TypeScript.
  const named = callee.kind === "name" && callee.symbol.is === "function";
  return l.inline(target.fn, named ? args : args.slice(0, target.fn.params.length), e.span);
}
