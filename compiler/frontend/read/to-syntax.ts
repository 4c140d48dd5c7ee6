/**
 * TypeScript nodes to our syntax tree.
 *
 * Part of the front end (source.ts owns the program, this file the mapping). Names are resolved here, once: a name is a
 * local, a word of the language, a helper function, a module constant or something global. Functions are converted when
 * first reached, so host code in the same file is never looked at.
 */

import type { Span } from "../../host/source-text.ts";
import type { Expr, FunctionSyntax, ParamType, Stmt, Symbol_, Target } from "../syntax.ts";
import { isOptional, paramType } from "./param-types.ts";
import { ts } from "./typescript.ts";

export type FunctionNode = ts.FunctionDeclaration | ts.ArrowFunction | ts.FunctionExpression | ts.MethodDeclaration;

const BINARY: ReadonlyMap<ts.SyntaxKind, string> = new Map(
  Object.entries({
    PlusToken: "+",
    MinusToken: "-",
    AsteriskToken: "*",
    SlashToken: "/",
    PercentToken: "%",
    AsteriskAsteriskToken: "**",
    LessThanToken: "<",
    LessThanEqualsToken: "<=",
    GreaterThanToken: ">",
    GreaterThanEqualsToken: ">=",
    EqualsEqualsEqualsToken: "===",
    ExclamationEqualsEqualsToken: "!==",
    EqualsEqualsToken: "==",
    ExclamationEqualsToken: "!=",
    QuestionQuestionToken: "??",
    AmpersandAmpersandToken: "&&",
    BarBarToken: "||",
    AmpersandToken: "&",
    BarToken: "|",
    CaretToken: "^",
    LessThanLessThanToken: "<<",
    GreaterThanGreaterThanToken: ">>",
    GreaterThanGreaterThanGreaterThanToken: ">>>",
  }).map(([name, op]) => [ts.SyntaxKind[name as keyof typeof ts.SyntaxKind], op]),
);

const ASSIGN: ReadonlyMap<ts.SyntaxKind, string> = new Map<ts.SyntaxKind, string>([
  [ts.SyntaxKind.EqualsToken, ""],
  [ts.SyntaxKind.PlusEqualsToken, "+"],
  [ts.SyntaxKind.MinusEqualsToken, "-"],
  [ts.SyntaxKind.AsteriskEqualsToken, "*"],
  [ts.SyntaxKind.SlashEqualsToken, "/"],
  [ts.SyntaxKind.PercentEqualsToken, "%"],
  [ts.SyntaxKind.AmpersandEqualsToken, "&"],
  [ts.SyntaxKind.BarEqualsToken, "|"],
  [ts.SyntaxKind.CaretEqualsToken, "^"],
  [ts.SyntaxKind.LessThanLessThanEqualsToken, "<<"],
  [ts.SyntaxKind.GreaterThanGreaterThanEqualsToken, ">>"],
]);

/** What a reader calls the parts of TypeScript that kernels do not have, and what to write instead. */
const REFUSED: ReadonlyMap<ts.SyntaxKind, readonly [what: string, hint?: string]> = new Map<
  ts.SyntaxKind,
  readonly [what: string, hint?: string]
>([
  [ts.SyntaxKind.BreakStatement, ["break", "loops run to their end: choose with select() or an if"]],
  [ts.SyntaxKind.ContinueStatement, ["continue", "put the rest of the body into an if"]],
  [ts.SyntaxKind.SwitchStatement, ["a switch", "write if … else if"]],
  [ts.SyntaxKind.ForInStatement, ["a for … in loop", "write `for (const i of over(…))`"]],
  [ts.SyntaxKind.ThrowStatement, ["throw"]],
  [ts.SyntaxKind.TryStatement, ["try"]],
  [ts.SyntaxKind.FunctionDeclaration, ["a function inside a function", "declare it in the file, or as a const arrow"]],
  [ts.SyntaxKind.ClassDeclaration, ["a class"]],
  [ts.SyntaxKind.ElementAccessExpression, ["indexing with [ ]", "load with t.at(i), store with t.set([i], value)"]],
  [ts.SyntaxKind.TemplateExpression, ["a template string"]],
  [ts.SyntaxKind.NewExpression, ["new"]],
  [ts.SyntaxKind.AwaitExpression, ["await"]],
  [ts.SyntaxKind.YieldExpression, ["yield"]],
  [ts.SyntaxKind.TypeOfExpression, ["typeof"]],
  [ts.SyntaxKind.VoidExpression, ["void"]],
  [ts.SyntaxKind.DeleteExpression, ["delete"]],
  [ts.SyntaxKind.NullKeyword, ["null"]],
  [ts.SyntaxKind.ThisKeyword, ["this"]],
  [ts.SyntaxKind.BigIntLiteral, ["a bigint", "32-bit integers are written without n"]],
  [ts.SyntaxKind.SpreadElement, ["..."]],
  [ts.SyntaxKind.RegularExpressionLiteral, ["a regular expression"]],
]);

function nameOf(node: ts.Node): readonly [what: string, hint?: string] {
  const words = (ts.SyntaxKind[node.kind] ?? "").replace(/(?<=[a-z])(?=[A-Z])/g, " ").toLowerCase();
  return REFUSED.get(node.kind) ?? [`this (${words})`];
}

export class Convert {
  readonly functions: Map<string, FunctionSyntax> = new Map<string, FunctionSyntax>();
  /** Files with the functions of theirs that were converted: where type complaints count. */
  readonly reached: Map<ts.SourceFile, ts.Node[]> = new Map<ts.SourceFile, ts.Node[]>();
  readonly checker: ts.TypeChecker;
  readonly #words: string;
  readonly #types: string;
  readonly #locals: Map<ts.Symbol, number> = new Map<ts.Symbol, number>();
  readonly #keys: Map<ts.Node, string> = new Map<ts.Node, string>();
  readonly #waiting: [key: string, name: string, node: FunctionNode][] = [];

  constructor(checker: ts.TypeChecker, words: string, types: string) {
    this.checker = checker;
    this.#words = words;
    this.#types = types;
  }

  /** Converts every function that was reached. */
  finish(): void {
    for (let next = this.#waiting.pop(); next !== undefined; next = this.#waiting.pop()) {
      const [key, name, node] = next;
      this.functions.set(key, this.#function(node, node.name?.getText() ?? name));
    }
  }

  keyOf(node: FunctionNode, name: string): string {
    const known = this.#keys.get(node);
    if (known !== undefined) return known;
    const key = `${node.getSourceFile().fileName}#${name}`;
    this.#keys.set(node, key);
    this.#waiting.push([key, name, node]);
    return key;
  }

  declaration(symbol: ts.Symbol): ts.Declaration | undefined {
    const target = symbol.flags & ts.SymbolFlags.Alias ? this.checker.getAliasedSymbol(symbol) : symbol;
    // Of an overloaded function it is the one with a body.
    const whole = target.declarations?.find((d) => ts.isFunctionDeclaration(d) && d.body !== undefined);
    return whole ?? target.valueDeclaration ?? target.declarations?.[0];
  }

  /** The type of a function's parameter, as far as kernels care. */
  paramType(p: ts.ParameterDeclaration): ParamType {
    return paramType(this.checker, this.#types, p, this.span(p));
  }

  span(node: ts.Node): Span {
    const file = node.getSourceFile();
    const start = node.getStart(file);
    const place = file.getLineAndCharacterOfPosition(start);
    return { file: file.fileName, start, end: node.end, line: place.line + 1, column: place.character + 1 };
  }

  #local(symbol: ts.Symbol): number {
    let id = this.#locals.get(symbol);
    if (id === undefined) {
      id = this.#locals.size;
      this.#locals.set(symbol, id);
    }
    return id;
  }

  #binding(name: ts.BindingName): { id: number; name: string } | undefined {
    const symbol = ts.isIdentifier(name) ? this.checker.getSymbolAtLocation(name) : undefined;
    return symbol === undefined ? undefined : { id: this.#local(symbol), name: name.getText() };
  }

  #function(node: FunctionNode, name: string): FunctionSyntax {
    const file = node.getSourceFile();
    const reached = this.reached.get(file) ?? [];
    reached.push(node);
    this.reached.set(file, reached);
    const params = node.parameters.map((p) => {
      const bound = this.#binding(p.name) ?? { id: -1, name: p.name.getText() };
      const targets = ts.isObjectBindingPattern(p.name) ? this.#targets(p.name) : undefined;
      return {
        ...bound,
        type: this.paramType(p),
        span: this.span(p),
        optional: isOptional(p),
        ...(targets === undefined ? {} : { targets }),
        ...(p.initializer === undefined ? {} : { fallback: this.expression(p.initializer) }),
      };
    });
    const body = node.body;
    if (body === undefined) return { name, params, body: [], span: this.span(node) };
    const statements: Stmt[] = ts.isBlock(body)
      ? body.statements.flatMap((s) => this.#statement(s))
      : [{ kind: "return", implied: true, value: this.expression(body), span: this.span(body) }];
    return { name, params, body: statements, span: this.span(node.name ?? node) };
  }

  #statement(node: ts.Statement): Stmt[] {
    const span = this.span(node);
    const refuse = (what: string, hint?: string): Stmt[] => [
      { kind: "refused", what, span, ...(hint === undefined ? {} : { hint }) },
    ];
    if (ts.isVariableStatement(node)) {
      return node.declarationList.declarations.map((d): Stmt => {
        const targets = this.#targets(d.name);
        if (targets !== undefined && d.initializer !== undefined)
          return { kind: "unpack", declares: true, targets, value: this.expression(d.initializer), span: this.span(d) };
        const bound = this.#binding(d.name);
        if (bound === undefined)
          return {
            kind: "refused",
            what: "this form of destructuring",
            span: this.span(d.name),
            hint: "take a list or an object apart into plain names: [a, b] = … or { a, b } = …",
          };
        if (d.initializer === undefined)
          return { kind: "refused", what: `"${bound.name}" without a first value`, span: this.span(d) };
        return { kind: "declare", ...bound, value: this.expression(d.initializer), span: this.span(d) };
      });
    }
    if (ts.isExpressionStatement(node)) {
      const e = node.expression;
      if (ts.isBinaryExpression(e)) {
        const op = ASSIGN.get(e.operatorToken.kind);
        if (op === "" && ts.isArrayLiteralExpression(e.left)) {
          const targets = e.left.elements.map((x, part) => this.#assigned(x, part));
          if (targets.every((t) => t !== undefined))
            return [{ kind: "unpack", declares: false, targets, value: this.expression(e.right), span }];
        }
        if (op !== undefined) {
          const symbol = ts.isIdentifier(e.left) ? this.checker.getSymbolAtLocation(e.left) : undefined;
          if (symbol === undefined)
            return refuse(
              "an assignment to something other than a variable",
              "store into a tensor with t.set([index], value)",
            );
          return [
            {
              kind: "assign",
              id: this.#local(symbol),
              name: e.left.getText(),
              op,
              value: this.expression(e.right),
              span,
            },
          ];
        }
      }
      return [{ kind: "expression", value: this.expression(e), span }];
    }
    if (ts.isForOfStatement(node)) {
      const list = ts.isVariableDeclarationList(node.initializer) ? node.initializer.declarations[0] : undefined;
      const bound = list === undefined ? undefined : this.#binding(list.name);
      if (bound === undefined) return refuse("this form of loop variable", "write `for (const i of over(…))`");
      return [
        { kind: "for", ...bound, source: this.expression(node.expression), body: this.#block(node.statement), span },
      ];
    }
    if (ts.isIfStatement(node)) {
      const no = node.elseStatement === undefined ? [] : this.#block(node.elseStatement);
      return [{ kind: "if", test: this.expression(node.expression), yes: this.#block(node.thenStatement), no, span }];
    }
    if (ts.isBlock(node)) return [{ kind: "block", body: this.#block(node), span }];
    if (ts.isReturnStatement(node)) {
      return [
        { kind: "return", value: node.expression === undefined ? undefined : this.expression(node.expression), span },
      ];
    }
    if (ts.isEmptyStatement(node)) return [];
    if (ts.isForStatement(node))
      return refuse(
        "a C-style loop",
        'write `for (const i of range(n))` (scalars) or `for (const i of over("dim"))` (blocks)',
      );
    if (ts.isWhileStatement(node) || ts.isDoStatement(node))
      return refuse("a while loop", "loops have a length: use over, range or unroll");
    return refuse(...nameOf(node));
  }

  #block(node: ts.Statement): Stmt[] {
    return ts.isBlock(node) ? node.statements.flatMap((s) => this.#statement(s)) : this.#statement(node);
  }

  expression(node: ts.Expression): Expr {
    const span = this.span(node);
    const sub = (e: ts.Expression): Expr => this.expression(e);
    if (
      ts.isParenthesizedExpression(node) ||
      ts.isAsExpression(node) ||
      ts.isNonNullExpression(node) ||
      ts.isSatisfiesExpression(node)
    )
      return sub(node.expression);
    if (ts.isNumericLiteral(node)) return { kind: "number", value: Number(node.text.replaceAll("_", "")), span };
    if (ts.isStringLiteralLike(node)) return { kind: "string", value: node.text, span };
    if (node.kind === ts.SyntaxKind.TrueKeyword || node.kind === ts.SyntaxKind.FalseKeyword) {
      return { kind: "boolean", value: node.kind === ts.SyntaxKind.TrueKeyword, span };
    }
    if (ts.isIdentifier(node)) return { kind: "name", text: node.text, symbol: this.#symbol(node), span };
    if (ts.isCallExpression(node))
      return { kind: "call", callee: sub(node.expression), args: node.arguments.map(sub), span };
    if (ts.isPropertyAccessExpression(node))
      return { kind: "member", object: sub(node.expression), name: node.name.text, span };
    if (ts.isPrefixUnaryExpression(node)) {
      const op = {
        [ts.SyntaxKind.MinusToken]: "-",
        [ts.SyntaxKind.ExclamationToken]: "!",
        [ts.SyntaxKind.TildeToken]: "~",
        [ts.SyntaxKind.PlusToken]: "+",
      }[node.operator as ts.SyntaxKind.MinusToken];
      if (op !== undefined) return { kind: "unary", op, x: sub(node.operand), span };
      return { kind: "refused", what: "++ or --", hint: "write `i += 1`", span };
    }
    if (ts.isBinaryExpression(node)) {
      const op = BINARY.get(node.operatorToken.kind);
      if (op !== undefined) return { kind: "binary", op, a: sub(node.left), b: sub(node.right), span };
      return { kind: "refused", what: `the operator ${node.operatorToken.getText()} inside an expression`, span };
    }
    if (ts.isConditionalExpression(node)) {
      return { kind: "conditional", test: sub(node.condition), yes: sub(node.whenTrue), no: sub(node.whenFalse), span };
    }
    if (ts.isArrayLiteralExpression(node)) return { kind: "array", items: node.elements.map(sub), span };
    if (ts.isObjectLiteralExpression(node)) return this.record(node);
    if (ts.isArrowFunction(node) || ts.isFunctionExpression(node))
      return { kind: "lambda", fn: this.#function(node, "(arrow)"), span };
    if (ts.isPostfixUnaryExpression(node)) return { kind: "refused", what: "++ or --", hint: "write `i += 1`", span };
    const [what, hint] = nameOf(node);
    return { kind: "refused", what, span, ...(hint === undefined ? {} : { hint }) };
  }

  /** An object with all of its fields, or with those called `only`: the others are the host's and not looked at. */
  record(node: ts.ObjectLiteralExpression, only?: ReadonlySet<string>): Expr {
    const span = this.span(node);
    const fields: { name: string; value: Expr }[] = [];
    for (const p of node.properties) {
      if (only !== undefined && !only.has(p.name?.getText() ?? "")) continue;
      if (p.name === undefined || ts.isComputedPropertyName(p.name) || ts.isAccessor(p))
        return { kind: "refused", what: "an object with ... or computed fields", span: this.span(p) };
      const name = ts.isIdentifier(p.name) || ts.isStringLiteral(p.name) ? p.name.text : p.name.getText();
      if (ts.isPropertyAssignment(p)) fields.push({ name, value: this.expression(p.initializer) });
      else if (ts.isMethodDeclaration(p))
        fields.push({ name, value: { kind: "lambda", fn: this.#function(p, name), span: this.span(p) } });
      else {
        const symbol = this.checker.getShorthandAssignmentValueSymbol(p);
        fields.push({
          name,
          value: { kind: "name", text: name, symbol: this.#meaning(symbol, name), span: this.span(p) },
        });
      }
    }
    return { kind: "record", fields, span };
  }

  /**
   * The names that a pattern gives to the parts of a list or an object; undefined where it is no pattern, or one that
   * goes deeper.
   */
  #targets(name: ts.BindingName): Target[] | undefined {
    if (ts.isIdentifier(name)) return undefined;
    const targets: Target[] = [];
    for (const [part, element] of name.elements.entries()) {
      if (ts.isOmittedExpression(element)) continue;
      const bound = this.#binding(element.name);
      const key = element.propertyName ?? element.name;
      if (bound === undefined || element.dotDotDotToken !== undefined || ts.isComputedPropertyName(key))
        return undefined;
      targets.push({
        ...bound,
        part: ts.isArrayBindingPattern(name) ? part : key.getText(),
        span: this.span(element),
        ...(element.initializer === undefined ? {} : { fallback: this.expression(element.initializer) }),
      });
    }
    return targets;
  }

  /** One variable of `[a, b] = …`. */
  #assigned(node: ts.Expression, part: number): Target | undefined {
    const symbol = ts.isIdentifier(node) ? this.checker.getSymbolAtLocation(node) : undefined;
    return symbol === undefined
      ? undefined
      : { id: this.#local(symbol), name: node.getText(), part, span: this.span(node) };
  }

  #symbol(node: ts.Identifier): Symbol_ {
    return this.#meaning(this.checker.getSymbolAtLocation(node), node.text);
  }

  #meaning(symbol: ts.Symbol | undefined, text: string): Symbol_ {
    const declared = symbol === undefined ? undefined : this.declaration(symbol);
    if (symbol === undefined || declared === undefined) return { is: "global", name: text };
    const file = declared.getSourceFile().fileName;
    if (ts.isFunctionDeclaration(declared)) {
      return file === this.#words
        ? { is: "word", name: declared.name?.text ?? text }
        : { is: "function", key: this.keyOf(declared, declared.name?.text ?? text) };
    }
    if (ts.isParameter(declared) || ts.isBindingElement(declared)) return { is: "local", id: this.#local(symbol) };
    if (ts.isVariableDeclaration(declared)) {
      const top = ts.isVariableStatement(declared.parent.parent) && ts.isSourceFile(declared.parent.parent.parent);
      if (!top)
        return declared.parent.parent.getSourceFile().isDeclarationFile
          ? { is: "global", name: text }
          : { is: "local", id: this.#local(symbol) };
      const constant = (declared.parent.flags & ts.NodeFlags.Const) !== 0;
      const init = declared.initializer;
      if (constant && init !== undefined && (ts.isArrowFunction(init) || ts.isFunctionExpression(init))) {
        return { is: "function", key: this.keyOf(init, text) };
      }
      if (constant && init !== undefined) return { is: "const", value: this.expression(init) };
    }
    return { is: "global", name: text };
  }
}
