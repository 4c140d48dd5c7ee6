/**
 * The syntax that was read as text for people: each function of a kernel, a statement a line.
 */
import type { Expr, FunctionSyntax, ModuleSyntax, Stmt } from "./syntax.ts";

/** What was read of one kernel: the functions it is made of, each statement in a line, and the files they stand in. */
export function printSyntax(module: ModuleSyntax, key: string): string {
  const lines: string[] = [];
  const seen = new Set<string>();
  const visit = (k: string): void => {
    const fn = module.functions.get(k);
    if (fn === undefined || seen.has(k)) return;
    seen.add(k);
    const reached: string[] = [];
    lines.push(`${fn.span.file}:${fn.span.line}`, ...functionLines(fn, reached));
    for (const next of reached) visit(next);
  };
  visit(key);
  return lines.join("\n");
}

/** A function as lines; `reached` collects the keys of the functions that it calls. */
function functionLines(fn: FunctionSyntax, reached: string[]): string[] {
  const params = fn.params.map(({ name, type: t }) => {
    if (t.is === "tensor") return `${name}: Tensor<"${t.dims.join(" ")}", ${t.storage.join(" | ")}>`;
    return t.is === "scalar" ? `${name}: Scalar<${t.dtype}>` : name;
  });
  const lines = [`  function ${fn.name}(${params.join(", ")})`];
  const say = (e: Expr): string => expression(e, reached);
  const walk = (body: readonly Stmt[], indent: string): void => {
    for (const s of body) {
      const put = (text: string): void => void lines.push(`${indent}${text}`);
      if (s.kind === "declare") put(`let ${s.name} = ${say(s.value)}`);
      else if (s.kind === "assign") put(`${s.name} ${s.op === "=" ? "" : s.op}= ${say(s.value)}`);
      else if (s.kind === "expression") put(say(s.value));
      else if (s.kind === "unpack")
        put(`${s.declares ? "let " : ""}(${s.targets.map((t) => t.name).join(", ")}) = ${say(s.value)}`);
      else if (s.kind === "return") put(s.value === undefined ? "return" : `return ${say(s.value)}`);
      else if (s.kind === "refused") put(`refused: ${s.what}`);
      else if (s.kind === "block") walk(s.body, indent);
      else if (s.kind === "for") {
        put(`for ${s.name} of ${say(s.source)}`);
        walk(s.body, `${indent}  `);
      } else {
        put(`if ${say(s.test)}`);
        walk(s.yes, `${indent}  `);
        if (s.no.length > 0) put("else");
        walk(s.no, `${indent}  `);
      }
    }
  };
  walk(fn.body, "    ");
  return lines;
}

/**
 * An expression with every operator in brackets and every name marked by what it stands for: `dsl.` for words, `~` for
 * helpers.
 */
function expression(e: Expr, reached: string[]): string {
  const say = (x: Expr): string => expression(x, reached);
  switch (e.kind) {
    case "number":
    case "boolean":
      return String(e.value);
    case "string":
      return JSON.stringify(e.value);
    case "name":
      if (e.symbol.is === "function") reached.push(e.symbol.key);
      if (e.symbol.is === "const") return `${e.text} (= ${say(e.symbol.value)})`;
      return { word: "dsl.", function: "~", local: "", global: "" }[e.symbol.is] + e.text;
    case "call":
      return `${say(e.callee)}(${e.args.map(say).join(", ")})`;
    case "member":
      return `${say(e.object)}.${e.name}`;
    case "unary":
      return `${e.op}${say(e.x)}`;
    case "binary":
      return `(${say(e.a)} ${e.op} ${say(e.b)})`;
    case "conditional":
      return `(${say(e.test)} ? ${say(e.yes)} : ${say(e.no)})`;
    case "array":
      return `[${e.items.map(say).join(", ")}]`;
    case "record":
      return `{ ${e.fields.map((f) => `${f.name}: ${say(f.value)}`).join(", ")} }`;
    case "lambda":
      return `(${e.fn.params.map((p) => p.name).join(", ")}) => …`;
    case "refused":
      return `refused: ${e.what}`;
  }
}
