/**
 * The declared type of a parameter, as far as kernels care: a tensor, a scalar, compile-time values, or something else.
 *
 * Part of the front end, which asks TypeScript's checker. Types of ours are known by where they are declared, not by their name.
 */
import { ts } from "ts-morph";
import type { Span } from "./ir.ts";
import type { ParamType, StaticField } from "./syntax.ts";

/** `types` is the file that declares the language's types. */
export function paramType(
  checker: ts.TypeChecker,
  types: string,
  param: ts.ParameterDeclaration,
  span: Span,
): ParamType {
  const text = param.type === undefined ? "no type" : `the type ${param.type.getText()}`;
  if (param.type === undefined) return { is: "other", text };
  const type = checker.getTypeFromTypeNode(param.type);
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
  if (!properties.some((p) => ours(p) !== undefined && p.name.startsWith("__@fixed@"))) return { is: "other", text };
  return {
    is: "static",
    fields: properties.filter((p) => ours(p) === undefined).map((p) => fieldOf(checker, p, span)),
  };
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
