/**
 * The tile IR: what a kernel means, before anyone decides which lane holds what.
 *
 * It is a tree of operations in single-assignment form with structured loops and branches. Every value has a dtype and
 * a list of axes; axes are named dims with an identity of their own (two loops over "slots" are two axes). Sizes stay
 * symbolic, so one artefact serves every shape; the IR is plain JSON, which is what the artefact cache stores.
 * docs/architecture.md has the rules that `verify.ts` checks.
 */

import type { Span } from "../../host/source-text.ts";
import type { Binding } from "../binding.ts";
import type { StorageType } from "../formats.ts";
import type { BinaryOp, ReduceKind, UnaryOp, ValueType } from "../operators.ts";

/** A tensor that a kernel takes. */
export interface TensorParam {
  /** Tells it from a scalar. */
  readonly kind: "tensor";
  /** Name in the kernel's source. */
  readonly name: string;
  /** Names of its dims, the last one contiguous: `["rows", "k"]` has shape [rows, k]. */
  readonly dims: readonly string[];
  /** Storage types the kernel accepts; it is specialised to the one it is given. */
  readonly storage: readonly StorageType[];
  /** The kernel loads from it. */
  readonly reads: boolean;
  /** The kernel stores to it. */
  readonly writes: boolean;
  /** Elements are updated indivisibly somewhere in the kernel. */
  readonly atomic?: boolean;
}

/** A number that a kernel takes at run time. */
export interface ScalarParam {
  /** Tells it from a tensor. */
  readonly kind: "scalar";
  /** Name in the kernel's source. */
  readonly name: string;
  /** What kind of number it is. */
  readonly dtype: "u32" | "i32" | "f32";
}

/** A parameter of a kernel: a tensor or a number. */
export type Param = TensorParam | ScalarParam;

/** How an axis comes into being, which decides what sizes it may have. */
export interface Axis {
  /** Its place in the list of axes, by which everything names it. */
  readonly id: number;
  /** Name of the dim that it runs along. */
  readonly dim: string;
  /**
   * `whole`: all of the dim; `block`: the part that a program owns; `over`: one block of a device loop; `partial`: what
   * is left of an axis once each lane has folded its own elements (made by partial.ts).
   */
  readonly kind: "whole" | "block" | "over" | "partial";
  /** The block size that the author asked for. */
  readonly size?: number;
  /** This axis has the elements of that one, dealt out to the lanes (made by deal.ts). */
  readonly twin?: number;
}

/** What every operation that makes a value carries. `axes` are axis ids in the order in which they first appeared. */
export interface Value {
  /** Number by which operations name it, unique in a program. */
  readonly id: number;
  /** Type of each element. */
  readonly type: ValueType;
  /** Ids of its axes, in the order in which they first appeared; none for a scalar. */
  readonly axes: readonly number[];
  /** Where in the source it comes from. */
  readonly span: Span;
}

/**
 * One operation. `reduce` ignores dead elements of its axis, unless `masked` says that they hold the identity already.
 * `fold` is the part of a reduction that a lane can do alone: the axis becomes the partial axis `to`. `scan` is the
 * running sum along the axis.
 */
export type Op =
  | (Value & { readonly op: "const"; readonly value: number })
  | (Value & { readonly op: "size"; readonly dim: string })
  | (Value & { readonly op: "scalar"; readonly param: string })
  | (Value & { readonly op: "program"; readonly dim: string })
  | (Value & { readonly op: "iota"; readonly axis: number })
  | (Value & { readonly op: "unary"; readonly fn: UnaryOp; readonly x: number })
  | (Value & { readonly op: "binary"; readonly fn: BinaryOp; readonly a: number; readonly b: number })
  | (Value & { readonly op: "select"; readonly cond: number; readonly yes: number; readonly no: number })
  | (Value & { readonly op: "cast"; readonly x: number })
  | (Value & { readonly op: "bitcast"; readonly x: number })
  | (Value & { readonly op: "splat"; readonly x: number })
  | (Value & { readonly op: "load"; readonly param: string; readonly index: readonly number[] })
  | (Value & {
      readonly op: "reduce";
      readonly fn: ReduceKind;
      readonly x: number;
      readonly axis: number;
      readonly masked?: boolean;
    })
  | (Value & { readonly op: "scan"; readonly x: number; readonly axis: number })
  /**
   * The same elements under another axis of the dim: what lanes hold between them along the twin `from`, every lane
   * gets along `to` (made by deal.ts).
   */
  | (Value & { readonly op: "relay"; readonly x: number; readonly from: number; readonly to: number })
  | (Value & {
      readonly op: "fold";
      readonly fn: ReduceKind;
      readonly x: number;
      readonly axis: number;
      readonly to: number;
      readonly masked?: boolean;
    })
  | {
      readonly op: "store";
      readonly param: string;
      readonly index: readonly number[];
      readonly value: number;
      /** Combines with what is there, indivisibly, instead of replacing it. */
      readonly combine?: ReduceKind;
      readonly span: Span;
    }
  | Loop
  | Branch;

/**
 * A variable that a loop changes: enters as `init`, is `inside` at the top of a turn, becomes `next` at its end, and is
 * `after` when the loop is done.
 */
export interface Carried {
  /** Name in the kernel's source. */
  readonly name: string;
  /** Id of the value on entry. */
  readonly init: number;
  /** The variable at the top of a turn. */
  readonly inside: Value;
  /** Id of the value at the end of a turn. */
  readonly next: number;
  /** The variable when the loop is done. */
  readonly after: Value;
}

/** A loop over blocks of a dim, or over whole numbers. */
export interface Loop {
  /** Tells it from other operations. */
  readonly op: "loop";
  /**
   * `over`: `index` is the index tile of one block of `axis`, below `limit`; `range`: a scalar from `start` to below
   * `limit`.
   */
  readonly kind: "over" | "range";
  /** Id of the axis that one block has (`over`). */
  readonly axis?: number;
  /** Id of the first number (`range`). */
  readonly start?: number;
  /** Id of the number behind the last. */
  readonly limit: number;
  /** What the loop's variable holds in a turn. */
  readonly index: Value;
  /** The same index tile along a twin of the loop's axis. */
  readonly twin?: { readonly axis: number; readonly index: Value };
  /** Variables that the loop changes. */
  readonly carried: readonly Carried[];
  /** Operations of a turn, in order. */
  readonly body: readonly Op[];
  /** Where in the source it stands. */
  readonly span: Span;
}

/** A branch that all lanes of a program take alike. */
export interface Branch {
  /** Tells it from other operations. */
  readonly op: "if";
  /** Id of the condition. */
  readonly cond: number;
  /** Operations where it holds. */
  readonly yes: readonly Op[];
  /** Operations where it does not. */
  readonly no: readonly Op[];
  /** Variables that either side changes. */
  readonly merged: readonly {
    readonly name: string;
    readonly yes: number;
    readonly no: number;
    readonly after: Value;
  }[];
  /** Where in the source it stands. */
  readonly span: Span;
}

/** One dim of the grid, in the order of the `program`/`block` calls; the last one varies fastest. */
export interface GridDim {
  /** Name of the dim. */
  readonly dim: string;
  /** The axis of `block`, absent for `program`. */
  readonly axis?: number;
}

/** A compiled kernel: everything the later stages, the interpreter and the cache need. */
export interface TileProgram {
  /** The kernel's name, by which it is loaded. */
  readonly name: string;
  /** The values of its compile-time parameters; a function by its name. */
  readonly fixed?: Readonly<Record<string, number | boolean | string>>;
  /**
   * The kernel for other kinds of numbers, where its tensors have a type parameter: each with parameters that hold one
   * kind. The program itself is for the first kind, and its parameters list what all of them hold.
   */
  readonly kinds?: readonly TileProgram[];
  /** Parameters in the order of the call. */
  readonly params: readonly Param[];
  /** Every axis; its id is its place here. */
  readonly axes: readonly Axis[];
  /** Dims that programs are numbered by, the last one fastest. */
  readonly grid: readonly GridDim[];
  /** Operations in order; each value is made once, before it is used. */
  readonly body: readonly Op[];
}

/**
 * The program for tensors stored like this: itself, or that of their kind of numbers. Undefined where there is none.
 */
export function ofKind(program: TileProgram, storage: Readonly<Record<string, StorageType>>): TileProgram | undefined {
  if (program.kinds === undefined) return program;
  const holds = (p: Param): boolean => p.kind !== "tensor" || p.storage.includes(storage[p.name] ?? "f32");
  return program.kinds.find((k) => k.params.every(holds));
}

/** Does this operation define a value? */
export function isValue(op: Op): op is Exclude<Op, Loop | Branch | { op: "store" }> {
  return op.op !== "store" && op.op !== "loop" && op.op !== "if";
}

/** Ids of the values an operation reads directly (not those inside its regions). */
export function operands(op: Op): readonly number[] {
  switch (op.op) {
    case "unary":
    case "cast":
    case "bitcast":
    case "splat":
    case "fold":
    case "scan":
    case "relay":
    case "reduce":
      return [op.x];
    case "binary":
      return [op.a, op.b];
    case "select":
      return [op.cond, op.yes, op.no];
    case "load":
      return op.index;
    case "store":
      return [...op.index, op.value];
    case "loop":
      return [...(op.start === undefined ? [] : [op.start]), op.limit, ...op.carried.map((c) => c.init)];
    case "if":
      return [op.cond];
    default:
      return [];
  }
}

/** A kernel for one binding: its sizes and the storage of its tensors are known. */
export interface Specialised extends TileProgram {
  /** Sizes, storage and shared bindings that it is for. */
  readonly binding: Binding;
}

/**
 * Where a partial axis comes from, and whether its elements are dot products (one number a lane) or what a lane's
 * vectors add up to.
 */
export interface PartialAxis {
  readonly from: number;
  readonly dot: boolean;
}
