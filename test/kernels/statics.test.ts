/**
 * Compile-time parameters: sizes, flags, strings and functions, given by the host, by another kernel or by a default;
 * and which function a key means.
 */
import { describe, expect, test } from "vitest";
import type { Op } from "../../compiler/ir/tile/program.ts";
import {
  block,
  cast,
  type f32,
  type i32,
  type Scalar,
  type Static,
  specialise,
  type Tensor,
  type u32,
  unroll,
} from "../../dsl/index.ts";
import { copy, leaky, product, relu, squared } from "./generic.ts";
import { kernelsOf } from "./harness.ts";

/** A kernel that calls the generic one, with an epilogue that reads a tensor and a variable of its own. */
function biased(
  a: Tensor<"m k">,
  b: Tensor<"k n">,
  bt: Tensor<"n k">,
  bias: Tensor<"n">,
  scale: Scalar,
  c: Tensor<"m n">,
): void {
  const twice = scale * 2;
  product(a, b, bt, c, { rows: 4, epilogue: (x, _, j) => x * twice + bias.at(j), prologue: (x, k) => x + k });
}

/** A number that unrolls and chooses, taken as an object. */
function taps(
  x: Tensor<"n">,
  w: Tensor<"taps">,
  y: Tensor<"n">,
  options: Static<{ count: number; from?: number }>,
): void {
  const i = block("n", options.count);
  let total = 0;
  for (const t of unroll(options.from ?? 1, options.count)) total += x.at(i) * w.at(t) + options.count;
  y.set([i], total);
}

/** Helpers return objects and lists; names are given to their parts, with what is missing filled in. */
function pieces(x: Tensor<"n">, y: Tensor<"n">): void {
  const i = block("n");
  const { mean, half: h } = stats(x.at(i), 2);
  let [a, b] = [mean, h];
  [a, b] = [b, a];
  const [, second = 3] = [a];
  y.set([i], a * 10 + b + second);
}

function stats(v: number, by: number, shift = 1): { mean: number; half: number } {
  return { mean: v / by, half: v / 2 + shift };
}

/** One body for three element types. */
function copyReal(x: Tensor<"n", f32>, y: Tensor<"n", f32>): void {
  copy(x, y, (v) => v * 0.5);
}
function copyUnsigned(x: Tensor<"n", u32>, y: Tensor<"n", u32>): void {
  copy(x, y, (v) => v ^ 0xffff0000);
}
function copySigned(x: Tensor<"n", i32>, y: Tensor<"n", i32>): void {
  copy(x, y, (v) => cast(v, "i32") - 100);
}

const ramped = specialise(product, { epilogue: (x, row, column) => x + 100 * row + column });

const { check, programs } = kernelsOf(import.meta, {
  // With its defaults, under another name than its own.
  plain: product,
  biased,
  squared,
  ramped,
  rectified: specialise(product, { epilogue: relu, rows: 1 }),
  leaking: specialise(product, { epilogue: leaky, transposed: true }),
  taps3: specialise(taps, { count: 3 }),
  taps2: specialise(taps, { count: 2, from: 0 }),
  pieces,
  copyReal,
  copyUnsigned,
  copySigned,
});

const SIZES = { m: 3, k: 2, n: 5 };
const A = [1, 2, -3, 4, 5, -6];
const B = [1, -1, 2, -2, 3, 0, 1, 0, -1, 1];
const BT = [2, 1, 0, 1, -1, 3, 4, 0, 1, 1];

function want(
  f: (x: number, i: number, j: number) => number,
  { transposed = false, shift = 0 }: { transposed?: boolean; shift?: number } = {},
): number[] {
  return Array.from({ length: 15 }, (_, e) => {
    const [i, j] = [Math.floor(e / 5), e % 5];
    let x = 0;
    for (let k = 0; k < 2; k++)
      x += ((A[i * 2 + k] ?? 0) + shift * k) * ((transposed ? BT[j * 2 + k] : B[k * 5 + j]) ?? 0);
    return f(x, i, j);
  });
}

const data = { a: A, b: B, bt: BT };

describe("compile-time parameters", () => {
  test("defaults", async () => check("plain", { sizes: SIZES, data, want: { c: want((x) => x) } }));

  test("a function by name, from another file", async () =>
    check("rectified", { sizes: SIZES, data, want: { c: want((x) => Math.max(x, 0)) } }));

  test("a constant arrow, and a flag", async () =>
    check("leaking", {
      sizes: SIZES,
      data,
      want: { c: want((x, i) => (x > 0 ? x : 0.1 * x) + i, { transposed: true }) },
      tolerance: 1e-5,
    }));

  test("an arrow in place", async () =>
    check("ramped", { sizes: SIZES, data, want: { c: want((x, i, j) => x + 100 * i + j) } }));

  test("an instance of another file, with a string", async () =>
    check("squared", { sizes: SIZES, data, want: { c: want((x) => x * x) } }));

  test("given by a kernel, with functions that read what is around them", async () =>
    check("biased", {
      sizes: SIZES,
      data: { ...data, bias: [1, 2, 3, 4, 5] },
      scalars: { scale: 1.5 },
      want: { c: want((x, _, j) => x * 3 + j + 1, { shift: 1 }) },
    }));

  test("sizes that unroll", async () => {
    const w = [10, 1, 2];
    const x = [1, 2, 3, 4];
    await check("taps3", { sizes: { n: 4, taps: 3 }, data: { x, w }, want: { y: x.map((v) => v * 3 + 6) } });
    await check("taps2", { sizes: { n: 4, taps: 3 }, data: { x, w }, want: { y: x.map((v) => v * 11 + 4) } });
  });

  test("branches on them vanish, and what they are is written down", async () => {
    const loaded = await programs;
    const all = (ops: readonly Op[]): Op[] =>
      ops.flatMap((op) => [
        op,
        ...(op.op === "loop" ? all(op.body) : op.op === "if" ? all([...op.yes, ...op.no]) : []),
      ]);
    const read = (name: string): string[] =>
      all(loaded.get(name)?.body ?? []).flatMap((op) => (op.op === "load" ? [op.param] : []));
    expect([...loaded.values()].flatMap((p) => all(p.body)).filter((op) => op.op === "if")).toEqual([]);
    expect(read("plain")).toEqual(["a", "b"]);
    expect(read("leaking")).toEqual(["a", "bt"]);
    expect(loaded.get("leaking")?.fixed).toEqual({
      rows: 2,
      transposed: true,
      mode: "plain",
      epilogue: "leaky()",
    });
    expect(loaded.get("taps3")?.fixed).toEqual({ count: 3 });
    expect(loaded.get("biased")?.fixed).toBeUndefined();
    expect(loaded.get("squared")?.axes[0]?.size).toBe(3);
  });
});

describe("lists and objects", () => {
  test("take apart what helpers return", async () => {
    const x = [2, 4, -6];
    await check("pieces", { sizes: { n: 3 }, data: { x }, want: { y: x.map((v) => (v / 2 + 1) * 10 + v / 2 + 3) } });
  });
});

describe("one helper for several element types", () => {
  test("real numbers", async () =>
    check("copyReal", { sizes: { n: 3 }, data: { x: [1, 2, 3] }, want: { y: [0.5, 1, 1.5] } }));
  test("unsigned", async () =>
    check("copyUnsigned", { sizes: { n: 2 }, data: { x: [1, 0xffff0003] }, want: { y: [0xffff0001, 3] } }));
  test("signed", async () => check("copySigned", { sizes: { n: 2 }, data: { x: [1, -5] }, want: { y: [-99, -105] } }));
});
