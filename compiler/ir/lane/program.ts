/**
 * The lane IR: what one invocation does.
 *
 * Scalars and short vectors, loops over element numbers, loads and stores of buffer elements, and two things lanes do
 * together: subgroup and workgroup reductions. It knows nothing of dims.
 */
import type { StorageType } from "../formats.ts";
import type { BinaryOp, ReduceKind, UnaryOp, ValueType } from "../operators.ts";

/** Components of a register. */
export type Width = 1 | 2 | 4;

/** The type of a register: a scalar, or a short vector. */
export interface LaneType {
  /** Type of a component. */
  readonly base: ValueType;
  /** Components: 1, 2 or 4. */
  readonly width: Width;
}

/** An operand: a variable by its name, or a constant. `depth` counts the blocks that the variable's own stands in. */
export type Atom =
  | { readonly kind: "ref"; readonly name: string; readonly type: LaneType; readonly depth: number }
  | { readonly kind: "const"; readonly value: number; readonly type: LaneType };

/** What a variable can be bound to. Operands are atoms, so that evaluation has one order. */
export type Rhs =
  | { readonly op: "unary"; readonly fn: UnaryOp; readonly x: Atom }
  | { readonly op: "binary"; readonly fn: BinaryOp; readonly a: Atom; readonly b: Atom }
  | { readonly op: "select"; readonly cond: Atom; readonly yes: Atom; readonly no: Atom }
  | { readonly op: "cast"; readonly x: Atom }
  | { readonly op: "bitcast"; readonly x: Atom }
  | { readonly op: "splat"; readonly x: Atom }
  | { readonly op: "compose"; readonly parts: readonly Atom[] }
  | { readonly op: "pick"; readonly x: Atom; readonly at: Atom }
  /** The value itself; `hidden`: an integer that the adapter's compiler does not know for a constant. */
  | { readonly op: "copy"; readonly x: Atom; readonly hidden?: true }
  /** One element of a buffer; `part` picks a component of a vector element. */
  | { readonly op: "load"; readonly buffer: string; readonly index: Atom; readonly part?: Atom }
  /**
   * One word to f32: two f16 or bf16 to a vec2, four signed bytes to a vec4, or the four low nibbles of its bytes (q4:
   * less 8) to a vec4.
   */
  | { readonly op: "unpack"; readonly format: "f16" | "bf16" | "q8" | "q4" | "u4"; readonly x: Atom }
  | { readonly op: "pack"; readonly format: "f16" | "bf16"; readonly a: Atom; readonly b: Atom }
  | { readonly op: "scalar"; readonly param: string }
  /** All lanes of the program together; `first`: what the first of them has. */
  | { readonly op: "lanes"; readonly fn: ReduceKind | "first"; readonly x: Atom }
  /** Sum of x over the lanes before this one. */
  | { readonly op: "before"; readonly x: Atom }
  /** One element of a room; `part` picks a component of a vector element. */
  | { readonly op: "read"; readonly room: string; readonly index: Atom; readonly part?: Atom }
  /** What lane number `lane` has, for all of them. */
  | { readonly op: "take"; readonly x: Atom; readonly lane: number }
  /** Sum of the products of the components. */
  | { readonly op: "dot"; readonly a: Atom; readonly b: Atom };

/** One statement of an invocation. */
export type Stmt =
  | { readonly op: "let"; readonly name: string; readonly type: LaneType; readonly rhs: Rhs }
  | { readonly op: "var"; readonly name: string; readonly type: LaneType; readonly init: Atom | undefined }
  | { readonly op: "assign"; readonly name: string; readonly value: Atom }
  | {
      readonly op: "for";
      readonly name: string;
      readonly start: Atom;
      readonly limit: Atom;
      readonly step: number;
      readonly opaque: boolean;
      readonly body: readonly Stmt[];
    }
  | { readonly op: "if"; readonly cond: Atom; readonly yes: readonly Stmt[]; readonly no: readonly Stmt[] }
  | { readonly op: "store"; readonly buffer: string; readonly index: Atom; readonly part?: Atom; readonly value: Atom }
  /** An indivisible update of one element. */
  | {
      readonly op: "atomic";
      readonly buffer: string;
      readonly fn: ReduceKind;
      readonly index: Atom;
      readonly value: Atom;
    }
  /**
   * Some bits of a word of an atomic buffer, from bit `shift` on: what others write to the rest of the word meanwhile
   * stays. `value` has no bits above them.
   */
  | {
      readonly op: "insert";
      readonly buffer: string;
      readonly index: Atom;
      readonly shift: Atom;
      readonly bits: number;
      readonly value: Atom;
    }
  /** One element of a room, rounded to what it holds. */
  | { readonly op: "write"; readonly room: string; readonly index: Atom; readonly value: Atom }
  /** All lanes of the workgroup wait for each other: what they wrote to rooms before may be read behind it. */
  | { readonly op: "barrier" }
  | MatrixStmt;

/**
 * What the lanes of a subgroup do together on its matrix units. Matrices have names of their own; `index` and `stride`
 * count elements of the room, and `stride` lies between rows, or between columns where `columns` is set.
 */
export type MatrixStmt =
  /** An [M, N] matrix of zeros that is added to. */
  | { readonly op: "matrix"; readonly name: string }
  /** The left [M, K] or the right [K, N] operand of a product. */
  | {
      readonly op: "fetch";
      readonly name: string;
      readonly side: "left" | "right";
      readonly room: string;
      readonly index: Atom;
      readonly stride: number;
      readonly columns: boolean;
    }
  /** name += left · right. */
  | { readonly op: "multiply"; readonly name: string; readonly left: string; readonly right: string }
  /** Writes the sum to a room, row by row. */
  | {
      readonly op: "spill";
      readonly name: string;
      readonly room: string;
      readonly index: Atom;
      readonly stride: number;
    };

/** An array in workgroup memory. Lanes compute in f32; f16 is for the operands of matrix units. */
export interface Room {
  /** Name in the shader. */
  readonly name: string;
  /** Type of a component. */
  readonly base: "f32" | "f16";
  /** Components of an element: 1, 2 or 4. */
  readonly width: Width;
  /** Elements of `width` components. */
  readonly elements: number;
}

/** The shape that the matrix units of a subgroup multiply: [M, K] · [K, N], sums in f32. */
export interface MatrixUnits {
  /** Type of the operands. */
  readonly component: "f16" | "f32";
  /** Rows of the left operand and of the result. */
  readonly M: number;
  /** Columns of the right operand and of the result. */
  readonly N: number;
  /** Columns of the left operand, rows of the right. */
  readonly K: number;
  /** Lanes of the subgroup. */
  readonly lanes: number;
}

/** One storage binding: how the bytes of a tensor are seen by the shader. */
export interface Buffer {
  /** Name of the parameter, or of the pack. */
  readonly name: string;
  /** Format of the tensor. */
  readonly storage: StorageType;
  /**
   * Logical elements in one buffer element: 4 means 16 bytes of f32 or 8 bytes of f16. Packed formats have at least
   * those of a word.
   */
  readonly unit: 1 | 2 | 4 | 8 | 16 | 32;
  /** Elements of the buffer, each of `unit` logical ones. */
  readonly elements: number;
  /** Some lane writes it. */
  readonly writes: boolean;
  /** Elements are WGSL atomics (f32 as the bits of one). */
  readonly atomic: boolean;
  /**
   * Texels of 16 bytes in a row of the texture that it is bound as (texture.ts), a power of two; left out where it is
   * bound as a buffer.
   */
  readonly pitch?: number;
  /** Bound for writing though it is only read, because something else in its GPU buffer is written. */
  readonly writable?: boolean;
  /** Of a part of a tensor (part.ts): which, as what it is stored, and the word that the part starts at. */
  readonly window?: { readonly of: string; readonly storage: StorageType; readonly at: number };
  /** Of several buffers in one binding (pack.ts): which, and the word that each starts at. */
  readonly members?: readonly { readonly name: string; readonly storage: StorageType; readonly at: number }[];
}

/** What one invocation of a dispatch does: the input of the WGSL printer. */
export interface LaneProgram {
  /** The kernel's name. */
  readonly name: string;
  /** What runs one program: an invocation, a subgroup, or a workgroup. */
  readonly mode: "thread" | "subgroup" | "workgroup";
  /** Lanes that share one program. */
  readonly lanes: number;
  /** The shader pins the subgroup's size to `lanes`. */
  readonly pinned: boolean;
  /** Lanes are known to be numbered as the workgroup's invocations are; the builtin says which lane it is otherwise. */
  readonly linear?: boolean;
  /** Invocations of a workgroup. */
  readonly workgroupSize: number;
  /** Programs that a workgroup runs side by side. */
  readonly programsPerWorkgroup: number;
  /** Programs of a dispatch. */
  readonly programs: number;
  /** Workgroups of a dispatch along x and y. */
  readonly workgroups: readonly [number, number];
  /** Storage bindings, in order. */
  readonly buffers: readonly Buffer[];
  /** Scalars in the uniform block, in order. */
  readonly uniforms: readonly { readonly name: string; readonly dtype: "u32" | "i32" | "f32" }[];
  /** Workgroup memory that the program itself reads and writes. */
  readonly rooms?: readonly Room[];
  /** Set where the program multiplies on matrix units. */
  readonly matrix?: MatrixUnits;
  /** Statements, in order. */
  readonly body: readonly Stmt[];
}

export const U32: LaneType = { base: "u32", width: 1 };

export const F32: LaneType = { base: "f32", width: 1 };

export const BOOL: LaneType = { base: "bool", width: 1 };

export function constant(value: number, type: LaneType): Atom {
  return { kind: "const", value, type };
}

export function vector(base: ValueType, width: Width): LaneType {
  return { base, width };
}

export function isAtom(v: unknown): v is Atom {
  return typeof v === "object" && v !== null && "kind" in v && "type" in v && (v.kind === "ref" || v.kind === "const");
}
