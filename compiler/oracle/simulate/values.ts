/**
 * What the lane simulator computes with: one component of one lane at a time, as WGSL says, f32 rounded after every
 * operation.
 *
 * A value that nothing defines (an element that is out of range, a variable before its first assignment, a result that
 * WGSL leaves open) is NaN whatever its type, and so is what is computed from it, unless the other operand alone
 * decides. NaN is a fair stand-in for f32 too: WGSL lets adapters assume that there are none. Written apart from the
 * interpreter's arithmetic, so that the two check each other.
 */
import type { BinaryOp, UnaryOp, ValueType } from "../../ir/operators.ts";
import { floatOf, wordOf } from "./buffers.ts";

/** A constant as a value of this type. */
export function literalOf(value: number, base: ValueType): number {
  if (base === "f32") return Math.fround(value);
  if (base === "bool") return Number(Boolean(value));
  return base === "u32" ? value >>> 0 : value | 0;
}

type Unary = (x: number) => number;
type Binary = (a: number, b: number) => number;

const REAL: Readonly<Record<Exclude<UnaryOp, "neg" | "not" | "abs">, Unary>> = {
  exp: Math.exp,
  exp2: (x) => 2 ** x,
  log: Math.log,
  log2: Math.log2,
  sqrt: Math.sqrt,
  rsqrt: (x) => 1 / Math.sqrt(x),
  sin: Math.sin,
  cos: Math.cos,
  // The shader clamps too: its tanh is 1 in f32 long before.
  tanh: (x) => Math.tanh(Math.min(15, Math.max(-15, x))),
  floor: Math.floor,
  ceil: Math.ceil,
  round: (x) => {
    const below = Math.floor(x);
    const rest = x - below;
    return rest > 0.5 || (rest === 0.5 && below % 2 !== 0) ? below + 1 : below;
  },
};

/** The function of one operand. */
export function unaryOf(fn: UnaryOp, base: ValueType): Unary {
  if (fn === "not") return (x) => 1 - x;
  if (fn === "neg") return base === "f32" ? (x) => -x : whole(base, (x) => -x);
  if (fn === "abs") return base === "f32" ? Math.abs : whole(base, Math.abs);
  const real = REAL[fn];
  return (x) => Math.fround(real(x));
}

/** Wraps an integer result around, and lets what is undefined stay so. */
function whole(base: ValueType, fn: Unary): Unary {
  return base === "u32" ? (x) => (Number.isNaN(x) ? x : fn(x) >>> 0) : (x) => (Number.isNaN(x) ? x : fn(x) | 0);
}

const INTEGER: Readonly<Partial<Record<BinaryOp, Binary>>> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: Math.imul,
  div: (a, b) => (b === 0 ? a : Math.trunc(a / b)),
  rem: (a, b) => (b === 0 ? 0 : a % b),
  and: (a, b) => a & b,
  or: (a, b) => a | b,
  xor: (a, b) => a ^ b,
  shl: (a, b) => a << b,
};
const FLOAT: Readonly<Partial<Record<BinaryOp, Binary>>> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: (a, b) => a / b,
  rem: (a, b) => a % b,
  pow: (a, b) => (a < 0 ? Number.NaN : a ** b),
};
const COMPARE: Readonly<Partial<Record<BinaryOp, (a: number, b: number) => boolean>>> = {
  lt: (a, b) => a < b,
  le: (a, b) => a <= b,
  gt: (a, b) => a > b,
  ge: (a, b) => a >= b,
  eq: (a, b) => a === b,
  ne: (a, b) => a !== b,
};

/** The function of two operands of type `base`. */
export function binaryOf(fn: BinaryOp, base: ValueType): Binary {
  if (fn === "min") return Math.min;
  if (fn === "max") return Math.max;
  const compare = COMPARE[fn];
  if (compare !== undefined) return strict((a, b) => Number(compare(a, b)));
  if (base === "bool") return logic(fn);
  if (base === "f32") {
    const float = FLOAT[fn];
    if (float !== undefined) return (a, b) => Math.fround(float(a, b));
  }
  if (fn === "shr") {
    return strict(base === "u32" ? (a, b) => a >>> b : (a, b) => a >> b);
  }
  const integer = INTEGER[fn];
  if (integer === undefined) throw new Error(`${fn} is not an operation on ${base}`);
  const wrap: Unary = base === "u32" ? (x) => x >>> 0 : (x) => x | 0;
  return strict((a, b) => wrap(integer(a, b)));
}

/** Nothing in, nothing out: integer arithmetic of JavaScript would make a tidy zero of NaN. */
function strict(fn: Binary): Binary {
  return (a, b) => (Number.isNaN(a) || Number.isNaN(b) ? Number.NaN : fn(a, b));
}

/** One side can decide alone, so an edge's mask silences an undefined condition. */
function logic(fn: BinaryOp): Binary {
  if (fn === "and") return (a, b) => (a === 0 || b === 0 ? 0 : a * b);
  if (fn === "or") return (a, b) => (a === 1 || b === 1 ? 1 : a + b);
  if (fn === "xor") return strict((a, b) => a ^ b);
  throw new Error(`${fn} is not an operation on bool`);
}

/** A conversion of numbers. Reals become integers towards zero, held within what both types can say. */
export function castOf(from: ValueType, to: ValueType): Unary {
  if (to === "f32") return Math.fround;
  if (to === "bool") return (x) => (Number.isNaN(x) ? x : Number(x !== 0));
  if (from !== "f32") return whole(to, (x) => x);
  const [least, most] = to === "u32" ? [0, 4294967040] : [-2147483648, 2147483520];
  return (x) => (Number.isNaN(x) ? x : Math.trunc(Math.min(most, Math.max(least, x))) + 0);
}

/** The same bits as another type. */
export function bitcastOf(from: ValueType, to: ValueType): Unary {
  if (from === to) return (x) => x;
  if (from === "f32") return whole(to, wordOf);
  if (to === "f32") return (x) => (Number.isNaN(x) ? x : floatOf(x >>> 0));
  return whole(to, (x) => x);
}
