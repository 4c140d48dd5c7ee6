/**
 * The tile IR: what a kernel means, before anyone decides which lane holds what.
 *
 * It is a tree of operations in single-assignment form with structured loops and branches. Every value has a dtype and a list of axes; axes are named dims
 * with an identity of their own (two loops over "slots" are two axes). Sizes stay symbolic, so one artefact serves every shape; the IR is plain JSON, which is
 * what the artefact cache stores. docs/architecture.md has the rules that `verify.ts` checks.
 */

import type { Span } from "../../host/source-text.ts";
import type { Binding } from "../binding.ts";
import type { StorageType } from "../formats.ts";
import type { BinaryOp, ReduceKind, UnaryOp, ValueType } from "../operators.ts";

export interface TensorParam {
  readonly kind: "tensor";
  readonly name: string;
  readonly dims: readonly string[];
  /** Storage types the kernel accepts; it is specialised to the one it is given. */
  readonly storage: readonly StorageType[];
  readonly reads: boolean;
  readonly writes: boolean;
  /** Elements are updated indivisibly somewhere in the kernel. */
  readonly atomic?: boolean;
}

export interface ScalarParam {
  readonly kind: "scalar";
  readonly name: string;
  readonly dtype: "u32" | "i32" | "f32";
}

export type Param = TensorParam | ScalarParam;

/** How an axis comes into being, which decides what sizes it may have. */
export interface Axis {
  readonly id: number;
  readonly dim: string;
  /**
   * `whole`: all of the dim; `block`: the part that a program owns; `over`: one block of a device loop; `partial`: what is left of an axis once each lane has
   * folded its own elements (made by partial.ts).
   */
  readonly kind: "whole" | "block" | "over" | "partial";
  /** The block size that the author asked for. */
  readonly size?: number;
  /** This axis has the elements of that one, dealt out to the lanes (made by deal.ts). */
  readonly twin?: number;
}

/** What every operation that makes a value carries. `axes` are axis ids in the order in which they first appeared. */
export interface Value {
  readonly id: number;
  readonly type: ValueType;
  readonly axes: readonly number[];
  readonly span: Span;
}

/**
 * One operation. `reduce` ignores dead elements of its axis, unless `masked` says that they hold the identity already. `fold` is the part of a reduction that a
 * lane can do alone: the axis becomes the partial axis `to`. `scan` is the running sum along the axis.
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
  /** The same elements under another axis of the dim: what lanes hold between them along the twin `from`, every lane gets along `to` (made by deal.ts). */
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

/** A variable that a loop changes: enters as `init`, is `inside` at the top of a turn, becomes `next` at its end, and is `after` when the loop is done. */
export interface Carried {
  readonly name: string;
  readonly init: number;
  readonly inside: Value;
  readonly next: number;
  readonly after: Value;
}

export interface Loop {
  readonly op: "loop";
  /** `over`: `index` is the index tile of one block of `axis`, below `limit`; `range`: a scalar from `start` to below `limit`. */
  readonly kind: "over" | "range";
  readonly axis?: number;
  readonly start?: number;
  readonly limit: number;
  readonly index: Value;
  /** The same index tile along a twin of the loop's axis. */
  readonly twin?: { readonly axis: number; readonly index: Value };
  readonly carried: readonly Carried[];
  readonly body: readonly Op[];
  readonly span: Span;
}

export interface Branch {
  readonly op: "if";
  readonly cond: number;
  readonly yes: readonly Op[];
  readonly no: readonly Op[];
  /** Variables that either side changes. */
  readonly merged: readonly {
    readonly name: string;
    readonly yes: number;
    readonly no: number;
    readonly after: Value;
  }[];
  readonly span: Span;
}

/** One dim of the grid, in the order of the `program`/`block` calls; the last one varies fastest. */
export interface GridDim {
  readonly dim: string;
  /** The axis of `block`, absent for `program`. */
  readonly axis?: number;
}

/** A compiled kernel: everything the later stages, the interpreter and the cache need. */
export interface TileProgram {
  readonly name: string;
  /** The values of its compile-time parameters; a function by its name. */
  readonly fixed?: Readonly<Record<string, number | boolean | string>>;
  /**
   * The kernel for other kinds of numbers, where its tensors have a type parameter: each with parameters that hold one kind. The program itself is for the
   * first kind, and its parameters list what all of them hold.
   */
  readonly kinds?: readonly TileProgram[];
  readonly params: readonly Param[];
  readonly axes: readonly Axis[];
  readonly grid: readonly GridDim[];
  readonly body: readonly Op[];
}

/** The program for tensors stored like this: itself, or that of their kind of numbers. Undefined where there is none. */
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

export interface Specialised extends TileProgram {
  readonly binding: Binding;
}

/** Where a partial axis comes from, and whether its elements are dot products (one number a lane) or what a lane's vectors add up to. */
export interface PartialAxis {
  readonly from: number;
  readonly dot: boolean;
}
