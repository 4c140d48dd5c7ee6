/**
 * The declared type of a parameter, as far as kernels care: a tensor, a scalar, compile-time values, or something else.
 *
 * Part of the front end, which asks TypeScript's checker. Types of ours are known by where they are declared, not by
 * their name.
 */

import type { Span } from "../../host/source-text.ts";
import type { ParamType, StaticField } from "../syntax.ts";
import { isJavaScript } from "./javascript.ts";
import { ts } from "./typescript.ts";

/** `types` is the file that declares the language's types. */
export function paramType(
  checker: ts.TypeChecker,
  types: string,
  param: ts.ParameterDeclaration,
  span: Span,
): ParamType {
  const node = typeOf(param);
  const text = node === undefined ? "no type" : `the type ${node.getText()}`;
  if (node === undefined && !fromContext(param)) return { is: "other", text };
  const told = node === undefined ? checker.getTypeAtLocation(param) : checker.getTypeFromTypeNode(node);
  // An optional parameter of TypeScript's keeps its type; JSDoc's `T=` is T or undefined.
  const type = isOptional(param) ? checker.getNonNullableType(told) : told;
  const ours = (s: ts.Symbol | undefined): string | undefined =>
    s?.declarations?.some((d) => d.getSourceFile().fileName === types) ? s.name : undefined;
  const words = (t: ts.Type | undefined): string[] =>
    t === undefined ? [] : (t.isUnion() ? t.types : [t]).flatMap((x) => (x.isStringLiteral() ? [x.value] : []));
  if (ours(type.symbol) === "Tensor") {
    const [dims, storage] = checker.getTypeArguments(type as ts.TypeReference);
    const names = words(dims);
    const generic = storage?.isTypeParameter() ? storage.symbol.name : undefined;
    const stored = words(
      generic === undefined || storage === undefined ? storage : checker.getBaseConstraintOfType(storage),
    );
    if (names.length === 1)
      return {
        is: "tensor",
        dims: (names[0] ?? "").split(/\s+/).filter(Boolean),
        storage: stored,
        ...(generic === undefined ? {} : { generic }),
      };
  }
  if (ours(type.aliasSymbol) === "Scalar") {
    const dtype = words(type.aliasTypeArguments?.[0])[0];
    return { is: "scalar", dtype: dtype ?? "f32" };
  }
  // An alias of the user's hides the name Static; its brand stays.
  const properties = type.getProperties();
  if (!properties.some((p) => ours(p) !== undefined && p.name.startsWith("__@FIXED@"))) return { is: "other", text };
  return {
    is: "static",
    fields: properties.filter((p) => ours(p) === undefined).map((p) => fieldOf(checker, p, span)),
  };
}

/** The type that is written for a parameter, in JavaScript in the comment above its function. */
export function typeOf(param: ts.ParameterDeclaration): ts.TypeNode | undefined {
  return param.type ?? (isJavaScript(param.getSourceFile().fileName) ? ts.getJSDocType(param) : undefined);
}

/**
 * True where a parameter may have its type from that of the whole function: `const k: Kernel = (x) => …`, or
 * `@type {Kernel}`.
 */
function fromContext(param: ts.ParameterDeclaration): boolean {
  const { parent } = param.parent;
  return (
    (ts.isVariableDeclaration(parent) && parent.type !== undefined) || isJavaScript(param.getSourceFile().fileName)
  );
}

/** It may be left out: `x?: T`, `x = 1`, and in JavaScript `@param {T} [x]` or `@param {T=} x`. */
export function isOptional(param: ts.ParameterDeclaration): boolean {
  if (param.questionToken !== undefined || param.initializer !== undefined) return true;
  return (
    isJavaScript(param.getSourceFile().fileName) &&
    ts
      .getJSDocParameterTags(param)
      .some((t) => t.isBracketed || t.typeExpression?.type.kind === ts.SyntaxKind.JSDocOptionalType)
  );
}

function fieldOf(checker: ts.TypeChecker, p: ts.Symbol, span: Span): StaticField {
  const type = checker.getNonNullableType(checker.getTypeOfSymbol(p));
  const all = (flag: ts.TypeFlags): boolean =>
    (type.isUnion() ? type.types : [type]).every((t) => (t.flags & flag) !== 0);
  const kind = all(ts.TypeFlags.NumberLike)
    ? "number"
    : all(ts.TypeFlags.BooleanLike)
      ? "boolean"
      : all(ts.TypeFlags.StringLike)
        ? "text"
        : type.getCallSignatures().length === 1
          ? "function"
          : "other";
  return { name: p.name, kind, optional: (p.flags & ts.SymbolFlags.Optional) !== 0, span };
}
