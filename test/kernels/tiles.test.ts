/**
 * Tiles of several dims: reductions along any of them, products with batch dims, ties, gathers, scatters, scans and
 * atomics.
 */
import { describe, test } from "vitest";
import {
  amax,
  amin,
  argmax,
  argmin,
  block,
  cast,
  cumsum,
  dot,
  every,
  full,
  type i32,
  max,
  over,
  program,
  range,
  size,
  sum,
  type Tensor,
  type u32,
  zeros,
} from "../../dsl/index.ts";
import { kernelsOf } from "./harness.ts";

/** Each reduction along each dim of a tile of two. */
function reductions(x: Tensor<"a b">, alongA: Tensor<"words b">, alongB: Tensor<"words a">): void {
  const v = x.at();
  alongA.set([0], sum(v, "a"));
  alongA.set([1], amax(v, "a"));
  alongA.set([2], amin(v, "a"));
  alongB.set([0], sum(v, "b"));
  alongB.set([1], amax(v, "b"));
  alongB.set([2], amin(v, "b"));
}

/** Reductions of reductions, and of integers. */
function numbers(x: Tensor<"a b">, u: Tensor<"a b", u32>, s: Tensor<"a b", i32>, y: Tensor<"words">): void {
  y.set([0], sum(sum(x.at(), "b")));
  y.set([1], amax(amin(x.at(), "a")));
  y.set([2], cast(sum(amax(u.at(), "a")), "f32"));
  y.set([3], cast(amin(sum(s.at(), "b")), "f32"));
}

/** Three dims, the last one reduced, the middle one in blocks. */
function middleSum(x: Tensor<"a b c">, z: Tensor<"a b">): void {
  const a = program("a");
  for (const b of over("b")) z.set([a, b], sum(x.at(a, b), "c"));
}

/** out = a · b^T, blocks of rows by blocks of columns, batch dim by name. */
function batched(a: Tensor<"batch m k">, b: Tensor<"batch n k">, out: Tensor<"batch m n">): void {
  const z = block("batch", 2);
  const m = block("m", 3);
  const n = block("n", 4);
  let acc = 0;
  for (const k of over("k")) acc += dot(a.at(z, m, k), b.at(z, n, k), "k");
  out.set([z, m, n], acc);
}

/** out = a · b, columns spread over lanes. */
function product(a: Tensor<"m k">, b: Tensor<"k n">, out: Tensor<"m n">): void {
  const m = block("m", 2);
  const n = block("n");
  let acc = 0;
  for (const k of range(size("k"))) acc += a.at(m, k) * b.at(k, n);
  out.set([m, n], acc);
}

/** Ties give the lowest index; indices need not be those of the tile. */
function ties(x: Tensor<"rows n">, y: Tensor<"words rows", u32>): void {
  const r = program("rows");
  const i = every("n");
  y.set([0, r], argmax(x.at(r), i));
  y.set([1, r], argmin(x.at(r), i));
  y.set([2, r], argmax(x.at(r, i), 100 - i));
  let best = -Infinity;
  let place = cast(0, "u32");
  for (const j of over("n")) {
    const top = amax(x.at(r, j));
    place = top > best ? argmax(x.at(r, j), j) : place;
    best = max(best, top);
  }
  y.set([3, r], place);
}

/** Loads at computed indices: reversed, strided, from a tensor, by two tiles at once, of a scalar place. */
function gathered(x: Tensor<"rows n">, order: Tensor<"n", u32>, rows: Tensor<"n", u32>, y: Tensor<"words n">): void {
  const i = block("n");
  y.set([0, i], x.at(0, size("n") - 1 - i));
  y.set([1, i], x.at(1, order.at(i)));
  y.set([2, i], x.at(rows.at(i), i));
  y.set([3, i], x.at(rows.at(i), order.at(i)));
  y.set([4, i], x.at(2, (i * 3) % size("n")));
  y.set([5, i], x.at(rows.at(0), order.at(1)));
  y.set([6, i], x.at(0, i + 0) + x.at(0, (i + 1) % size("n")));
}

/** Stores at computed indices: a permutation, one element of each row. */
function scattered(x: Tensor<"rows n">, order: Tensor<"n", u32>, y: Tensor<"rows n">, z: Tensor<"rows n">): void {
  const r = program("rows");
  for (const i of over("n")) y.set([r, order.at(i)], x.at(r, i));
  z.set([r, order.at(r)], 7);
}

/** Running sums along either dim, in a whole tile and across the blocks of a loop. */
function scans(x: Tensor<"rows n">, u: Tensor<"n", u32>, y: Tensor<"words rows n">, v: Tensor<"n", u32>): void {
  const r = program("rows");
  let before = 0;
  for (const i of over("n")) {
    const part = x.at(r, i);
    y.set([0, r, i], cumsum(part) + before);
    before += sum(part);
  }
  y.set([1, r], cumsum(x.at(r)));
  if (r === 0) v.set([], cumsum(u.at()));
}

function scanRows(x: Tensor<"rows n">, y: Tensor<"rows n">): void {
  const i = block("n");
  y.set([every("rows"), i], cumsum(x.at(every("rows"), i), "rows"));
}

/** Elements that programs and lanes meet in. */
function meeting(
  x: Tensor<"rows n">,
  bin: Tensor<"rows n", u32>,
  counts: Tensor<"bins", u32>,
  least: Tensor<"bins", i32>,
  total: Tensor<"one">,
  most: Tensor<"one">,
): void {
  const r = program("rows");
  for (const i of over("n")) {
    counts.add([bin.at(r, i)], 1);
    least.min([bin.at(r, i)], cast(i, "i32") - 5);
    total.add([0], sum(x.at(r, i)));
    most.max([0], amax(x.at(r, i)));
  }
}

/** New tiles, and tiles of one dim meeting tiles of another. */
function outer(x: Tensor<"a">, w: Tensor<"b">, y: Tensor<"a b">, z: Tensor<"words a b">): void {
  const b = block("b");
  const a = every("a");
  y.set([a, b], x.at(a) * w.at(b) + full("a", 0.5) + zeros("a"));
  z.set([0, a, b], full("a", 2));
  z.set([1, a, b], w.at(b));
  z.set([2, a, b], a * 10 + b);
}

/** Dims of one element. */
function single(x: Tensor<"one n">, w: Tensor<"n one">, y: Tensor<"one one2">, z: Tensor<"one2 one">): void {
  const i = block("one");
  const j = block("one2", 3);
  y.set([i, j], dot(x.at(i), w.at(every("n"), 0)) + j);
  for (const k of over("one2")) z.set([k, 0], amax(x.at(0)) + k);
}

const { check } = kernelsOf(import.meta, {
  reductions,
  numbers,
  middleSum,
  batched,
  product,
  ties,
  gathered,
  scattered,
  scans,
  scanRows,
  meeting,
  outer,
  single,
});

const n = 37;
const order = Array.from({ length: n }, (_, i) => (i * 11 + 5) % n);

describe("tiles (seed 1)", () => {
  test.each([
    [3, 5],
    [4, 8],
    [6, 1],
  ])("reductions of %d x %d", async (a, b) => {
    await check("reductions", { sizes: { a, b, words: 3 } });
    await check("numbers", { sizes: { a, b, words: 4 } });
  });
  test("a reduction of the last dim in a loop over the middle one", () =>
    check("middleSum", { sizes: { a: 3, b: 7, c: 12 } }));
  test.each([13, 32])("products with a batch dim, k = %d", (k) =>
    check("batched", { sizes: { batch: 3, m: 5, n: 6, k }, tolerance: 1e-5 }),
  );
  test("a product with spread columns", () => check("product", { sizes: { m: 5, k: 9, n: 50 }, tolerance: 1e-5 }));
  test("ties", () =>
    check("ties", {
      sizes: { rows: 3, n: 21, words: 4 },
      data: { x: [...Array.from({ length: 42 }, (_, i) => (i * 7) % 4), ...Array.from({ length: 21 }, () => -2.5)] },
    }));
  test("gathers", () =>
    check("gathered", { sizes: { rows: 3, n, words: 7 }, data: { order, rows: order.map((x) => x % 3) } }));
  test("scatters", () => check("scattered", { sizes: { rows: 3, n }, data: { order }, partial: true }));
  test.each([37, 64])("running sums over %d", (many) =>
    check("scans", { sizes: { rows: 2, n: many, words: 2 }, tolerance: 1e-5 }),
  );
  test("running sums along a dim that no lane walks", () => check("scanRows", { sizes: { rows: 5, n: 9 } }));
  test("atomics", () =>
    check("meeting", {
      sizes: { rows: 5, n: 21, bins: 7 },
      data: {
        bin: Array.from({ length: 105 }, (_, i) => (i * i) % 7),
        counts: [1, 2, 3, 4, 5, 6, 7],
        least: [0, 0, -9, 0, 0, 0, 9],
        total: [0.5],
        most: [-3],
      },
      tolerance: 1e-5,
    }));
  test.each([8, 11])("outer products, %d columns", (b) => check("outer", { sizes: { a: 3, b, words: 3 } }));
  test.each([1, 5])("dims of one element, %d", (one2) =>
    check("single", { sizes: { one: 1, one2, n: 6 }, tolerance: 1e-5 }),
  );
});
