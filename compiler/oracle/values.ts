/** What the interpreter computes with: one element at a time, before it is rounded to its type. */
import type { BinaryOp, ReduceKind, UnaryOp, ValueType } from "../ir/operators.ts";

const f = Math.fround;
/** The functions of one operand. */
export const UNARY: Readonly<Record<UnaryOp, (x: number) => number>> = {
  neg: (x) => -x,
  not: (x) => Number(!x),
  exp: Math.exp,
  exp2: (x) => 2 ** x,
  log: Math.log,
  log2: Math.log2,
  sqrt: Math.sqrt,
  rsqrt: (x) => 1 / Math.sqrt(x),
  sin: Math.sin,
  cos: Math.cos,
  tanh: Math.tanh,
  abs: Math.abs,
  floor: Math.floor,
  ceil: Math.ceil,
  round: (x) => {
    const r = Math.round(x);
    return Math.abs(x % 1) === 0.5 && r % 2 !== 0 ? r - 1 : r;
  },
};

/** The function of two operands of one type. */
export function binary(fn: BinaryOp, a: number, b: number, type: ValueType): number {
  switch (fn) {
    case "add":
      return a + b;
    case "sub":
      return a - b;
    case "mul":
      return type === "f32" ? a * b : Math.imul(a, b);
    case "div":
      return type === "f32" ? a / b : b === 0 ? a : Math.trunc(a / b);
    case "rem":
      return type !== "f32" && b === 0 ? 0 : a % b;
    case "pow":
      return a ** b;
    case "min":
      return Math.min(a, b);
    case "max":
      return Math.max(a, b);
    case "and":
      return a & b;
    case "or":
      return a | b;
    case "xor":
      return a ^ b;
    case "shl":
      return a << (b & 31);
    case "shr":
      return type === "u32" ? a >>> (b & 31) : a >> (b & 31);
    case "lt":
      return Number(a < b);
    case "le":
      return Number(a <= b);
    case "gt":
      return Number(a > b);
    case "ge":
      return Number(a >= b);
    case "eq":
      return Number(a === b);
    case "ne":
      return Number(a !== b);
  }
}

/** The least and the greatest value of each type. */
const BOUNDS: Readonly<Record<ValueType, readonly [least: number, greatest: number]>> = {
  f32: [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY],
  i32: [-(2 ** 31), 2 ** 31 - 1],
  u32: [0, 2 ** 32 - 1],
  bool: [0, 1],
};

/** The reduction of no element at all. */
export function emptyReduction(fn: ReduceKind, type: ValueType): number {
  const [least, greatest] = BOUNDS[type];
  return fn === "sum" ? 0 : fn === "max" ? least : greatest;
}

/** A result as a value of its type. */
export function settle(x: number, type: ValueType): number {
  if (type === "f32") return f(x);
  if (type === "u32") return x >>> 0;
  return type === "i32" ? x | 0 : Number(x !== 0);
}

/**
 * A real number as an integer: cut off towards zero and held within what the type can say (and f32 can reach), as WGSL
 * does.
 */
export function saturate(x: number, type: ValueType): number {
  if (type === "u32") return Math.trunc(Math.min(Math.max(x, 0), 4294967040)) || 0;
  if (type === "i32") return Math.trunc(Math.min(Math.max(x, -2147483648), 2147483520)) || 0;
  return x;
}

const bits = new DataView(new ArrayBuffer(4));

/** The same bits as another type. */
export function reinterpret(x: number, from: ValueType, to: ValueType): number {
  if (from === "f32") bits.setFloat32(0, x);
  else bits.setUint32(0, x >>> 0);
  return to === "f32" ? bits.getFloat32(0) : to === "u32" ? bits.getUint32(0) : bits.getInt32(0);
}
