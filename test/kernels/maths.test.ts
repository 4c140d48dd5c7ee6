/** Element-wise words and operators on every type they take, edge values included. */
import { describe, expect, test } from "vitest";
import {
  abs,
  bitcast,
  block,
  cast,
  ceil,
  cos,
  exp,
  exp2,
  floor,
  gumbel,
  type i32,
  idiv,
  log,
  log2,
  max,
  min,
  pcg,
  pow,
  round,
  rsqrt,
  type Scalar,
  select,
  sigmoid,
  silu,
  sin,
  sortable,
  sqrt,
  type Tensor,
  tanh,
  type u32,
  uniform,
} from "../../dsl/index.ts";
import { uniform as random } from "../support/random.ts";
import { kernelsOf } from "./harness.ts";

const TAU = 2 * 3.25;
const YES = true;
const NO = !YES;
const WIDE = TAU - 2.5;

function anySign(x: Tensor<"n">, y: Tensor<"words n">): void {
  const i = block("n");
  const v = x.at(i);
  y.set([0, i], exp(v));
  y.set([1, i], exp2(v));
  y.set([2, i], tanh(v));
  y.set([3, i], v * v);
  y.set([4, i], tanh(v * 40));
  y.set([5, i], abs(v));
  y.set([6, i], floor(v));
  y.set([7, i], ceil(v));
  y.set([8, i], round(v));
  y.set([9, i], -v);
  y.set([10, i], silu(v));
  y.set([11, i], sigmoid(v));
  y.set([12, i], v % 1.5);
  y.set([13, i], +v - TAU);
}

function waves(x: Tensor<"n">, y: Tensor<"words n">): void {
  const i = block("n");
  y.set([0, i], sin(x.at(i)));
  y.set([1, i], cos(x.at(i)));
}

function positive(x: Tensor<"n">, y: Tensor<"words n">): void {
  const i = block("n");
  const v = x.at(i);
  y.set([0, i], log(v));
  y.set([1, i], log2(v));
  y.set([2, i], sqrt(v));
  y.set([3, i], rsqrt(v));
  y.set([4, i], pow(v, 1.75));
  y.set([5, i], v ** 2);
  y.set([6, i], pow(2, v));
  y.set([7, i], 1 / v);
}

function real(a: Tensor<"n">, b: Tensor<"n">, s: Scalar, y: Tensor<"words n">): void {
  const i = block("n");
  const p = a.at(i);
  const q = b.at(i);
  y.set([0, i], p + q);
  y.set([1, i], p - q);
  y.set([2, i], p * q);
  y.set([3, i], p / q);
  y.set([4, i], min(p, q));
  y.set([5, i], max(p, q));
  y.set([6, i], select(p < q, 1, 0) + select(p <= q, 2, 0) + select(p > q, 4, 0) + select(p >= q, 8, 0));
  y.set([7, i], select(p === q, 1, 0) + select(p !== q, 2, 0));
  y.set([8, i], select(p < 0 && q < 0, 1, 0) + select(p < 0 || q < 0, 2, 0) + select(!(p < 0), 4, 0));
  y.set([9, i], s > 0 ? p * s : q);
  y.set([10, i], select(p > s, q, 0.5));
}

function unsigned(a: Tensor<"n", u32>, b: Tensor<"n", u32>, y: Tensor<"words n", u32>): void {
  const i = block("n");
  const p = a.at(i);
  const q = b.at(i);
  y.set([0, i], p + q);
  y.set([1, i], p - q);
  y.set([2, i], p * q);
  y.set([3, i], idiv(p, q + 1));
  y.set([4, i], p % (q + 1));
  y.set([5, i], p & q);
  y.set([6, i], p | q);
  y.set([7, i], p ^ q);
  y.set([8, i], ~p);
  y.set([9, i], p << (q & 31));
  y.set([10, i], p >> (q & 31));
  y.set([11, i], p >>> 3);
  y.set([12, i], min(p, q));
  y.set([13, i], max(p, 7));
  y.set([14, i], select(p > 0x7fffffff, 0xffffffff, p));
  y.set([15, i], cast(cast(p, "i32"), "u32"));
  y.set([16, i], pcg(p));
  y.set([17, i], idiv(p, q - q));
  y.set([18, i], select(((p & 1) === 1) !== q > 5, cast(1, "u32"), 0));
}

function signed(a: Tensor<"n", i32>, b: Tensor<"n", i32>, y: Tensor<"words n", i32>): void {
  const i = block("n");
  const p = a.at(i);
  const q = b.at(i);
  y.set([0, i], p + q);
  y.set([1, i], p - q);
  y.set([2, i], p * q);
  y.set([3, i], idiv(p, max(abs(q), 1)));
  y.set([4, i], p % max(abs(q), 1));
  y.set([5, i], p & q);
  y.set([6, i], -p);
  y.set([7, i], abs(p));
  y.set([8, i], p << 2);
  y.set([9, i], p >> 2);
  y.set([10, i], cast(p >>> 28, "i32"));
  y.set([11, i], min(p, q));
  y.set([12, i], max(p, -1));
  y.set([13, i], select(p < q, p, -5));
  y.set([14, i], ~p);
  y.set([15, i], select(p > -1 && !(q < 0), cast(1, "i32"), -1));
}

function conversions(f: Tensor<"n">, u: Tensor<"n", u32>, s: Tensor<"n", i32>, y: Tensor<"words n", u32>): void {
  const i = block("n");
  y.set([0, i], cast(f.at(i), "u32"));
  y.set([1, i], bitcast(cast(f.at(i), "i32"), "u32"));
  y.set([2, i], bitcast(f.at(i), "u32"));
  y.set([3, i], bitcast(cast(u.at(i), "f32"), "u32"));
  y.set([4, i], bitcast(cast(s.at(i), "f32"), "u32"));
  y.set([5, i], bitcast(bitcast(bitcast(f.at(i), "i32"), "f32"), "u32"));
  y.set([6, i], cast(s.at(i), "u32"));
  y.set([7, i], sortable(f.at(i)));
  y.set([8, i], select(f.at(i) > 0, cast(7, "u32"), 0));
  y.set([9, i], bitcast(f.at(i) + u.at(i), "u32"));
}

function draws(seed: Scalar<u32>, y: Tensor<"words n">): void {
  const i = block("n");
  y.set([0, i], uniform(seed, 3, i));
  y.set([1, i], gumbel(seed, i, 9));
}

/** What WGSL would refuse if it were printed as constants. */
function constants(x: Tensor<"n">, y: Tensor<"words n">): void {
  const i = block("n");
  const nothing = cast(x.at(i) * 0, "u32");
  y.set([0, i], x.at(i) + exp(0) + log(1) + sqrt(4));
  y.set([1, i], select(x.at(i) > 9, log(0), -abs(-3)));
  y.set([2, i], cast(cast(-1.5, "i32"), "f32") + cast(3.7, "u32") + x.at(i));
  y.set([3, i], bitcast(cast(0x40490fdb, "u32"), "f32"));
  y.set([4, i], nothing + idiv(nothing, 3) + (nothing << 31));
  y.set([5, i], -(-x.at(i)) - -2 * (7 % 4));
  y.set([6, i], Infinity);
  y.set([7, i], YES && !NO ? -1e-30 : 1);
  y.set([8, i], (-8 >> 1) + (-8 >>> 30) + (1 << 4) + (6 & 3) + (6 | 3) + (6 ^ 3) + 2 ** 5 + 0x10 + 1_000 + idiv(9, -2));
  y.set([9, i], min(2, 3) + max(2, 3) + (WIDE < 5 ? 0.25 : 0.75) + (NO || 3 >= WIDE ? 8 : 16));
}

const { check } = kernelsOf(import.meta, {
  anySign,
  waves,
  positive,
  real,
  unsigned,
  signed,
  conversions,
  draws,
  constants,
});
const SEED = 7001;

function numbers(n: number, low: number, high: number, salt = 0): number[] {
  const next = random(SEED + salt);
  return Array.from({ length: n }, () => low + next() * (high - low));
}

const words = (salt: number): number[] => [
  0,
  1,
  2,
  31,
  0x7fffffff,
  0x80000000,
  0xfffffffe,
  0xffffffff,
  ...numbers(29, 0, 2 ** 32, salt).map(Math.floor),
];
const integers = (salt: number): number[] => words(salt).map((x) => x | 0);

describe(`words of the language (seed ${SEED})`, () => {
  // The adapters' own exp, sin, … are what differs most.
  test("f32 of any sign", () =>
    check("anySign", {
      sizes: { words: 14, n: 37 },
      data: { x: [0, -0, 0.5, -0.5, 1.5, 2.5, -1.5, -2.5, ...numbers(29, -7, 7)] },
      tolerance: 2e-5,
    }));
  // WGSL promises 2^-11 and SwiftShader makes use of it.
  test("sine and cosine", () =>
    check("waves", { sizes: { words: 2, n: 40 }, data: { x: numbers(40, -3.1, 3.1) }, tolerance: 5e-4 }));
  test("positive f32", () =>
    check("positive", {
      sizes: { words: 8, n: 38 },
      data: { x: [1, 2, 1e-6, ...numbers(35, 0.01, 9)] },
      tolerance: 2e-5,
    }));
  test.each([3, -1])("operators on f32, scalar %d", (s) =>
    check("real", {
      sizes: { words: 11, n: 21 },
      data: { a: [0, 1, -2, ...numbers(18, -3, 3)], b: [1, 1, -1.5, ...numbers(18, -3, 3, 1)] },
      scalars: { s },
      tolerance: 1e-6,
    }),
  );
  test("operators on u32", () =>
    check("unsigned", { sizes: { words: 19, n: 37 }, data: { a: words(1), b: words(2).reverse() } }));
  test("operators on i32", () =>
    check("signed", { sizes: { words: 16, n: 37 }, data: { a: integers(3), b: integers(4).reverse() } }));
  test("conversions hold what does not fit at the nearest value", () =>
    check("conversions", {
      sizes: { words: 10, n: 37 },
      data: {
        f: [0, 1.5, -1.5, 0.99, 1e-3, 3e9, -3e9, 5e9, ...numbers(29, -1000, 1000)],
        // SwiftShader rounds what f32 cannot hold upwards; what it can hold is exact everywhere.
        u: words(5).map((x) => (x > 2 ** 24 ? (x & 0xff000000) >>> 0 : x)),
        s: integers(6).map((x) => x & ~0xff),
      },
    }));
  test("random numbers are the same everywhere", () =>
    check("draws", { sizes: { words: 2, n: 300 }, scalars: { seed: 12345 }, tolerance: 1e-5 }));
  test("constants", () => {
    const n = 5;
    const x = numbers(n, 0, 1);
    const row = (f: (v: number) => number): number[] => Array.from(Float32Array.from(x), f);
    return check("constants", {
      sizes: { words: 10, n },
      data: { x },
      want: {
        y: [
          ...row((v) => v + 3),
          ...row(() => -3),
          ...row((v) => 2 + v),
          ...row(() => Math.fround(Math.PI)),
          ...row(() => 0),
          ...row((v) => v + 6),
          ...row(() => 3.4028234663852886e38),
          ...row(() => -1e-30),
          ...row(() => (-8 >> 1) + (-8 >>> 30) + (1 << 4) + 2 + 7 + 5 + 32 + 16 + 1000 - 4),
          ...row(() => 5.25 + 16),
        ],
      },
    });
  });
});

test("words say that they are not for host code", () => {
  expect(() => exp(1)).toThrow(
    "exp(1) is a word of the kernel language: it works inside a kernel loaded with gpu.kernels(import.meta, { … }), not in host code",
  );
});
