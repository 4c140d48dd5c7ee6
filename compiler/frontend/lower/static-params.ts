/**
 * Compile-time parameters: what a kernel is specialised by before anything is known about tensors.
 *
 * Numbers, flags and strings come from the host when it loads the kernel, or from the object in the source; functions
 * always from the source. A kernel with other values is another tile program, so branches on them vanish and functions
 * are inlined.
 */

import type { Span } from "../../host/source-text.ts";
import type { Expr, FunctionSyntax, StaticField, StaticValue, Wanted } from "../syntax.ts";
import { describe, type Item, type Lowering } from "./context.ts";

const KINDS: Readonly<Record<StaticField["kind"], string>> = {
  number: "a number",
  boolean: "true or false",
  text: "a string",
  function: "a function",
  other: "nothing a kernel can be specialised by",
};

interface Fixed {
  readonly fields: ReadonlyMap<string, Item>;
  /** The same for people and for comparing: a function by its name. */
  readonly said: Readonly<Record<string, StaticValue>>;
}

/** The values of a kernel's compile-time parameters `p`. */
export function staticsOf(l: Lowering, fn: FunctionSyntax, p: FunctionSyntax["params"][number], wanted: Wanted): Fixed {
  const declared = p.type.is === "static" ? p.type.fields : [];
  const unknown = Object.keys(wanted.values).find((name) => declared.every((f) => f.name !== name));
  if (unknown !== undefined)
    l.b.fail(
      "TS-221",
      `"${fn.name}" has no compile-time parameter "${unknown}"; it has ${declared.map((f) => f.name).join(", ")}`,
      p.span,
    );
  const source = sourceOf(l, declared, wanted);
  const fields = new Map<string, Item>();
  const said: Record<string, StaticValue> = {};
  for (const field of declared) {
    if (field.kind === "other")
      l.b.fail(
        "TS-213",
        `the compile-time parameter "${field.name}" is neither a number, a flag, a string nor a function`,
        p.span,
        "tensors and run-time numbers are parameters of their own: Tensor<…>, Scalar<…>",
      );
    const fallback = p.targets?.find((t) => t.part === field.name)?.fallback;
    const item = given(l, field, wanted, source) ?? (fallback === undefined ? undefined : l.item(fallback));
    if (item === undefined || item.is === "nothing") {
      if (!field.optional) noValue(l, fn, field, p.span);
      continue;
    }
    const kind = kindOf(item);
    if (kind !== field.kind)
      l.b.fail(
        "TS-222",
        `the compile-time parameter "${field.name}" is ${KINDS[field.kind]}, got ${kind === undefined ? describe(item) : KINDS[kind]}`,
        wanted.given?.span ?? p.span,
      );
    fields.set(field.name, item);
    said[field.name] = inWords(item);
  }
  return { fields, said };
}

/** What the source gives: an object literal field by field, so that what the host knows better need not be readable. */
function sourceOf(l: Lowering, declared: readonly StaticField[], wanted: Wanted): (name: string) => Item | undefined {
  const { given, values } = wanted;
  if (given === undefined) return () => undefined;
  if (given.kind === "record") {
    const expressions = new Map(given.fields.map((f): [string, Expr] => [f.name, f.value]));
    return (name) => {
      const e = expressions.get(name);
      return e === undefined ? undefined : l.item(e);
    };
  }
  if (declared.every((f) => f.kind !== "function" && Object.hasOwn(values, f.name))) return () => undefined;
  const item = l.item(given);
  return (name) => (item.is === "record" ? item.fields.get(name) : undefined);
}

function given(
  l: Lowering,
  field: StaticField,
  wanted: Wanted,
  source: (name: string) => Item | undefined,
): Item | undefined {
  const value = wanted.values[field.name];
  if (value === undefined) return source(field.name);
  if (typeof value === "string") return { is: "text", value };
  if (typeof value === "boolean") return { is: "weak", value: Number(value), truth: true };
  if (!Number.isFinite(value)) l.b.fail("TS-222", `the compile-time parameter "${field.name}" is ${value}`, field.span);
  return { is: "weak", value };
}

function noValue(l: Lowering, fn: FunctionSyntax, field: StaticField, span: Span): never {
  const help =
    field.kind === "function"
      ? `load it with specialise(${fn.name}, { ${field.name}: … }): functions are read there, from the source`
      : `load it with specialise(${fn.name}, { ${field.name}: … }), or give it a default: { ${field.name} = … }`;
  return l.b.fail("TS-221", `the compile-time parameter "${field.name}" of "${fn.name}" has no value`, span, help);
}

function kindOf(item: Item): StaticField["kind"] | undefined {
  if (item.is === "weak") return item.truth === true ? "boolean" : "number";
  if (item.is === "text") return "text";
  return item.is === "function" || item.is === "word" ? "function" : undefined;
}

function inWords(item: Item): StaticValue {
  if (item.is === "weak") return item.truth === true ? item.value !== 0 : item.value;
  if (item.is === "text") return item.value;
  return item.is === "function" ? `${item.fn.name}()` : item.is === "word" ? `${item.name}()` : describe(item);
}

/** What a kernel gives to a parameter of type Static has to be known now. */
export function checkStatic(l: Lowering, item: Item | undefined, span: Span): void {
  if (item?.is !== "record") return;
  for (const [name, value] of item.fields) {
    if (kindOf(value) !== undefined || value.is === "nothing") continue;
    l.b.fail(
      "TS-222",
      `the compile-time parameter "${name}" gets ${describe(value)}, which is not known when compiling`,
      span,
      "sizes and tiles are known later: pass a literal, a constant of the file, or an own parameter",
    );
  }
}
