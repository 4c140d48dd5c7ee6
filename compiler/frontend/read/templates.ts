/**
 * Kernels that an object of another file completes: their compile-time functions are those of the object that is found
 * by its field `name`.
 *
 * The object is read in the source and not run, like any function that a kernel is specialised by; what else it has is
 * the host's.
 */
import { Located } from "../../host/diagnostics.ts";
import type { StaticField, StaticValue, Template, Wanted } from "../syntax.ts";
import type { Convert, FunctionNode } from "./to-syntax.ts";
import { ts } from "./typescript.ts";

/**
 * The kernel `node` with the functions of the object in one of `files`, of which the first is where it is looked for.
 */
export function completed(
  convert: Convert,
  node: FunctionNode,
  template: Template,
  files: readonly ts.SourceFile[],
  values: Readonly<Record<string, StaticValue>>,
): Wanted {
  const fields = functionsOf(convert, node);
  const given = convert.record(objectOf(convert, node, template, files), new Set(fields.map((f) => f.name)));
  return { key: convert.keyOf(node, template.kernel), values, given };
}

/** The object that completes the kernel `node`. Throws TS-102 where there is none, TS-103 where there are two. */
export function objectOf(
  convert: Convert,
  node: FunctionNode,
  { kernel, object }: Template,
  files: readonly ts.SourceFile[],
): ts.ObjectLiteralExpression {
  const fields = functionsOf(convert, node);
  const [first, second] = files.flatMap((file) => named(file, object, new Set(fields.map((f) => f.name))));
  if (first === undefined) {
    const root = files[0] as ts.SourceFile;
    const start = convert.span(root.statements[0] ?? root);
    const wanted = fields.filter((f) => !f.optional).map((f) => f.name);
    throw new Located({
      code: "TS-102",
      message: `no object { name: "${object}", ${wanted.join(", ")} } here, whose ${wanted.join(" and ")} the kernel "${kernel}" takes`,
      span: { ...start, end: start.start },
      help: "functions are read in the source: write the object out in the file whose import.meta it has, with its name as a literal",
    });
  }
  if (second !== undefined)
    throw new Located({
      code: "TS-103",
      message: `two objects are called "${object}": here, and in line ${convert.span(first).line}`,
      span: convert.span(second),
      help: "one name, one object",
    });
  return first;
}

/** The compile-time parameters of a kernel that are functions. */
function functionsOf(convert: Convert, node: FunctionNode): readonly StaticField[] {
  return node.parameters.flatMap((p) => {
    const type = convert.paramType(p);
    return type.is === "static" ? type.fields.filter((f) => f.kind === "function") : [];
  });
}

/** The objects of a file that are called so and have one of the functions. */
function named(file: ts.SourceFile, name: string, functions: ReadonlySet<string>): ts.ObjectLiteralExpression[] {
  const found: ts.ObjectLiteralExpression[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isObjectLiteralExpression(node)) {
      const called = node.properties.some(
        (p) =>
          ts.isPropertyAssignment(p) &&
          p.name.getText(file) === "name" &&
          ts.isStringLiteral(p.initializer) &&
          p.initializer.text === name,
      );
      if (called && node.properties.some((p) => functions.has(p.name?.getText(file) ?? ""))) found.push(node);
    }
    ts.forEachChild(node, visit);
  };
  visit(file);
  return found;
}
