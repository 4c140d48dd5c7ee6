/** The word topk: ties, dtypes, several dims, ragged rows, lists that a loop carries, and places that nothing takes. */
import { describe, test } from "vitest";
import {
  block,
  cast,
  emptyTopk,
  every,
  full,
  type i32,
  over,
  program,
  range,
  size,
  sum,
  type Tensor,
  topk,
  type u32,
} from "../../dsl/index.ts";
import { uniform } from "../support/random.ts";
import { kernelsOf } from "./harness.ts";

/** Of a tile at once, several rows a program. */
function whole(x: Tensor<"rows n">, values: Tensor<"rows k">, places: Tensor<"rows k", u32>): void {
  const r = block("rows", 2);
  const c = every("n");
  const [best, at] = topk(x.at(r, c), c, "k", "n");
  values.set([r], best);
  places.set([r], at);
}

/** Along a row of any length, one row a program. */
function running(x: Tensor<"rows n">, values: Tensor<"rows k">, places: Tensor<"rows k", u32>): void {
  const r = program("rows");
  let [best, at] = emptyTopk("k");
  for (const c of over("n")) [best, at] = topk(x.at(r, c), c, [best, at]);
  values.set([r], best);
  places.set([r], at);
}

/** Several rows a program: the list gets the rows' dim from what it meets. */
function rows(x: Tensor<"rows n">, values: Tensor<"rows k">, places: Tensor<"rows k", u32>): void {
  const r = block("rows", 3);
  let [best, at] = emptyTopk("k");
  for (const c of over("n")) [best, at] = topk(x.at(r, c), c, [best, at], "n");
  values.set([r], best);
  places.set([r], at);
}

/** Integers, with the last blocks first: of equals the lowest index still comes first. */
function backwards(x: Tensor<"n", i32>, values: Tensor<"k", i32>, places: Tensor<"k", u32>): void {
  let best = full("k", cast(-2147483648, "i32"));
  let at = full("k", cast(0xffffffff, "u32"));
  for (const c of over("n")) {
    const from = size("n") - 1 - c;
    [best, at] = topk(x.at(from), from, [best, at]);
  }
  values.set([], best);
  places.set([], at);
}

/** u32, whose lowest value is an element like any other. */
function unsigned(x: Tensor<"n", u32>, values: Tensor<"k", u32>, places: Tensor<"k", u32>): void {
  const [best, at] = topk(x.at(), every("n"), "k");
  values.set([], best);
  places.set([], at);
}

/** As many as there are: a sort. */
function sort(x: Tensor<"rows n">, values: Tensor<"rows n">, places: Tensor<"rows n", u32>): void {
  const r = program("rows");
  const [best, at] = topk(x.at(r), every("n"), "n");
  values.set([r], best);
  places.set([r], at);
}

/** What the places are good for: a gather, and a sum over the list. */
function chosen(x: Tensor<"n">, table: Tensor<"n dim">, k: Tensor<"k">, y: Tensor<"dim">, total: Tensor<"one">): void {
  const d = every("dim");
  const [best, at] = topk(x.at(), every("n"), "k");
  y.set([d], sum(best * table.at(at, d) * k.at(), "k"));
  total.set([0], sum(best));
}

/** Every other row of a matrix: a list goes through branches and scalar loops. */
function turns(x: Tensor<"steps n">, values: Tensor<"k">, places: Tensor<"k", u32>): void {
  let [best, at] = emptyTopk("k");
  for (const s of range(size("steps"))) {
    if (s % 2 === 0) [best, at] = topk(x.at(s), every("n") + s * size("n"), [best, at]);
  }
  values.set([], best);
  places.set([], at);
}

const { check } = kernelsOf(import.meta, { whole, running, rows, backwards, unsigned, sort, chosen, turns });

/** Values and indices, best first; the index breaks ties. */
function sorted(
  x: readonly number[],
  k: number,
  lowest = -3.4028234663852886e38,
): { values: number[]; places: number[] } {
  const order = x.map((value, i) => ({ value, i })).sort((a, b) => b.value - a.value || a.i - b.i);
  const picked = Array.from({ length: k }, (_, i) => order[i] ?? { value: lowest, i: 0xffffffff });
  return { values: picked.map((p) => p.value), places: picked.map((p) => p.i) };
}

/** Numbers of which many are equal. */
function coarse(seed: number, n: number, levels: number, low = 0): number[] {
  const next = uniform(seed);
  return Array.from({ length: n }, () => Math.floor(next() * levels) + low);
}

function ofRows(x: readonly number[], n: number, k: number): { values: number[]; places: number[] } {
  const each = Array.from({ length: x.length / n }, (_, r) => sorted(x.slice(r * n, r * n + n), k));
  return { values: each.flatMap((e) => e.values), places: each.flatMap((e) => e.places) };
}

describe("topk", () => {
  test.each([
    { n: 37, k: 5, levels: 6 },
    { n: 8, k: 1, levels: 1000 },
    { n: 3, k: 7, levels: 2 },
  ])("of whole rows: $k of $n", async ({ n, k, levels }) => {
    const x = coarse(3, 5 * n, levels, -2);
    await check("whole", { sizes: { rows: 5, n, k }, data: { x }, want: ofRows(x, n, k) });
  });

  test.each([
    { n: 300, k: 9, levels: 12 },
    { n: 41, k: 41, levels: 5 },
    { n: 2, k: 4, levels: 3 },
  ])("carried along a row: $k of $n", async ({ n, k, levels }) => {
    const x = coarse(5, 3 * n, levels, -4);
    await check("running", { sizes: { rows: 3, n, k }, data: { x }, want: ofRows(x, n, k) });
  });

  test("several rows a program", async () => {
    const x = coarse(7, 5 * 67, 9, -4);
    await check("rows", { sizes: { rows: 5, n: 67, k: 6 }, data: { x }, want: ofRows(x, 67, 6) });
  });

  test("signed integers, the last blocks first", async () => {
    const x = coarse(9, 53, 7, -3);
    await check("backwards", { sizes: { n: 53, k: 8 }, data: { x }, want: sorted(x, 8) });
  });

  test("unsigned integers", async () => {
    const x = [0, 7, 0, 4294967295, 7];
    await check("unsigned", { sizes: { n: 5, k: 7 }, data: { x }, want: sorted(x, 7, 0) });
  });

  test("into the dim itself: a sort", async () => {
    const x = coarse(13, 2 * 21, 8);
    await check("sort", { sizes: { rows: 2, n: 21 }, data: { x }, want: ofRows(x, 21, 21) });
  });

  test("places gather", async () => {
    const x = [1, 5, 5, -2, 3];
    const table = Array.from({ length: 10 }, (_, i) => i + 1);
    const want = { y: [5 * 3 + 10 * 5 + 9 * 9, 5 * 4 + 10 * 6 + 9 * 10], total: [13] };
    await check("chosen", { sizes: { n: 5, dim: 2, k: 3 }, data: { x, table, k: [1, 2, 3] }, want });
  });

  test("through branches and scalar loops", async () => {
    const x = coarse(11, 4 * 9, 30);
    const even = x.map((v, i) => (Math.floor(i / 9) % 2 === 0 ? v : -1));
    await check("turns", { sizes: { steps: 4, n: 9, k: 5 }, data: { x }, want: sorted(even, 5) });
  });
});
