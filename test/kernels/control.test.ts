/** Branches, loops, helpers and constants: what is decided when, and which variables survive what. */
import { describe, test } from "vitest";
import {
  abs,
  amax,
  argmax,
  block,
  cast,
  dot,
  exp,
  max,
  min,
  over,
  program,
  range,
  type Scalar,
  select,
  size,
  sum,
  type Tensor,
  type u32,
  unroll,
  zeros,
  zerosLike,
} from "../../dsl/index.ts";
import { kernelsOf } from "./harness.ts";
import { largest, STRIDE, twice } from "./helpers.ts";

/** Variables that one side, the other, both or neither changes; nested branches; a tile merged with a scalar. */
function branches(x: Tensor<"rows n">, flag: Tensor<"rows", u32>, y: Tensor<"words rows n">): void {
  const r = program("rows");
  const i = block("n");
  const f = flag.at(r);
  const v = x.at(r, i);
  let a = 1;
  let b = v;
  let c = 5;
  let d = f;
  if (f > 50) {
    a = 2.5;
    b = v * 2;
    if (f > 75) {
      c = v + a;
      d = f + 1;
    } else d = 7;
  } else if (f === 3) {
    b = 0;
  } else {
    a = v;
    let hidden = a;
    hidden += 1;
    c = hidden;
  }
  y.set([0, r, i], a);
  y.set([1, r, i], b);
  y.set([2, r, i], c);
  y.set([3, r, i], d);
}

/** Stores inside branches leave the rest alone. */
function guarded(x: Tensor<"rows n">, y: Tensor<"rows n">): void {
  const r = program("rows");
  const i = block("n");
  if (r % 3 !== 1) {
    if (r > 0) y.set([r, i], x.at(r, i));
  }
}

/** A branch whose condition is in a tensor that the kernel writes, with reductions inside. */
function writtenCondition(x: Tensor<"n">, clock: Tensor<"one", u32>, y: Tensor<"one">): void {
  const t = clock.at(0);
  let total = 0.5;
  if (t > 3) {
    for (const i of over("n", t)) total += sum(x.at(i));
  } else total = amax(x.at());
  y.set([0], total);
  clock.set([0], t + 1);
}

/** All lanes read what one lane then overwrites. */
function clocked(x: Tensor<"n">, clock: Tensor<"one", u32>, y: Tensor<"n">): void {
  const t = clock.at(0);
  for (const i of over("n")) y.set([i], x.at(i) * t + dot(x.at(), x.at()));
  clock.set([0], t + 1);
}

/** Several carried variables that use one another, f32, u32, conditions and tiles among them. */
function fibonacci(x: Tensor<"n">, turns: Scalar<u32>, y: Tensor<"words n">, z: Tensor<"words", u32>): void {
  const i = block("n");
  let a = 0;
  let b = cast(1, "u32");
  let even = true;
  let acc = x.at(i);
  let fade = 1;
  for (const t of range(turns)) {
    const next = cast(a, "u32") + b;
    a = b;
    b = next;
    even = !even;
    acc = select(even, acc * 0.5, acc + fade);
    fade = fade * 0.75 + t;
  }
  y.set([0, i], acc);
  y.set([1, i], fade);
  y.set([2, i], select(even, 1, 0));
  z.set([0], b);
  z.set([1], cast(a, "u32"));
  z.set([2], select(even, cast(3, "u32"), 4));
}

/** over in range in unroll, with a branch inside and two loops over one dim. */
function nested(x: Tensor<"a b c">, y: Tensor<"a words">): void {
  const r = program("a");
  for (const k of unroll(2)) {
    let total = k;
    let peak = -Infinity;
    for (const j of range(size("b"))) {
      for (const i of over("c")) {
        const v = x.at(r, j, i);
        total += sum(v * v);
        if (k === 1) peak = max(peak, amax(v));
        else if (j > 1) total += sum(v) * j;
      }
      for (const i of over("c")) total -= sum(x.at(r, j, i) * 0.25);
    }
    y.set([r, k], total + select(k > 0, peak, 0));
  }
}

/** A variable that only some turns change, and one that is found in one turn and used in others. */
function lastSeen(x: Tensor<"rows n">, y: Tensor<"rows">, place: Tensor<"rows", u32>): void {
  const r = program("rows");
  let best = -Infinity;
  let at = 0;
  let found = 0;
  for (const i of over("n")) {
    const v = x.at(r, i);
    const top = amax(v);
    if (top > best) {
      at = argmax(v, i);
      best = top;
      found += 1;
    }
  }
  y.set([r], best + select(found > 0, 0, 100));
  place.set([r], at);
}

/** Limits that are given, computed, zero, and different for each program. */
function limits(x: Tensor<"rows n">, live: Scalar<u32>, y: Tensor<"words rows">): void {
  const r = program("rows");
  let a = 1;
  for (const i of over("n", live)) a += sum(x.at(r, i));
  let b = 0;
  for (const i of over("n", min(r * 3, size("n")))) b = max(b, amax(x.at(r, i)));
  let c = 0;
  for (const j of range(live, size("n"))) c += x.at(r, j);
  let d = 7;
  for (const _ of range(0)) d = 0;
  for (const j of range(5, 2)) d = j;
  y.set([0, r], a);
  y.set([1, r], b);
  y.set([2, r], c);
  y.set([3, r], d);
}

const SCALES = 3;
const double = (x: number): number => x * 2;

/** Helpers of this file and another, arrows, functions as arguments, dims and flags as arguments. */
function helped(x: Tensor<"rows n">, y: Tensor<"rows n">): void {
  const r = program("rows");
  const peak = largest(x, r);
  const shifted = (v: number): number => v - peak;
  const total = total_of(x, r, shifted);
  for (const i of over("n")) {
    const v = twice(double, x.at(r, i));
    y.set([r, i], twice(abs, v) + scaled(v, true) + scaled(v, false) + total + STRIDE + countOf("n") + zeroed("n", i));
  }
}

function total_of(x: Tensor<"rows n">, row: number, f: (v: number) => number): number {
  let total = 0;
  for (const i of over("n")) total += sum(exp(f(x.at(row, i))));
  return total;
}

function scaled(x: number, up: boolean): number {
  const factor = up ? SCALES : 1 / SCALES;
  return x * factor;
}

function countOf(dim: string): number {
  return size(dim);
}

function zeroed(dim: string, like: number): number {
  return sum(zeros(dim)) + zerosLike(like);
}

/** A kernel that calls another kernel's function as a helper, passing tensors on. */
function delegated(x: Tensor<"rows n">, live: Scalar<u32>, y: Tensor<"words rows">): void {
  limits(x, live, y);
}

/** Every program of a large grid. */
function numbered(y: Tensor<"n", u32>): void {
  const i = program("n");
  y.set([i], i * 3 + 1);
}

/** A grid of three dims, one of them in blocks. */
function cube(x: Tensor<"a b c">, y: Tensor<"c b a">): void {
  const a = program("a");
  const b = program("b");
  const c = block("c", 3);
  y.set([c, b, a], x.at(a, b, c) + 100 * a + 10 * b + c);
}

/** In place: read, then written, by the same program, in the same turn. */
function inPlace(x: Tensor<"rows n">, bias: Tensor<"n">): void {
  const r = program("rows");
  let peak = -Infinity;
  for (const i of over("n")) peak = max(peak, amax(x.at(r, i)));
  let total = 0;
  for (const i of over("n")) total += sum(exp(x.at(r, i) - peak));
  for (const i of over("n")) x.set([r, i], exp(x.at(r, i) - peak) / total + bias.at(i));
}

/** Names that mean something in WGSL. */
function $names(array: Tensor<"n">, $var: Scalar, fn: Tensor<"n">): void {
  const vec4 = block("n");
  let texture = array.at(vec4) * $var;
  const loop = texture;
  texture = loop + 1 - select(true, 1, 0);
  fn.set([vec4], texture);
}

const { check } = kernelsOf(import.meta, {
  branches,
  guarded,
  writtenCondition,
  clocked,
  fibonacci,
  nested,
  lastSeen,
  limits,
  helped,
  delegated,
  numbered,
  cube,
  inPlace,
  $names,
});

describe("control flow (seed 1)", () => {
  test("variables that branches change", () =>
    check("branches", { sizes: { words: 4, rows: 6, n: 11 }, data: { flag: [3, 60, 80, 51, 0, 99] } }));
  test("stores that branches skip", () => check("guarded", { sizes: { rows: 7, n: 9 }, partial: true }));
  test.each([2, 4, 9])("a condition that the kernel overwrites, %d", (t) =>
    check("writtenCondition", { sizes: { n: 9 }, data: { clock: [t] } }),
  );
  test("what one lane overwrites was read by all", () =>
    check("clocked", { sizes: { n: 200 }, data: { clock: [5] }, tolerance: 1e-5 }));
  test.each([0, 1, 10])("several carried variables, %d turns", (turns) =>
    check("fibonacci", { sizes: { words: 3, n: 9 }, scalars: { turns } }),
  );
  test("loops in loops", () => check("nested", { sizes: { a: 5, b: 3, c: 37, words: 2 }, tolerance: 1e-5 }));
  test("variables that some turns change", () => check("lastSeen", { sizes: { rows: 9, n: 43 } }));
  test.each([0, 1, 13, 14])("limits, %d of 14", (live) =>
    check("limits", { sizes: { words: 4, rows: 6, n: 14 }, scalars: { live } }),
  );
  test("helpers", () => check("helped", { sizes: { rows: 3, n: 19 }, tolerance: 1e-5 }));
  test("a kernel as a helper", () =>
    check("delegated", { sizes: { words: 4, rows: 4, n: 9 }, scalars: { live: 9 }, cells: ["live"] }));
  test("more than 65535 workgroups", () => check("numbered", { sizes: { n: 70_003 }, oneBlock: true }));
  test("a grid of three dims", () => check("cube", { sizes: { a: 3, b: 4, c: 8 } }));
  test("in place", () => check("inPlace", { sizes: { rows: 5, n: 21 } }));
  test("names that mean something in WGSL", () => check("$names", { sizes: { n: 3 }, scalars: { $var: 1.5 } }));
});
