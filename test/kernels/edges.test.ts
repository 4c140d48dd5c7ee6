/**
 * Values at the edges of what numbers are: powers of negative bases, infinities and NaN in reductions, limits beyond a
 * dim.
 */
import { describe, expect, test } from "vitest";
import { type HostTensor, interpret, type TileProgram } from "../../compiler/index.ts";
import {
  amax,
  amin,
  argmax,
  argmin,
  bitcast,
  block,
  cast,
  emptyTopk,
  every,
  max,
  min,
  over,
  pow,
  program,
  type Scalar,
  select,
  size,
  sum,
  type Tensor,
  topk,
  type u32,
} from "../../dsl/index.ts";
import { gpuOf } from "../support/decoders.ts";
import { everyAdapter } from "../support/gpu.ts";
import { kernelsOf } from "./harness.ts";

const THREE = 3;

/** Whole powers of any base. */
function wholePowers(x: Tensor<"n">, y: Tensor<"nine n">): void {
  const i = block("n");
  const v = x.at(i);
  y.set([0, i], v ** 0);
  y.set([1, i], v ** 1);
  y.set([2, i], v ** 2);
  y.set([3, i], v ** THREE);
  y.set([4, i], pow(v, 5));
  y.set([5, i], v ** 13);
  y.set([6, i], v ** -1);
  y.set([7, i], v ** -2);
  y.set([8, i], pow(v, -THREE));
}

/** Powers of whole numbers, and one that is summed though it is 1 everywhere. */
function powersOfIntegers(n: Tensor<"n", u32>, y: Tensor<"two n">, total: Tensor<"one">): void {
  const i = every("n");
  y.set([0, i], n.at(i) ** 2);
  y.set([1, i], n.at(i) ** -1);
  total.set([0], sum(n.at(i) ** 0));
}

function anyPower(x: Tensor<"n">, e: Tensor<"n">, y: Tensor<"n">): void {
  const i = block("n");
  y.set([i], x.at(i) ** e.at(i));
}

/** Powers of which those with a negative base are not used. */
function guarded(x: Tensor<"n">, e: Tensor<"n">, y: Tensor<"n">): void {
  const i = block("n");
  y.set([i], select(x.at(i) > 0, x.at(i) ** e.at(i), -1));
}

/** Extremes of whole rows. */
function extremes(
  x: Tensor<"rows n", "f32" | "f16" | "bf16">,
  y: Tensor<"rows two">,
  at: Tensor<"rows two", u32>,
): void {
  const r = program("rows");
  const i = every("n");
  const v = x.at(r, i);
  y.set([r, 0], amax(v));
  y.set([r, 1], amin(v));
  at.set([r, 0], argmax(v, i));
  at.set([r, 1], argmin(v, i));
}

/** Extremes of rows that are walked in blocks, begun with the first element. */
function running(x: Tensor<"rows n">, y: Tensor<"rows two">, at: Tensor<"rows two", u32>): void {
  const r = program("rows");
  let [most, least] = [x.at(r, 0), x.at(r, 0)];
  let [high, low] = [size("n"), size("n")];
  for (const i of over("n")) {
    const v = x.at(r, i);
    const [top, bottom] = [amax(v), amin(v)];
    high = top > most || high === size("n") ? argmax(v, i) : high;
    low = bottom < least || low === size("n") ? argmin(v, i) : low;
    most = max(most, top);
    least = min(least, bottom);
  }
  y.set([r, 0], most);
  y.set([r, 1], least);
  at.set([r, 0], high);
  at.set([r, 1], low);
}

/** Extremes alone, which the compiler may gather lane by lane until the loop is done. */
function gathered(x: Tensor<"rows n">, y: Tensor<"rows two">): void {
  const r = program("rows");
  let [most, least] = [x.at(r, 0), x.at(r, 0)];
  for (const i of over("n")) {
    most = max(most, amax(x.at(r, i)));
    least = min(least, amin(x.at(r, i)));
  }
  y.set([r, 0], most);
  y.set([r, 1], least);
}

/** Extremes begun with infinities, which `Infinity` itself is not. */
function begun(x: Tensor<"rows n">, y: Tensor<"rows two">): void {
  const r = program("rows");
  let most = bitcast(cast(0xff800000, "u32"), "f32");
  let least = bitcast(cast(0x7f800000, "u32"), "f32");
  for (const i of over("n")) {
    most = max(most, amax(x.at(r, i)));
    least = min(least, amin(x.at(r, i)));
  }
  y.set([r, 0], most);
  y.set([r, 1], least);
}

/** Indices that are no indices of the dim itself. */
function shifted(x: Tensor<"rows n">, at: Tensor<"rows two", u32>): void {
  const r = program("rows");
  const i = every("n");
  at.set([r, 0], argmax(x.at(r, i), i * 10 + 7));
  at.set([r, 1], argmin(x.at(r, i), 1000 - i));
}

function best(x: Tensor<"rows n">, values: Tensor<"rows k">, places: Tensor<"rows k", u32>): void {
  const r = program("rows");
  const [v, p] = topk(x.at(r, every("n")), every("n"), "k");
  values.set([r], v);
  places.set([r], p);
}

function bestRunning(x: Tensor<"rows n">, values: Tensor<"rows k">, places: Tensor<"rows k", u32>): void {
  const r = program("rows");
  let [v, p] = emptyTopk("k");
  for (const i of over("n")) [v, p] = topk(x.at(r, i), i, [v, p]);
  values.set([r], v);
  places.set([r], p);
}

/** Sums up to limits: constants, a scalar, one of memory, and the last of several indices. */
function limited(x: Tensor<"rows n">, live: Scalar<u32>, counts: Tensor<"rows", u32>, y: Tensor<"rows five">): void {
  const r = program("rows");
  let [five, all, some, own, none] = [0, 0, 0, 0, 0];
  for (const i of over("n", 5)) five += sum(x.at(r, i));
  for (const i of over("n", Infinity)) all += sum(x.at(r, i));
  for (const i of over("n", live)) some += sum(x.at(r, i));
  for (const i of over("n", counts.at(r))) own += sum(x.at(r, i));
  for (const i of over("n", 0)) none += sum(x.at(r, i));
  y.set([r, 0], five);
  y.set([r, 1], all);
  y.set([r, 2], some);
  y.set([r, 3], own);
  y.set([r, 4], none);
}

/** Copies up to a limit. */
function copied(x: Tensor<"n">, live: Scalar<u32>, y: Tensor<"n">): void {
  for (const i of over("n", live)) y.set([i], x.at(i));
}

const kernels = {
  wholePowers,
  powersOfIntegers,
  anyPower,
  guarded,
  extremes,
  running,
  gathered,
  begun,
  shifted,
  best,
  bestRunning,
  limited,
  copied,
};
const { check, programs } = kernelsOf(import.meta, kernels);

describe("powers", () => {
  const bases = [-2, -1.5, -1, -0.25, 0.5, 1, 3, 1.25, -7, 2, -3];
  test("with a whole constant exponent", () => {
    const powers = [0, 1, 2, 3, 5, 13, -1, -2, -3];
    return check("wholePowers", {
      sizes: { n: bases.length, nine: 9 },
      data: { x: bases },
      want: { y: powers.flatMap((n) => bases.map((x) => x ** n)) },
    });
  });

  test("of nothing and of infinities", () =>
    check("wholePowers", {
      sizes: { n: 3, nine: 9 },
      data: { x: [0, Infinity, -Infinity] },
      want: {
        y: [0, 1, 2, 3, 5, 13, -1, -2, -3].flatMap((n) => [0, Infinity, -Infinity].map((x) => x ** n)),
      },
    }));

  test("of whole numbers are real", () =>
    check("powersOfIntegers", {
      sizes: { n: 5, two: 2 },
      data: { n: [1, 2, 3, 4, 70000] },
      want: { y: [1, 4, 9, 16, 70000 ** 2, 1, 1 / 2, 1 / 3, 1 / 4, 1 / 70000], total: [5] },
    }));

  test("with any other exponent are defined for positive bases, and others are told when they are run", async () => {
    await check("anyPower", {
      sizes: { n: 4 },
      data: { x: [2, 4, 0.5, 9], e: [0.5, -1, 3, 1.5] },
      want: { y: [Math.SQRT2, 0.25, 0.125, 27] },
      tolerance: 1e-5,
    });
    const program = (await programs).get("anyPower") as TileProgram;
    const tensor = (data: number[]): HostTensor => ({
      shape: [data.length],
      storage: "f32",
      data: Float32Array.from(data),
    });
    const run = (name: TileProgram, x: number[], e: number[]): HostTensor => {
      const y = tensor(x.map(() => 0));
      interpret(name, { x: tensor(x), e: tensor(e), y });
      return y;
    };
    for (const [x, e] of [
      [-2, 3],
      [-1, 0.5],
      [-8, 1 / 3],
    ] as const)
      expect(() => run(program, [1, x], [1, e])).toThrow(
        new RegExp(
          `^anyPower, line \\d+: ${x} to the power of ${Math.fround(e)} has no value on every adapter: powers are defined for positive bases`,
        ),
      );
    expect([...run(program, [3, 0], [3, 2]).data]).toEqual([27, 0]);
  });

  test("of negative bases may stand where they are not used", () =>
    check("guarded", {
      sizes: { n: 4 },
      data: { x: [-2, 4, -0.5, 9], e: [0.5, 0.5, 3, 2] },
      want: { y: [-1, 2, -1, 81] },
      tolerance: 1e-5,
    }));
});

const [UP, DOWN] = [Infinity, -Infinity];
/** Rows with infinities everywhere, and here and there. */
function rowsOf(n: number): number[][] {
  const row = (of: (i: number) => number): number[] => Array.from({ length: n }, (_, i) => of(i));
  return [
    row(() => DOWN),
    row(() => UP),
    row((i) => (i === n - 1 ? -3.4028234663852886e38 : DOWN)),
    row((i) => (i === n - 1 ? 3.4028234663852886e38 : UP)),
    row((i) => (i === n >> 1 ? DOWN : (i % 7) - 3)),
    row((i) => (i === n >> 1 ? UP : (i % 7) - 3)),
    row((i) => (i % 2 === 0 ? UP : DOWN)),
    row((i) => (i * 5) % 11),
  ];
}

describe.each([1, 4, 37, 300])("infinities in rows of %i", (n) => {
  const rows = rowsOf(n);
  const [most, least] = [rows.map((r) => Math.max(...r)), rows.map((r) => Math.min(...r))];
  const y = rows.flatMap((_, r) => [most[r] as number, least[r] as number]);
  const at = rows.flatMap((row, r) => [row.indexOf(most[r] as number), row.indexOf(least[r] as number)]);
  const sizes = { rows: rows.length, n, two: 2 };
  test.each(["f32", "f16", "bf16"] as const)("extremes and where they are, stored as %s", (storage) => {
    // The largest f32 is an infinity in the narrower formats.
    const narrow = rows.filter((_, r) => storage === "f32" || (r !== 2 && r !== 3));
    const keep = (_: number, i: number): boolean => storage === "f32" || (i >> 1 !== 2 && i >> 1 !== 3);
    return check("extremes", {
      sizes: { ...sizes, rows: narrow.length },
      storage: { x: storage },
      data: { x: narrow.flat() },
      want: { y: y.filter(keep), at: at.filter(keep) },
    });
  });
  test("block by block", () => check("running", { sizes, data: { x: rows.flat() }, want: { y, at } }));
  test.each(["gathered", "begun"] as const)("extremes alone, block by block: %s", (name) =>
    check(name, { sizes, data: { x: rows.flat() }, want: { y } }),
  );
  test("with indices of one's own", () =>
    check("shifted", {
      sizes,
      data: { x: rows.flat() },
      want: {
        at: rows
          .flatMap((row, r) => [row.indexOf(most[r] as number) * 10 + 7, 1000 - row.lastIndexOf(least[r] as number)])
          .map((x) => x >>> 0),
      },
    }));
  test.each(["best", "bestRunning"] as const)("the largest: %s", (name) => {
    const k = 5;
    const sorted = rows.map((row) =>
      [...row.keys()].sort((a, b) => (row[a] === row[b] ? a - b : (row[b] as number) - (row[a] as number))),
    );
    const place = (r: number, j: number): number => sorted[r]?.[j] ?? 0xffffffff;
    const all = rows.flatMap((_, r) => Array.from({ length: k }, (_, j) => [r, j] as const));
    return check(name, {
      sizes: { ...sizes, k },
      data: { x: rows.flat() },
      want: {
        values: all.map(([r, j]) => rows[r]?.[place(r, j)] ?? -3.4028234663852886e38),
        places: all.map(([r, j]) => place(r, j)),
      },
    });
  });
});

describe.each(everyAdapter())("what is no number, on %s", (adapter) => {
  test.each([1, 4, 37, 300])("an index is one of the row all the same: rows of %i", async (n) => {
    const gpu = await gpuOf(adapter);
    const k = await gpu.kernels(import.meta, { extremes, running, shifted });
    const row = (of: (i: number) => number): number[] => Array.from({ length: n }, (_, i) => of(i));
    const data = [
      row(() => Number.NaN),
      row((i) => (i === 0 ? Number.NaN : i)),
      row((i) => (i === n - 1 ? Number.NaN : -i)),
      row((i) => (i % 2 === 0 ? Number.NaN : DOWN)),
    ];
    const rows = data.length;
    const x = gpu.tensor({ rows, n }, "f32", { data: data.flat() });
    const y = gpu.tensor({ rows, two: 2 });
    const at = gpu.tensor({ rows, two: 2 }, "u32");
    for (const of of [k.extremes, k.running]) {
      of(x, y, at);
      for (const index of await at.read()) expect(index).toBeLessThan(n);
    }
    k.shifted(x, at);
    for (const [i, index] of (await at.read()).entries())
      expect(data[0]?.map((_, c) => (i % 2 === 0 ? c * 10 + 7 : 1000 - c))).toContain(index);
    for (const t of [x, y, at]) t.destroy();
  });
});

describe("limits beyond a dim", () => {
  test.each([
    [4, 5],
    [5, 6],
    [7, 0xffffffff],
    [3, 4],
    [1, 9],
    [37, 64],
    [130, 131],
    [300, 299],
  ])("%i elements, up to %i", (n, live) => {
    const rows = 3;
    const x = Array.from({ length: rows * n }, (_, i) => i + 1);
    const counts = [0, n + 1, 2 ** 31];
    const upTo = (r: number, limit: number): number =>
      x.slice(r * n, r * n + Math.min(limit, n)).reduce((a, b) => a + b, 0);
    return check("limited", {
      sizes: { rows, n, five: 5 },
      data: { x, counts },
      scalars: { live },
      want: { y: [0, 1, 2].flatMap((r) => [5, n, live, counts[r] as number, 0].map((limit) => upTo(r, limit))) },
    });
  });

  test.each([3, 4, 37, 130])("what is written ends there too: %i elements", (n) =>
    check("copied", {
      sizes: { n },
      data: { x: Array.from({ length: n }, (_, i) => i) },
      scalars: { live: n + 3 },
      want: { y: Array.from({ length: n }, (_, i) => i) },
    }),
  );
});
