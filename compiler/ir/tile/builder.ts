/**
 * Building tile IR, one typed operation at a time.
 *
 * Lowering (lower.ts) decides what a kernel says; this file knows the typing rules: how dtypes promote, how axes align,
 * which constants fold. Numeric literals are *weak*: they take the type of what they meet, as a reader of TypeScript
 * expects of `x * 2`.
 */
import { Located } from "../../host/diagnostics.ts";
import type { Span } from "../../host/source-text.ts";
import {
  BINARY,
  type BinaryOp,
  compares,
  type ReduceKind,
  type UnaryOp,
  type ValueType,
  writtenAs,
} from "../operators.ts";
import type { Axis, GridDim, Op, Value } from "./program.ts";

/**
 * The largest finite f32: what `Infinity` means in a kernel, since WGSL has no infinities (facts: mask with large
 * numbers).
 */
export const HUGE: number = 3.4028234663852886e38;

/** A tile or scalar while lowering: a value of the program, or a number known now. */
export type TileItem =
  | { readonly is: "tile"; readonly value: Value }
  /** `truth`: the number stands for a condition, true or false. */
  | { readonly is: "weak"; readonly value: number; readonly truth?: boolean };

const ORDER: ReadonlySet<string> = new Set(["lt", "le", "gt", "ge"]);
const LOGIC: ReadonlySet<string> = new Set(["and", "or", "xor"]);
/** What conditions may meet in; everything else is for numbers. */
const OF_CONDITIONS: ReadonlySet<string> = new Set(["and", "or", "xor", "eq", "ne"]);
const SHIFT: ReadonlySet<string> = new Set(["shl", "shr"]);

/** An operation without its number. */
type Fresh<T> = T extends unknown ? Omit<T, "id"> : never;

export class Builder {
  axes: Axis[] = [];
  readonly grid: GridDim[] = [];
  /** The region that operations are appended to; lowering swaps it for the bodies of loops and branches. */
  ops: Op[] = [];
  /** Calls being inlined, outermost first, for error messages. */
  readonly chain: { name: string; span: Span }[] = [];
  #next = 0;
  readonly #whole: Map<string, Axis> = new Map<string, Axis>();
  readonly #indices: Map<number, number> = new Map<number, number>();
  /** Values that are known to be no more than the sizes of some dims. */
  readonly #bounds: Map<number, readonly string[]> = new Map<number, readonly string[]>();

  fail(code: string, message: string, span: Span, help?: string): never {
    throw new Located({ code, message, span, chain: [...this.chain], ...(help === undefined ? {} : { help }) });
  }

  id(): number {
    return this.#next++;
  }

  axis(dim: string, kind: Axis["kind"], size?: number): Axis {
    const made: Axis = { id: this.axes.length, dim, kind, ...(size === undefined ? {} : { size }) };
    this.axes.push(made);
    return made;
  }

  /** The one axis that stands for all of `dim` wherever it is taken whole. */
  whole(dim: string): Axis {
    const known = this.#whole.get(dim);
    if (known !== undefined && this.axes[known.id] === known) return known;
    const made = this.axis(dim, "whole");
    this.#whole.set(dim, made);
    return made;
  }

  dimOf(axis: number): string {
    return this.axes[axis]?.dim ?? "?";
  }

  emit(op: Fresh<Extract<Op, Value>>): Value {
    const made = { ...op, id: this.id() };
    this.ops.push(made);
    if (made.op === "iota") this.noteIndex(made, made.axis);
    if (made.op === "size" || made.op === "program") this.#bounds.set(made.id, [made.dim]);
    if (made.op === "binary" && made.fn === "min")
      this.#bounds.set(
        made.id,
        [made.a, made.b].flatMap((x) => this.#bounds.get(x) ?? []),
      );
    return made;
  }

  /** Notes that the elements of a value are the indices of an axis themselves. */
  noteIndex(value: Value, axis: number): void {
    this.#indices.set(value.id, axis);
  }

  /** Are the elements of this value the indices of the axis themselves? */
  isIndex(value: Value, axis: number): boolean {
    return this.#indices.get(value.id) === axis;
  }

  /** Is this number surely no more than the size of the dim? */
  within(value: Value, dim: string): boolean {
    return this.#bounds.get(value.id)?.includes(dim) === true;
  }

  value(type: ValueType, axes: readonly number[], span: Span): Value {
    return { id: this.id(), type, axes, span };
  }

  constant(value: number, type: ValueType, span: Span): Value {
    if (Number.isNaN(value))
      this.fail("TS-205", "this constant is not a number", span, "kernels have no NaN, and 0 / 0 has no value");
    if (type === "u32" || type === "i32") this.#fits(value, type, span);
    const v = value === Infinity ? HUGE : value === -Infinity ? -HUGE : value;
    const stored =
      type === "f32" ? Math.fround(v) : type === "u32" ? v >>> 0 : type === "i32" ? v | 0 : Number(v !== 0);
    return this.emit({ op: "const", type, axes: [], span, value: stored });
  }

  /** Literals become integers only where nothing is lost; bit patterns may be written either way (0xffffffff or -1). */
  #fits(value: number, type: "u32" | "i32", span: Span): void {
    if (!Number.isInteger(value) && Math.abs(value) !== Infinity)
      this.fail("TS-205", `${value} meets ${type}, which has whole numbers only`, span, 'cast the other side to "f32"');
    if (value < -(2 ** 31) || value >= 2 ** 32)
      this.fail("TS-205", `${value} is too large for ${type}`, span, "the largest is 4294967295; real numbers are f32");
  }

  /** An infinity that data can hold: `Infinity` as a kernel writes it is the largest finite number. */
  infinity(sign: 1 | -1, span: Span): Value {
    const bits = this.constant(sign > 0 ? 0x7f800000 : 0xff800000, "u32", span);
    return this.bitcast({ is: "tile", value: bits }, "f32", span);
  }

  /** Makes a weak number real, in the wanted type (f32 unless told). */
  settle(item: TileItem, span: Span, want: ValueType = item.is === "weak" && item.truth ? "bool" : "f32"): Value {
    return item.is === "tile" ? item.value : this.constant(item.value, want, span);
  }

  /** The value as f32, u32 or i32; integers become f32 where real numbers are needed. */
  as(item: TileItem, type: ValueType, span: Span): Value {
    const v = this.settle(item, span, type);
    if (v.type === type) return v;
    if (type === "f32" && (v.type === "u32" || v.type === "i32"))
      return this.emit({ op: "cast", type, axes: v.axes, span, x: v.id });
    if (v.type === "bool")
      this.fail("TS-205", `expected ${type}, got a condition`, span, "select(condition, 1, 0) is a number");
    if (type === "bool") this.fail("TS-205", `a condition is needed, got ${v.type}`, span, "compare it: x > 0");
    return this.fail("TS-205", `expected ${type}, got ${v.type}`, span, `convert it with cast(…, "${type}")`);
  }

  /** All axes of the values, first seen first; two axes of one dim cannot meet. */
  align(values: readonly Value[], span: Span): number[] {
    const axes: number[] = [];
    for (const v of values) {
      for (const a of v.axes) {
        if (axes.includes(a)) continue;
        const twin = axes.find((b) => this.dimOf(b) === this.dimOf(a));
        if (twin !== undefined) {
          this.fail(
            "TS-204",
            `two different index ranges over "${this.dimOf(a)}" meet in one expression`,
            span,
            "give one of the tensors another name for this dim, or reduce one of the tiles first",
          );
        }
        axes.push(a);
      }
    }
    return axes;
  }

  unary(fn: UnaryOp, x: TileItem, span: Span): TileItem {
    if (x.is === "weak") {
      if (fn === "neg") return { is: "weak", value: -x.value };
      if (fn === "not") return { is: "weak", value: Number(!x.value), truth: true };
    }
    const keeps = fn === "neg" || fn === "abs";
    const v = fn === "not" ? this.settle(x, span, "bool") : keeps ? this.settle(x, span) : this.as(x, "f32", span);
    if (fn === "not" && v.type !== "bool")
      this.fail("TS-205", `"!" turns a condition round, got ${v.type}`, span, "compare it: x === 0");
    if (keeps && v.type === "bool") this.noCondition(fn, span);
    if (fn === "neg" && v.type === "u32")
      this.fail("TS-205", "cannot negate u32", span, 'cast(…, "i32") or "f32" first');
    return { is: "tile", value: this.emit({ op: "unary", fn, type: v.type, axes: v.axes, span, x: v.id }) };
  }

  /** Refuses a condition where `what` takes numbers. */
  noCondition(what: string, span: Span): never {
    return this.fail(
      "TS-205",
      `"${what}" works on numbers, got a condition`,
      span,
      "select(condition, 1, 0) is a number",
    );
  }

  /** `&&` and `||`: for conditions only. */
  logic(op: "&&" | "||", a: TileItem, b: TileItem, span: Span): TileItem {
    const number = [a, b].find((x) => x.is === "tile" && x.value.type !== "bool");
    if (number?.is === "tile")
      this.fail("TS-205", `"${op}" joins conditions, got ${number.value.type}`, span, "compare it: x !== 0");
    if (a.is === "weak" && b.is === "weak") {
      const [x, y] = [Boolean(a.value), Boolean(b.value)];
      return { is: "weak", value: Number(op === "&&" ? x && y : x || y), truth: true };
    }
    // A flag known now decides, or leaves the answer to the other side.
    for (const [known, other] of [
      [a, b],
      [b, a],
    ] as const)
      if (known.is === "weak")
        return Boolean(known.value) === (op === "&&") ? other : { is: "weak", value: Number(op === "||"), truth: true };
    return this.binary(op === "&&" ? "and" : "or", a, b, span);
  }

  /** `>>>`: bits come in as zeros, so the result is u32 whatever the sign. */
  shiftBits(a: TileItem, b: TileItem, span: Span): TileItem {
    if (a.is === "weak" && b.is === "weak") return { is: "weak", value: a.value >>> b.value };
    const signed = a.is === "tile" && a.value.type === "i32";
    return this.binary("shr", signed ? { is: "tile", value: this.bitcast(a, "u32", span) } : a, b, span);
  }

  binary(fn: BinaryOp, a: TileItem, b: TileItem, span: Span): TileItem {
    if (a.is === "weak" && b.is === "weak")
      return { is: "weak", value: BINARY[fn].literal(a.value, b.value), ...(compares(fn) ? { truth: true } : {}) };
    const ta = a.is === "tile" ? a.value.type : undefined;
    const tb = b.is === "tile" ? b.value.type : undefined;
    let type: ValueType = ta ?? tb ?? "f32";
    if (SHIFT.has(fn)) {
      type = ta ?? "u32";
    } else if (fn === "pow") {
      type = "f32";
    } else if (ta !== undefined && tb !== undefined && ta !== tb) {
      if (ta !== "f32" && tb !== "f32") {
        this.fail(
          "TS-205",
          `${ta} and ${tb} meet in "${writtenAs(fn)}"`,
          span,
          `convert one of them: cast(…, "${ta}")`,
        );
      }
      type = "f32";
    } else if (ta === undefined || tb === undefined) {
      const weak = a.is === "weak" ? a.value : b.is === "weak" ? b.value : 0;
      if (type !== "bool" && type !== "f32" && !Number.isInteger(weak)) type = "f32";
    }
    if (fn === "div" && type !== "f32")
      this.fail(
        "TS-206",
        `"/" divides real numbers, and both sides are ${type}`,
        span,
        'write idiv(a, b), or cast one side to "f32"',
      );
    if ((LOGIC.has(fn) || SHIFT.has(fn)) && type === "f32")
      this.fail(
        "TS-205",
        `bit operations work on integers${LOGIC.has(fn) ? " and conditions" : ""}, not on ${type}`,
        span,
        'cast(…, "u32") first',
      );
    if (type === "bool" && !OF_CONDITIONS.has(fn)) this.noCondition(writtenAs(fn), span);
    const negative = [a, b].find((x) => x.is === "weak" && x.value < 0);
    if (type === "u32" && negative?.is === "weak" && !LOGIC.has(fn) && fn !== "add" && fn !== "sub" && fn !== "mul")
      this.fail(
        "TS-205",
        `${negative.value} meets u32, which has no negative numbers`,
        span,
        `cast the other side to "i32"${ORDER.has(fn) ? "; a u32 is never below 0" : ""}`,
      );
    if (SHIFT.has(fn) && b.is === "weak" && !(b.value >= 0 && b.value < 32))
      this.fail("TS-205", `a shift by ${b.value} bits`, span, "32-bit words are shifted by 0 to 31");
    if ((fn === "div" || fn === "rem") && type !== "f32" && b.is === "weak" && b.value === 0)
      this.fail("TS-206", "an integer divided by zero", span);
    const va = this.as(a, type, span);
    const vb = SHIFT.has(fn)
      ? this.as(
          b.is === "tile" && b.value.type === "i32" ? { is: "tile", value: this.cast(b, "u32", span) } : b,
          "u32",
          span,
        )
      : this.as(b, type, span);
    const axes = this.align([va, vb], span);
    return {
      is: "tile",
      value: this.emit({ op: "binary", fn, type: compares(fn) ? "bool" : type, axes, span, a: va.id, b: vb.id }),
    };
  }

  /** The one type of several values of which one is chosen. */
  join(items: readonly TileItem[], span: Span): ValueType {
    const types = items.flatMap((x) => (x.is === "tile" ? [x.value.type] : []));
    const weaks = items.flatMap((x) => (x.is === "weak" ? [x.value] : []));
    const none = items.every((x) => x.is === "weak" && x.truth) ? "bool" : "f32";
    const type = types.includes("f32") ? "f32" : (types[0] ?? none);
    if (type === "bool" || type === "f32") return type;
    if (weaks.some((w) => !Number.isInteger(w) && Math.abs(w) !== Infinity)) return "f32";
    const negative = weaks.find((w) => w < 0);
    if (type === "u32" && negative !== undefined)
      this.fail("TS-205", `${negative} meets u32, which has no negative numbers`, span, 'cast the other side to "i32"');
    return type;
  }

  select(cond: TileItem, yes: TileItem, no: TileItem, span: Span): TileItem {
    if (cond.is === "weak") return cond.value ? yes : no;
    if (cond.value.type !== "bool")
      this.fail("TS-205", `a condition is needed, got ${cond.value.type}`, span, "compare it: x > 0");
    const type = this.join([yes, no], span);
    const [y, n] = [this.as(yes, type, span), this.as(no, type, span)];
    const axes = this.align([cond.value, y, n], span);
    return {
      is: "tile",
      value: this.emit({ op: "select", type, axes, span, cond: cond.value.id, yes: y.id, no: n.id }),
    };
  }

  cast(x: TileItem, type: ValueType, span: Span): Value {
    const v = this.settle(x, span, x.is === "weak" && !Number.isInteger(x.value) ? "f32" : type);
    return v.type === type ? v : this.emit({ op: "cast", type, axes: v.axes, span, x: v.id });
  }

  bitcast(x: TileItem, type: ValueType, span: Span): Value {
    if (x.is === "weak")
      this.fail("TS-205", "a literal has no bits of its own yet", span, 'say which: bitcast(cast(…, "u32"), "f32")');
    const v = this.settle(x, span);
    return v.type === type ? v : this.emit({ op: "bitcast", type, axes: v.axes, span, x: v.id });
  }

  splat(x: Value, axes: readonly number[], span: Span): Value {
    if (axes.length === x.axes.length && axes.every((a) => x.axes.includes(a))) return x;
    return this.emit({ op: "splat", type: x.type, axes, span, x: x.id });
  }

  /** The axis of `x` called `dim`, or its only one. */
  pick(x: Value, dim: string | undefined, what: string, span: Span): number {
    const found =
      dim === undefined ? (x.axes.length === 1 ? x.axes[0] : undefined) : x.axes.find((a) => this.dimOf(a) === dim);
    if (found !== undefined) return found;
    const has = x.axes.length === 0 ? "is a scalar" : `has dims "${x.axes.map((a) => this.dimOf(a)).join(" ")}"`;
    return this.fail(
      "TS-211",
      `${what}: ${dim === undefined ? "name the dim to reduce" : `no dim "${dim}" here`}; the value ${has}`,
      span,
    );
  }

  reduce(fn: ReduceKind, x: Value, axis: number, span: Span): Value {
    if (x.type === "bool") this.noCondition(fn === "sum" ? "sum" : `a${fn}`, span);
    const axes = x.axes.filter((a) => a !== axis);
    return this.emit({ op: "reduce", fn, type: x.type, axes, span, x: x.id, axis });
  }
}
