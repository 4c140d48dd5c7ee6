/**
 * Which function a key of `gpu.kernels(import.meta, { key })` means.
 *
 * Functions cannot be told by their names at run time (bundlers change them), so the source is asked: an object of the
 * file that has the key with a kernel or with `specialise(kernel, { … })` says what it is, and without one the key is
 * the name of a function or constant that the file declares or imports.
 */

import { jsdocHelp, Located } from "../../host/diagnostics.ts";
import type { StaticValue, Wanted } from "../syntax.ts";
import { isJavaScript } from "./javascript.ts";
import { typeOf } from "./param-types.ts";
import type { Convert, FunctionNode } from "./to-syntax.ts";
import { ts } from "./typescript.ts";

/** What a key stands for: a function, with the object that it is specialised by. */
interface Meaning {
  readonly at: ts.Node;
  readonly node: FunctionNode;
  readonly given?: ts.Expression;
}

/** A kernel that a file has. */
export interface Listed {
  /** What `gpu.kernels` of that file knows it by. */
  readonly name: string;
  /** The file that it is written in. */
  readonly file: string;
  /** Its text, with the comment above it. */
  readonly source: string;
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
    this.#refuse(node, name);
    return {
      key: this.#convert.keyOf(node, node.name?.getText() ?? name),
      values,
      ...(given === undefined ? {} : { given: this.#convert.expression(given) }),
    };
  }

  /** The function that the file declares, imports or exports as `name`. */
  declared(name: string): FunctionNode {
    return this.#declared(name).node;
  }

  /**
   * Every kernel of the file, in its order: those that it exports, and the keys of those that it loads or specialises.
   */
  list(): readonly Listed[] {
    const { checker } = this.#convert;
    const found: { readonly at: number; readonly name: string; readonly meaning: Meaning }[] = [];
    const module = checker.getSymbolAtLocation(this.#root);
    for (const symbol of module === undefined ? [] : checker.getExportsOfModule(module)) {
      const meaning = this.#ofSymbol(symbol, this.#root);
      if (meaning === undefined || !(meaning.given !== undefined || this.#isKernel(meaning.node))) continue;
      const own = symbol.name === ts.InternalSymbolName.Default ? meaning.node.name?.getText() : undefined;
      const at = symbol.declarations?.find((d) => d.getSourceFile() === this.#root)?.pos ?? this.#root.end;
      found.push({ at, name: own ?? symbol.name, meaning });
    }
    for (const statement of this.#root.statements) {
      for (const d of ts.isVariableStatement(statement) ? statement.declarationList.declarations : []) {
        const meaning = d.initializer === undefined ? undefined : this.#ofExpression(d.initializer, d);
        if (meaning?.given !== undefined) found.push({ at: d.pos, name: d.name.getText(), meaning });
      }
    }
    for (const [name, properties] of this.#properties()) {
      for (const { property, loads } of properties) {
        const meaning = this.#ofProperty(property);
        if (meaning !== undefined && (meaning.given !== undefined || (loads && this.#isKernel(meaning.node))))
          found.push({ at: property.pos, name, meaning });
      }
    }
    const named = new Map<string, Meaning>();
    for (const { name, meaning } of found.sort((a, b) => a.at - b.at)) if (!named.has(name)) named.set(name, meaning);
    return [...named].map(([name, { node }]) => ({
      name,
      file: node.getSourceFile().fileName,
      source: this.textOf(node),
    }));
  }

  /**
   * A function of no result with a tensor among its parameters, whose compile-time parameters have values. Those that
   * are not plain functions count as well: asking for them says why they are none.
   */
  #isKernel(node: FunctionNode): boolean {
    if (!this.#takesTensors(node)) return false;
    for (const p of node.parameters) {
      const type = this.#convert.paramType(p);
      if (type.is !== "static") continue;
      const fallbacks = new Set(
        ts.isObjectBindingPattern(p.name)
          ? p.name.elements.filter((e) => e.initializer !== undefined).map((e) => (e.propertyName ?? e.name).getText())
          : [],
      );
      if (type.fields.some((f) => !f.optional && !fallbacks.has(f.name))) return false;
    }
    if (notPlain(node) !== undefined) return true;
    const { checker } = this.#convert;
    const signature = checker.getSignatureFromDeclaration(node);
    return signature !== undefined && (checker.getReturnTypeOfSignature(signature).flags & ts.TypeFlags.Void) !== 0;
  }

  #takesTensors(node: FunctionNode): boolean {
    return node.parameters.some((p) => this.#convert.paramType(p).is === "tensor");
  }

  /**
   * The text of a function, or of the statement that an object stands in, with its other signatures and with the
   * comments that stand right above it.
   */
  textOf(node: FunctionNode | ts.ObjectLiteralExpression): string {
    const file = node.getSourceFile();
    const called = ts.isObjectLiteralExpression(node) ? undefined : node.name;
    const declared = called === undefined ? undefined : this.#convert.checker.getSymbolAtLocation(called);
    const first =
      declared?.declarations?.find((d) => d.getSourceFile() === file && ts.isFunctionDeclaration(d)) ?? node;
    const statement = ts.findAncestor(first, (n) => n.parent === file) ?? first;
    let start = statement.getStart(file);
    for (const { pos, end } of [...(ts.getLeadingCommentRanges(file.text, statement.pos) ?? [])].reverse()) {
      if (/\n\s*\n/.test(file.text.slice(end, start))) break;
      start = pos;
    }
    const whole = ts.findAncestor(node, (n) => n.parent === file) ?? node;
    return file.text.slice(start, whole.end);
  }

  /** Throws where a function cannot be a kernel, whatever its text. */
  #refuse(node: FunctionNode, name: string): void {
    const what = notPlain(node);
    if (what !== undefined)
      throw new Located({
        code: "TS-102",
        message: `"${name}" is ${what}, and a kernel is a plain one`,
        span: this.#convert.span(node.name ?? node),
        help: "a kernel is never run by JavaScript, so there is nothing to wait for or to yield",
      });
    if (!isJavaScript(node.getSourceFile().fileName) || node.parameters.length === 0 || this.#takesTensors(node))
      return;
    if (node.parameters.some((p) => typeOf(p) !== undefined)) return;
    const [x] = node.parameters;
    throw new Located({
      code: "TS-104",
      message: `nothing says the types of "${name}"'s parameters: in JavaScript they stand in the comment above it`,
      span: this.#convert.span(node.name ?? node),
      help: jsdocHelp(x?.name.getText() ?? "x"),
    });
  }

  /** What the objects of the file that have the key say; those passed to `….kernels(import.meta, …)` come first. */
  #inObjects(name: string, values: Readonly<Record<string, StaticValue>>): Meaning | undefined {
    const loaded: Meaning[] = [];
    const others: Meaning[] = [];
    for (const { property, loads } of this.#properties().get(name) ?? []) {
      const meaning = this.#ofProperty(property);
      if (meaning !== undefined) (loads ? loaded : others).push(meaning);
    }
    const found = loaded.length > 0 ? loaded : others.filter((m) => this.#takesTensors(m.node));
    const [first] = found;
    if (first === undefined) return undefined;
    // An object that is not passed to kernels() here may be about something else: the file's own function of that name
    // must not be passed over.
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
    if (ts.isArrowFunction(e) || ts.isFunctionExpression(e)) return { node: e, at };
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
    if (ts.isExportAssignment(node)) return this.#ofExpression(node.expression, at);
    return ts.isVariableDeclaration(node) && node.initializer !== undefined && isConstant(node)
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

/** What a function is that is no plain one. */
function notPlain(node: FunctionNode): string | undefined {
  const async = node.modifiers?.some((m) => m.kind === ts.SyntaxKind.AsyncKeyword) ?? false;
  if (!ts.isArrowFunction(node) && node.asteriskToken !== undefined) return "a generator";
  return async ? "an async function" : undefined;
}

function isConstant(node: ts.VariableDeclaration): boolean {
  return (node.parent.flags & ts.NodeFlags.Const) !== 0;
}
