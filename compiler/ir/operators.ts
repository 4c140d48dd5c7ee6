/**
 * The operations that both intermediate languages have, as one table: how each is written, the type of its result, how
 * constants fold, and what a reduction starts from. The oracle (compiler/oracle/) has its own copies on purpose.
 */

/** Types a value can have in a program. Storage formats widen to f32 when loaded. */
export type ValueType = "f32" | "u32" | "i32" | "bool";

/**
 * Operations on one operand. Angles are in radians; `log` is the natural one; `round` goes to the even neighbour at a
 * tie.
 */
export type UnaryOp =
  | "neg"
  | "not"
  | "exp"
  | "exp2"
  | "log"
  | "log2"
  | "sqrt"
  | "rsqrt"
  | "sin"
  | "cos"
  | "tanh"
  | "abs"
  | "floor"
  | "ceil"
  | "round";

/** Operations on two operands of one type; those from `lt` on give a condition. */
export type BinaryOp =
  | "add"
  | "sub"
  | "mul"
  | "div"
  | "rem"
  | "pow"
  | "min"
  | "max"
  | "and"
  | "or"
  | "xor"
  | "shl"
  | "shr"
  | "lt"
  | "le"
  | "gt"
  | "ge"
  | "eq"
  | "ne";

/** How a reduction combines the elements of an axis. */
export type ReduceKind = "sum" | "max" | "min";

/** The value that changes nothing: what dead elements hold in a partial result. */
export function identityOf(fn: ReduceKind, type: ValueType): number {
  if (fn === "sum") return 0;
  if (type === "f32") return fn === "max" ? -Infinity : Infinity;
  if (type === "i32") return fn === "max" ? -2147483648 : 2147483647;
  return fn === "max" ? 0 : 0xffffffff;
}

/** What is known of an operation on two operands. */
export interface Operator {
  /** As WGSL writes it; left out where that is a call of the operation's own name. */
  readonly symbol?: string;
  /** As TypeScript writes it, where that differs. */
  readonly source?: string;
  /** The type of the result: that of the operands, or a condition. */
  readonly result: "same" | "bool";
  /** Of two literals of a kernel's text, which have no type yet. Conditions are 0 and 1. */
  readonly literal: (a: number, b: number) => number;
  /**
   * Of two 32-bit integers or conditions, before the result is wrapped to its type; left out where nothing folds.
   * `unsigned`: they are u32.
   */
  readonly integer?: (a: number, b: number, unsigned: boolean) => number;
}

function comparison(symbol: string, holds: (a: number, b: number) => boolean, source?: string): Operator {
  const literal = (a: number, b: number): number => Number(holds(a, b));
  return { symbol, result: "bool", literal, ...(source === undefined ? {} : { source }) };
}

/** Every operation on two operands. */
export const BINARY: Readonly<Record<BinaryOp, Operator>> = {
  add: { symbol: "+", result: "same", literal: (a, b) => a + b, integer: (a, b) => a + b },
  sub: { symbol: "-", result: "same", literal: (a, b) => a - b, integer: (a, b) => a - b },
  mul: { symbol: "*", result: "same", literal: (a, b) => a * b, integer: (a, b) => Math.imul(a, b) },
  // WGSL defines x / 0 as x and x % 0 as 0 for integers.
  div: { symbol: "/", result: "same", literal: (a, b) => a / b, integer: (a, b) => (b === 0 ? a : Math.trunc(a / b)) },
  rem: { symbol: "%", result: "same", literal: (a, b) => a % b, integer: (a, b) => (b === 0 ? 0 : a % b) },
  pow: { result: "same", literal: (a, b) => a ** b },
  min: { result: "same", literal: Math.min, integer: (a, b) => Math.min(a, b) },
  max: { result: "same", literal: Math.max, integer: (a, b) => Math.max(a, b) },
  and: { symbol: "&", result: "same", literal: (a, b) => (a & b) >>> 0, integer: (a, b) => a & b },
  or: { symbol: "|", result: "same", literal: (a, b) => (a | b) >>> 0, integer: (a, b) => a | b },
  xor: { symbol: "^", result: "same", literal: (a, b) => (a ^ b) >>> 0, integer: (a, b) => a ^ b },
  shl: { symbol: "<<", result: "same", literal: (a, b) => (a << b) >>> 0, integer: (a, b) => a << (b & 31) },
  shr: {
    symbol: ">>",
    result: "same",
    // A literal above 2^31 is a u32, whose bits come in from the left as zeros.
    literal: (a, b) => (a < 0 ? a >> b : a >>> b),
    integer: (a, b, unsigned) => (unsigned ? a >>> (b & 31) : a >> (b & 31)),
  },
  lt: comparison("<", (a, b) => a < b),
  le: comparison("<=", (a, b) => a <= b),
  gt: comparison(">", (a, b) => a > b),
  ge: comparison(">=", (a, b) => a >= b),
  eq: comparison("==", (a, b) => a === b, "==="),
  ne: comparison("!=", (a, b) => a !== b, "!=="),
};

/** Is the result a condition? */
export function compares(fn: BinaryOp): boolean {
  return BINARY[fn].result === "bool";
}

/** How an operation is written in a kernel, for messages. */
export function writtenAs(fn: BinaryOp): string {
  const { source, symbol } = BINARY[fn];
  return source ?? symbol ?? fn;
}
