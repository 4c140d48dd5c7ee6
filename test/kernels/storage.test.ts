/**
 * Storage formats: what loads widen, what stores round, which stores cannot be, and scalars as numbers and as tensors.
 */

import { describe, expect, test } from "vitest";
import { generate, KernelError, type StorageType, type TileProgram } from "../../compiler/index.ts";
import { simulateTensors } from "../../compiler/oracle/simulate/index.ts";
import {
  type bf16,
  block,
  dot,
  every,
  type f16,
  type fp8,
  type i32,
  max,
  over,
  program,
  type real,
  type Scalar,
  sum,
  type Tensor,
  type u32,
} from "../../dsl/index.ts";
import { TRAITS } from "../../runtime/adapters/traits.ts";
import { type DType, decodeBF16, decodeF16, decodeFloats, encodeFloats } from "../../runtime/memory/dtype.ts";
import { LANE_TARGETS, nameOf } from "../support/lanes.ts";
import { kernelsOf } from "./harness.ts";

/** Loads of every format, in every way an element can be reached: in blocks, in a loop, one by one, backwards. */
function reads(
  x: Tensor<"rows n", real>,
  one: Tensor<"rows", real>,
  y: Tensor<"words rows n">,
  z: Tensor<"rows">,
): void {
  const r = program("rows");
  const i = every("n");
  y.set([0, r, i], x.at(r, i));
  y.set([1, r, i], x.at(r, 0) + i);
  let total = one.at(r);
  for (const j of over("n")) total += sum(x.at(r, j) * j);
  z.set([r], total);
}

/** A product of two formats. */
function mixed(w: Tensor<"rows n", real>, v: Tensor<"n", real>, y: Tensor<"rows">): void {
  const r = block("rows", 4);
  let total = 0;
  for (const j of over("n")) total += dot(w.at(r, j), v.at(j));
  y.set([r], total);
}

function halves(x: Tensor<"rows n">, y: Tensor<"rows n", f16>, z: Tensor<"rows n", bf16>): void {
  const r = program("rows");
  const i = block("n");
  y.set([r, i], x.at(r, i) * 3);
  z.set([r, i], x.at(r, i) * 3);
}

/** A whole dim and the blocks of a loop are written in pairs as well; a copy keeps the bits. */
function halfRows(x: Tensor<"rows n", real>, y: Tensor<"rows n", f16 | bf16>, z: Tensor<"rows n", f16 | bf16>): void {
  const r = program("rows");
  let peak = -Infinity;
  for (const i of over("n")) {
    z.set([r, i], x.at(r, i));
    peak = max(peak, sum(x.at(r, i)));
  }
  y.set([r], x.at(r) + 0 * peak);
}

function oddHalves(x: Tensor<"n">, y: Tensor<"n", f16 | bf16 | fp8>): void {
  const i = block("n");
  y.set([i], x.at(i));
}

function oneEach(x: Tensor<"n">, y: Tensor<"n", real>): void {
  const i = program("n");
  y.set([i], x.at(i));
}

function everyThird(x: Tensor<"n">, of: Tensor<"thirds">, y: Tensor<"n", real>): void {
  const i = block("thirds");
  y.set([i * 3], x.at(i * 3) + 0 * of.at(i));
}

/** A row of whole words, and of the next one an element. */
function mixedHalves(x: Tensor<"n">, y: Tensor<"two n", real>): void {
  for (const i of over("n")) y.set([0, i], x.at(i));
  y.set([1, 3], 5);
}

function oneHalf(x: Tensor<"n">, y: Tensor<"n", f16 | bf16 | fp8>): void {
  y.set([3], x.at(0));
}

function cutHalves(x: Tensor<"n">, live: Scalar<u32>, y: Tensor<"n", f16 | bf16 | fp8>): void {
  for (const i of over("n", live)) y.set([i], x.at(i));
}

function intoBlocks(x: Tensor<"n">, y: Tensor<"n", real>): void {
  const i = block("n");
  y.set([i], x.at(i));
}

function scalars(a: Scalar, b: Scalar<u32>, c: Scalar<i32>, x: Tensor<"n">, y: Tensor<"n">): void {
  const i = block("n");
  y.set([i], x.at(i) * a + b - c + (b > 2 ? 0.5 : 0));
}

/** Integers go in and out whole. */
function integers(
  u: Tensor<"n", u32>,
  s: Tensor<"n", i32>,
  y: Tensor<"n", u32>,
  z: Tensor<"n", i32>,
  f: Tensor<"n">,
): void {
  const i = block("n");
  y.set([i], u.at(i));
  z.set([i], s.at(i));
  f.set([i], u.at(i) % 1000);
}

/** Every format widened, as vectors. */
function widened(x: Tensor<"n", real>, y: Tensor<"n">): void {
  const i = block("n");
  y.set([i], x.at(i));
}

/** One by one, at an index that goes below zero on its way. */
function shifted(x: Tensor<"n", real>, y: Tensor<"m">): void {
  const j = block("m");
  y.set([j], x.at(j - 1 + 4));
}

const { check, programs } = kernelsOf(import.meta, {
  widened,
  shifted,
  reads,
  mixed,
  halves,
  halfRows,
  oddHalves,
  oneEach,
  everyThird,
  mixedHalves,
  oneHalf,
  cutHalves,
  intoBlocks,
  scalars,
  integers,
});

/** What 16 bits can say, without infinities and NaN: denormals, both zeros, the largest. */
function everyHalf(format: "f16" | "bf16"): Float32Array {
  const exponent = format === "f16" ? 0x7c00 : 0x7f80;
  const bits = Uint16Array.from({ length: 2 ** 16 }, (_, i) => i).filter((b) => (b & exponent) !== exponent);
  const all = format === "f16" ? decodeF16(bits) : decodeBF16(bits);
  // Denormal f32 are zero on some adapters.
  return all.filter((v) => v === 0 || Math.abs(v) >= 2 ** -126);
}

describe("storage formats (seed 1)", () => {
  test.each(["f16", "bf16"] as const)("%s: every number", async (format) => {
    const x = everyHalf(format);
    await check("widened", {
      sizes: { n: x.length },
      storage: { x: format },
      data: { x },
      want: { y: x },
      tolerance: 0,
    });
    const [n, m] = [x.length, x.length - 3];
    await check("shifted", {
      sizes: { n, m },
      storage: { x: format },
      data: { x },
      want: { y: x.slice(3) },
      tolerance: 0,
    });
  });

  test.each<[StorageType, number]>([
    ["f32", 13],
    ["f16", 13],
    ["f16", 24],
    ["bf16", 7],
    ["bf16", 32],
    ["q8", 32],
    ["q8", 160],
    ["q4", 32],
    ["q4", 160],
    ["fp8", 13],
    ["fp8", 48],
    ["q4_1", 32],
    ["q4_1", 160],
  ])("loads of %s, rows of %d", (dtype, n) =>
    check("reads", {
      sizes: { words: 2, rows: n % 32 === 0 ? 32 : 3, n },
      storage: { x: dtype, one: dtype },
      tolerance: 1e-5,
    }),
  );

  test.each<[StorageType, StorageType, number]>([
    ["f16", "bf16", 36],
    ["bf16", "f32", 130],
    ["q8", "f16", 64],
    ["q4", "q8", 96],
    ["q4", "f32", 256],
    ["fp8", "f32", 64],
    ["q4_1", "fp8", 96],
    ["q4_1", "q4_1", 256],
  ])("%s times %s, %d elements", (w, v, n) =>
    check("mixed", { sizes: { rows: 6, n }, storage: { w, v }, tolerance: 1e-5 }),
  );

  test.each([2, 6, 64])("16-bit stores, rows of %d", (n) => check("halves", { sizes: { rows: 3, n } }));
  test.each<[StorageType, number]>([
    ["f16", 8],
    ["bf16", 10],
    ["f16", 32],
  ])("16-bit stores of %s in loops, rows of %d", (dtype, n) =>
    check("halfRows", { sizes: { rows: 3, n }, storage: { x: dtype, y: dtype, z: dtype } }),
  );

  test("rounding: ties to even, overflow, small numbers", () => {
    const x = [1 + 2 ** -11, 1 + 3 * 2 ** -11, 65504, 1e-4, -2.5, 0, 1 / 3, -1 / 3].map((v) => v / 3);
    return check("halves", { sizes: { rows: 1, n: 8 }, data: { x } });
  });

  test("scalars as numbers", () => check("scalars", { sizes: { n: 9 }, scalars: { a: 1.5, b: 4_000_000_000, c: -7 } }));
  test("scalars as tensors", () =>
    check("scalars", { sizes: { n: 9 }, scalars: { a: -0.25, b: 1, c: 2_000_000_000 }, cells: ["a", "b", "c"] }));
  test("integers keep all their bits", () =>
    check("integers", {
      sizes: { n: 7 },
      data: {
        u: [0, 1, 2 ** 31, 2 ** 32 - 1, 16777217, 5, 6],
        s: [0, -1, 2 ** 31 - 1, -(2 ** 31), 16777217, 5, -16777217],
      },
    }));
});

/** Neighbours in one word are stored by different lanes and programs, in whatever order; what nobody stores stays. */
describe("single elements of a word", () => {
  const FORMATS = ["f16", "bf16", "fp8"] as const;
  const want = (n: number, from: ArrayLike<number>, format: DType): Float32Array =>
    decodeFloats(
      encodeFloats(
        Float32Array.from({ length: n }, (_, i) => from[i] as number),
        format,
      ),
      format,
    );

  test.each(FORMATS)("%s: rows that end within a word", async (storage) => {
    for (const n of [1, 7, 131]) await check("oddHalves", { sizes: { n }, storage: { y: storage } });
  });

  test.each(FORMATS)("%s: a program for each element, every bit", async (storage) => {
    const n = 1024;
    const x = Float32Array.from({ length: n }, (_, i) => ((i * 37) % 256) - 128 + (i % 3) / 8);
    await check("oneEach", { sizes: { n }, storage: { y: storage }, data: { x }, want: { y: want(n, x, storage) } });
    await check("oneEach", { sizes: { n: 5 }, storage: { y: storage } });
  });

  test.each(FORMATS)("%s: what lies beside an element stays", async (storage) => {
    const n = 96;
    const old = want(
      n,
      Float32Array.from({ length: n }, (_, i) => 100 - i),
      storage,
    );
    const x = Float32Array.from({ length: n }, (_, i) => i / 4);
    const y = old.map((v, i) => (i % 3 === 0 ? (want(n, x, storage)[i] as number) : v));
    const sizes = { n, thirds: n / 3 };
    await check("everyThird", { sizes, storage: { y: storage }, data: { x, y: old }, want: { y } });
    const one = old.map((v, i) => (i === 3 ? (want(n, x, storage)[0] as number) : v));
    await check("oneHalf", { sizes: { n }, storage: { y: storage }, data: { x, y: old }, want: { y: one } });
  });

  test.each(FORMATS)("%s: up to a limit within a word", async (storage) => {
    const n = 70;
    const old = want(
      n,
      Float32Array.from({ length: n }, () => 7),
      storage,
    );
    for (const live of [1, 6, 67]) {
      const x = Float32Array.from({ length: n }, (_, i) => i - 30);
      const y = old.map((v, i) => (i < live ? (want(n, x, storage)[i] as number) : v));
      await check("cutHalves", {
        sizes: { n },
        storage: { y: storage },
        scalars: { live },
        data: { x, y: old },
        want: { y },
      });
    }
  });

  test.each(FORMATS)("%s: single ones beside whole words, in one tensor", async (storage) => {
    const [n, old] = [64, new Float32Array(128).fill(2)];
    const x = Float32Array.from({ length: n }, (_, i) => i / 2);
    const y = [...want(n, x, storage), ...old.subarray(n)];
    y[n + 3] = 5;
    await check("mixedHalves", { sizes: { two: 2, n }, storage: { y: storage }, data: { x, y: old }, want: { y } });
  });

  test.each(LANE_TARGETS.map((t) => [nameOf(t), t] as const))("simulated for %s", async (_, target) => {
    const program = (await programs).get("oneEach") as TileProgram;
    for (const storage of FORMATS) {
      const x = Float32Array.from({ length: 37 }, (_, i) => i - 18);
      const { lanes } = generate(program, { sizes: { n: 37 }, storage: { x: "f32", y: storage }, cells: [] }, target);
      const y = new Float32Array(37).fill(1);
      const tensors = { x: { shape: [37], storage: "f32", data: x }, y: { shape: [37], storage, data: y } } as const;
      simulateTensors(lanes, tensors);
      expect(y).toEqual(want(37, x, storage));
    }
  });

  test("whole words are stored without atomic operations", async () => {
    const program = (await programs).get("halves") as TileProgram;
    const binding = { sizes: { rows: 3, n: 64 }, storage: { x: "f32", y: "f16", z: "bf16" }, cells: [] } as const;
    for (const target of LANE_TARGETS) expect(generate(program, binding, target).wgsl).not.toContain("atomic");
  });
});

describe("stores that cannot be", () => {
  const TARGET = {
    profile: "software",
    subgroup: 4,
    pinned: false,
    maxInvocations: 256,
    storageBuffers: 8,
    traits: TRAITS.swiftshader,
  } as const;

  async function complaint(name: string, n: number, storage: StorageType): Promise<string> {
    const program = (await programs).get(name);
    if (program === undefined) throw new Error(`no kernel ${name}`);
    try {
      generate(program, { sizes: { n }, storage: { x: "f32", y: storage }, cells: [] }, TARGET);
    } catch (error) {
      expect(error).toBeInstanceOf(KernelError);
      // Line numbers move with every edit of this file.
      return (error as Error).message
        .replaceAll(/(?<=\.ts:)\d+|(?<=^ +)\d+(?= \|)/gm, "N")
        .replaceAll(/^ +\|/gm, "    |");
    }
    throw new Error("nothing was refused");
  }

  test("parts of blocks", async () => {
    expect(await complaint("intoBlocks", 40, "q8")).toBe(
      [
        'storage.test.ts:N:3  TS-302  "y" is stored as q8, and here parts of blocks of 32 would be written',
        "  N |   y.set([i], x.at(i));",
        "    |   ^^^^^^^^^^^^^^^^^^^",
        "  help: whole blocks are written along the last dim: by a block (with a size that is a multiple of theirs, if it has one), the whole dim or an over-loop without a run-time limit; or store f32",
      ].join("\n"),
    );
  });
});
