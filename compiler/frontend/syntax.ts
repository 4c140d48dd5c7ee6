/**
 * Our own syntax tree of a kernel file: the part of TypeScript that kernels use, with every name resolved.
 *
 * The front end hands this on, so that nothing after it knows ts-morph and the parser can be replaced. What the
 * language does not have becomes `refused` with the reason, and is reported when (and only when) a kernel reaches it.
 */
import type { SourceText, Span } from "../host/source-text.ts";

/** What a name stands for. */
export type Symbol_ =
  | { readonly is: "local"; readonly id: number }
  | { readonly is: "word"; readonly name: string }
  | { readonly is: "function"; readonly key: string }
  | { readonly is: "const"; readonly value: Expr }
  | { readonly is: "global"; readonly name: string };

interface At {
  readonly span: Span;
}

export type Expr = At &
  (
    | { readonly kind: "number"; readonly value: number }
    | { readonly kind: "string"; readonly value: string }
    | { readonly kind: "boolean"; readonly value: boolean }
    | { readonly kind: "name"; readonly text: string; readonly symbol: Symbol_ }
    | { readonly kind: "call"; readonly callee: Expr; readonly args: readonly Expr[] }
    | { readonly kind: "member"; readonly object: Expr; readonly name: string }
    | { readonly kind: "unary"; readonly op: string; readonly x: Expr }
    | { readonly kind: "binary"; readonly op: string; readonly a: Expr; readonly b: Expr }
    | { readonly kind: "conditional"; readonly test: Expr; readonly yes: Expr; readonly no: Expr }
    | { readonly kind: "array"; readonly items: readonly Expr[] }
    | { readonly kind: "record"; readonly fields: readonly { readonly name: string; readonly value: Expr }[] }
    | { readonly kind: "lambda"; readonly fn: FunctionSyntax }
    | { readonly kind: "refused"; readonly what: string; readonly hint?: string }
  );

/** A name that takes one part of a list or an object; `fallback` where the part may be missing. */
export interface Target extends At {
  readonly id: number;
  readonly name: string;
  /** The field of an object, or the place in a list. */
  readonly part: string | number;
  readonly fallback?: Expr;
}

export type Stmt = At &
  (
    | { readonly kind: "declare"; readonly id: number; readonly name: string; readonly value: Expr }
    | { readonly kind: "assign"; readonly id: number; readonly name: string; readonly op: string; readonly value: Expr }
    | {
        readonly kind: "unpack";
        /** New names, or variables that exist. */
        readonly declares: boolean;
        readonly targets: readonly Target[];
        readonly value: Expr;
      }
    | { readonly kind: "expression"; readonly value: Expr }
    | {
        readonly kind: "for";
        readonly id: number;
        readonly name: string;
        readonly source: Expr;
        readonly body: readonly Stmt[];
      }
    | { readonly kind: "if"; readonly test: Expr; readonly yes: readonly Stmt[]; readonly no: readonly Stmt[] }
    | { readonly kind: "block"; readonly body: readonly Stmt[] }
    /** `implied`: the body of an arrow function that is an expression. */
    | { readonly kind: "return"; readonly value: Expr | undefined; readonly implied?: true }
    | { readonly kind: "refused"; readonly what: string; readonly hint?: string }
  );

/**
 * The declared type of a parameter, as far as kernels care. `generic` is the type parameter that stands for a tensor's
 * element type.
 */
export type ParamType =
  | {
      readonly is: "tensor";
      readonly dims: readonly string[];
      readonly storage: readonly string[];
      readonly generic?: string;
    }
  | { readonly is: "scalar"; readonly dtype: string }
  | { readonly is: "static"; readonly fields: readonly StaticField[] }
  | { readonly is: "other"; readonly text: string };

/**
 * One compile-time parameter of a kernel. `kind` is what its type allows; "other" is nothing that a kernel can be
 * specialised by.
 */
export interface StaticField {
  readonly name: string;
  readonly kind: "number" | "boolean" | "text" | "function" | "other";
  readonly optional: boolean;
  readonly span: Span;
}

/** The value of a compile-time parameter, as far as the host can say it. */
export type StaticValue = number | boolean | string;

/** Values of compile-time parameters that the host gives, for each kernel that has any. */
export type Statics = Readonly<Record<string, Readonly<Record<string, StaticValue>>>>;

/** A kernel that was asked for: under which name, and what its compile-time parameters are. */
export interface Wanted {
  /** The function's key. */
  readonly key: string;
  /** Values that the host gave; they come before those of `given`. */
  readonly values: Readonly<Record<string, StaticValue>>;
  /** The object that the source passes to `specialise`, or the functions of the one that completes a template. */
  readonly given?: Expr;
}

/**
 * A kernel of another file whose compile-time functions an object has: `kernel` is declared in `file`, and the object
 * is the one of the file that kernels are loaded from, or of one that it imports, whose field `name` is `object`.
 */
export interface Template {
  /** Path of the file that declares the kernel. */
  readonly file: string;
  /** Name of the kernel there. */
  readonly kernel: string;
  /** What the object's field `name` holds. */
  readonly object: string;
}

/** Templates by the name that the kernel is asked for by. */
export type Templates = Readonly<Record<string, Template>>;

export interface FunctionSyntax {
  readonly name: string;
  readonly params: readonly {
    readonly id: number;
    readonly name: string;
    readonly type: ParamType;
    readonly span: Span;
    /** Names for parts of it: `{ rows = 4 }: …`. */
    readonly targets?: readonly Target[];
    /** What it is when no argument is given. */
    readonly fallback?: Expr;
    /** It may be left out: `bias?: …`. */
    readonly optional: boolean;
  }[];
  readonly body: readonly Stmt[];
  readonly span: Span;
}

/** A complaint of the type checker, inside a function that a kernel uses. */
export interface TypeComplaint {
  readonly span: Span;
  readonly message: string;
}

/** Everything read for one call of `gpu.kernels`. */
export interface ModuleSyntax {
  readonly kernels: ReadonlyMap<string, Wanted>;
  readonly functions: ReadonlyMap<string, FunctionSyntax>;
  readonly sources: ReadonlyMap<string, SourceText>;
  readonly complaints: readonly TypeComplaint[];
}
