/**
 * Which function a key of `gpu.kernels(import.meta, { key })` means.
 *
 * Functions cannot be told by their names at run time (bundlers change them), so the source is asked: an object of the file that has the key with a kernel or
 * with `specialise(kernel, { … })` says what it is, and without one the key is the name of a function or constant that the file declares or imports.
 */
import { ts } from "ts-morph";
import type { Convert } from "./convert.ts";
import { Located } from "./diagnostics.ts";
import type { StaticValue, Wanted } from "./syntax.ts";

/** What a key stands for: a function, with the object that it is specialised by. */
interface Meaning {
  readonly at: ts.Node;
  readonly node: ts.FunctionDeclaration;
  readonly given?: ts.Expression;
}

/** A field of an object, which may be one that is passed to `….kernels(import.meta, …)`. */
interface Property {
  readonly property: ts.ObjectLiteralElementLike;
  readonly loads: boolean;
}

export class FindKernels {
  readonly #convert: Convert;
  readonly #root: ts.SourceFile;
  readonly #specialise: string;
  #found: ReadonlyMap<string, readonly Property[]> | undefined;

  /** `specialise` is the file that declares the function of that name. */
  constructor(convert: Convert, root: ts.SourceFile, specialise: string) {
    this.#convert = convert;
    this.#root = root;
    this.#specialise = specialise;
  }

  find(name: string, values: Readonly<Record<string, StaticValue>>): Wanted {
    const { node, given } = this.#inObjects(name, values) ?? this.#declared(name);
    return {
      key: this.#convert.keyOf(node, node.name?.text ?? name),
      values,
      ...(given === undefined ? {} : { given: this.#convert.expression(given) }),
    };
  }

  /** What the objects of the file that have the key say; those passed to `….kernels(import.meta, …)` come first. */
  #inObjects(name: string, values: Readonly<Record<string, StaticValue>>): Meaning | undefined {
    const loaded: Meaning[] = [];
    const others: Meaning[] = [];
    for (const { property, loads } of this.#properties().get(name) ?? []) {
      const meaning = this.#ofProperty(property);
      if (meaning !== undefined) (loads ? loaded : others).push(meaning);
    }
    const found = loaded.length > 0 ? loaded : others.filter((m) => takesTensors(m.node));
    const [first] = found;
    if (first === undefined) return undefined;
    // An object that is not passed to kernels() here may be about something else: the file's own function of that name must not be passed over.
    const own = loaded.length > 0 ? undefined : this.#ofSymbol(this.#symbol(name), this.#root);
    const other =
      found.find((m) => this.#identity(m, values) !== this.#identity(first, values)) ??
      (own !== undefined && own.node !== first.node ? { ...own, at: own.node } : undefined);
    if (other === undefined) return first;
    const { line, column } = this.#convert.span(first.at);
    throw new Located({
      code: "TS-103",
      message: `"${name}" stands for two kernels in this file: here, and in line ${line}, column ${column}`,
      span: this.#convert.span(other.at),
      help: "one name, one kernel: rename one of the keys",
    });
  }

  /** Every field of every object of the file, by name. */
  #properties(): ReadonlyMap<string, readonly Property[]> {
    if (this.#found !== undefined) return this.#found;
    const found = new Map<string, Property[]>();
    const visit = (node: ts.Node): void => {
      if (ts.isObjectLiteralExpression(node)) {
        const call = node.parent;
        const loads =
          ts.isCallExpression(call) &&
          ts.isPropertyAccessExpression(call.expression) &&
          call.expression.name.text === "kernels" &&
          call.arguments[0]?.getText() === "import.meta";
        for (const property of node.properties) {
          const name = property.name;
          if (name === undefined || !(ts.isIdentifier(name) || ts.isStringLiteral(name))) continue;
          found.set(name.text, [...(found.get(name.text) ?? []), { property, loads }]);
        }
      }
      ts.forEachChild(node, visit);
    };
    visit(this.#root);
    this.#found = found;
    return found;
  }

  #ofProperty(p: ts.ObjectLiteralElementLike): Meaning | undefined {
    if (ts.isShorthandPropertyAssignment(p))
      return this.#ofSymbol(this.#convert.checker.getShorthandAssignmentValueSymbol(p), p);
    return ts.isPropertyAssignment(p) ? this.#ofExpression(p.initializer, p) : undefined;
  }

  #ofExpression(e: ts.Expression, at: ts.Node): Meaning | undefined {
    if (ts.isIdentifier(e)) return this.#ofSymbol(this.#convert.checker.getSymbolAtLocation(e), at);
    if (ts.isParenthesizedExpression(e) || ts.isAsExpression(e) || ts.isSatisfiesExpression(e))
      return this.#ofExpression(e.expression, at);
    const [kernel, given] = ts.isCallExpression(e) ? e.arguments : [];
    if (!ts.isCallExpression(e) || kernel === undefined || given === undefined || !this.#isSpecialise(e.expression))
      return undefined;
    const meaning = this.#ofExpression(kernel, at);
    return meaning === undefined ? undefined : { ...meaning, given };
  }

  #isSpecialise(callee: ts.Expression): boolean {
    const symbol = this.#convert.checker.getSymbolAtLocation(callee);
    const declared = symbol === undefined ? undefined : this.#convert.declaration(symbol);
    return declared?.getSourceFile().fileName === this.#specialise;
  }

  #ofSymbol(symbol: ts.Symbol | undefined, at: ts.Node): Meaning | undefined {
    const node = symbol === undefined ? undefined : this.#convert.declaration(symbol);
    if (node === undefined) return undefined;
    if (ts.isFunctionDeclaration(node)) return node.body === undefined ? undefined : { node, at };
    return ts.isVariableDeclaration(node) && node.initializer !== undefined
      ? this.#ofExpression(node.initializer, at)
      : undefined;
  }

  /** Two meanings are one when they would compile to the same; values that the host gave do not count. */
  #identity({ node, given }: Meaning, values: Readonly<Record<string, StaticValue>>): string {
    const { fileName } = node.getSourceFile();
    const parts =
      given !== undefined && ts.isObjectLiteralExpression(given)
        ? given.properties.filter((p) => !Object.hasOwn(values, p.name?.getText() ?? "")).map((p) => p.getText())
        : [given?.getText() ?? ""];
    return [`${fileName}:${node.pos}`, ...parts.sort()].join("\n");
  }

  /** What the file declares, imports or exports as `name`. */
  #symbol(name: string): ts.Symbol | undefined {
    const { checker } = this.#convert;
    const root = this.#root as ts.SourceFile & { locals?: Map<string, ts.Symbol> };
    const module = checker.getSymbolAtLocation(root);
    const exported = module === undefined ? undefined : checker.getExportsOfModule(module).find((s) => s.name === name);
    return root.locals?.get(name) ?? exported;
  }

  /** The function or constant that the file declares, imports or exports as `name`. */
  #declared(name: string): Meaning {
    const root = this.#root;
    const symbol = this.#symbol(name);
    const meaning = this.#ofSymbol(symbol, root);
    if (meaning !== undefined) return meaning;
    const node = symbol === undefined ? undefined : this.#convert.declaration(symbol);
    const start = this.#convert.span(node ?? root.statements[0] ?? root);
    const functions = root.statements.flatMap((s) => (ts.isFunctionDeclaration(s) ? (s.name?.text ?? []) : []));
    const has = functions.length === 0 ? "" : `; functions here: ${functions.join(", ")}`;
    throw new Located({
      code: "TS-102",
      message: `${node === undefined ? "no kernel" : "no function"} "${name}" here: gpu.kernels(import.meta, { ${name} }) looks for a function declared or imported under that name`,
      span: node === undefined ? { ...start, end: start.start } : start,
      help: `write \`export function ${name}(…): void { … }\` in this file, or import it under that name${has}`,
    });
  }
}

function takesTensors(node: ts.FunctionDeclaration): boolean {
  return node.parameters.some((p) => /\bTensor\s*</.test(p.type?.getText() ?? ""));
}
