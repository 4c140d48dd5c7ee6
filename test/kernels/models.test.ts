/** Every kernel of the decoder at sizes that do not divide, in every weight format, against the interpreter. */
import { describe, expect, test } from "vitest";
import { loadPrograms, type StorageType, type TileProgram } from "../../compiler/index.ts";
import * as kernels from "../../models/kernels/index.ts";
import { checkKernel, type Use } from "./harness.ts";

const NAMES = Object.keys(kernels);
const url = new URL("../../models/kernels/index.ts", import.meta.url).href;
const programs = loadPrograms(url, NAMES).then((l) => l.programs);
const used = new Set<string>();

async function check(name: string, use: Use): Promise<void> {
  used.add(name);
  await checkKernel((await programs).get(name) as TileProgram, use);
}

const FORMATS: readonly StorageType[] = ["f32", "f16", "bf16", "q8", "q4"];

describe("attend (seed 1)", () => {
  const head = (groups: number, ratio: number, dim: number, slots: number, position: number): [string, Use] => [
    `${groups * ratio} heads of ${dim} over ${groups}, position ${position} of ${slots} slots`,
    {
      sizes: { heads: groups * ratio, groups, dim, slots, clock: 3 },
      data: { clock: [position, 0, 0] },
      // Scores of slots that are not live yet are left alone.
      partial: position + 1 < slots,
      tolerance: 2e-5,
    },
  ];
  test.each([
    head(2, 1, 8, 1, 0),
    head(1, 2, 16, 5, 0),
    head(1, 4, 64, 5, 4),
    head(1, 7, 80, 5, 2),
    head(1, 8, 96, 5, 100),
    head(2, 2, 128, 5, 3),
    head(2, 1, 64, 129, 127),
    head(1, 2, 16, 129, 128),
    head(1, 3, 20, 129, 40),
  ])("%s", (_, use) => check("attend", use));
});

describe("products (seed 1)", () => {
  const EPS = 1e-5;
  test.each(FORMATS)("qkv with %s weights", async (dtype) => {
    const quantised = dtype === "q8" || dtype === "q4";
    await check("qkv", {
      sizes: {
        dim: quantised ? 64 : 50,
        rows: 4 + 2 + 2,
        halves: 2,
        half: 5,
        scales: 2,
        turns: 1024,
        parts: 2,
        clock: 3,
        heads: 4,
        groups: 2,
        slots: 5,
      },
      storage: { w: dtype, gamma: quantised ? "f32" : dtype },
      data: { clock: [1030, 0, 0] },
      scalars: { free: 3, eps: EPS },
      cells: ["free"],
      partial: true,
      tolerance: 2e-5,
    });
  });

  test.each(FORMATS)("swiglu with %s weights", (dtype) =>
    check("swiglu", {
      sizes: { dim: dtype === "f16" ? 129 : 96, ff: 11 },
      storage: { gamma: dtype === "bf16" ? "f32" : dtype, gate: dtype, up: dtype },
      scalars: { eps: EPS },
      tolerance: 5e-5,
    }),
  );

  test.each(FORMATS)("logits with a head in %s", (dtype) =>
    check("logits", {
      sizes: { dim: dtype === "bf16" ? 36 : 64, vocab: 37, clock: 3, rows: 3 },
      storage: { head: dtype },
      data: { clock: [4, 0, 0] },
      scalars: { eps: EPS },
      partial: true,
      tolerance: 2e-5,
    }),
  );

  test.each(FORMATS)("project with %s weights", (dtype) =>
    check("project", { sizes: { dim: 6, inner: dtype === "f16" ? 70 : 288 }, storage: { w: dtype }, tolerance: 2e-5 }),
  );

  test.each(FORMATS)("embed from %s", (dtype) =>
    check("embed", {
      sizes: { vocab: 9, dim: dtype.startsWith("q") ? 96 : 67 },
      storage: { table: dtype },
      scalars: { token: 8 },
      cells: ["token"],
    }),
  );
});

describe("what goes round a step (seed 1)", () => {
  test.each([[1], [2]])("write, %d groups", (groups) =>
    check("write", {
      sizes: { steps: 3, heads: 2, groups, dim: 10, clock: 3, slots: 4 },
      data: { clock: [2, 0, 0] },
      scalars: { free: 1 },
      partial: true,
    }),
  );

  test.each([[0], [6]])("advance at %d", (position) =>
    check("advance", { sizes: { ring: 7, clock: 3 }, data: { clock: [position, 9, 1] } }),
  );
});

describe("a prompt at once (seed 1)", () => {
  const tokens = 43;
  test("weigh", () => check("weigh", { sizes: { heads: 3, tokens }, tolerance: 1e-5 }));
  test.each([
    [0, 0],
    [5, 3],
    [43, 0],
  ])("protect, %d recent and %d first", (recent, first) =>
    check("protect", { sizes: { tokens }, scalars: { recent, first } }),
  );
  test("rank, ties included", () =>
    check("rank", {
      sizes: { tokens },
      data: { weights: Array.from({ length: tokens }, (_, i) => ((i * 5) % 13) / 4) },
      want: {
        ranks: Array.from({ length: tokens }, (_, t) => {
          const w = (i: number): number => ((i * 5) % 13) / 4;
          return Array.from({ length: tokens }, (_, s) => s).filter((s) => w(s) > w(t) || (w(s) === w(t) && s > t))
            .length;
        }),
      },
    }));
  test.each([5, 44])("place, %d slots", (slots) =>
    check("place", {
      sizes: { tokens, groups: 2, dim: 6, slots },
      data: { ranks: Array.from({ length: tokens }, (_, i) => (i * 17) % tokens) },
      partial: true,
    }),
  );
});

test("every kernel of models/kernels is checked here or with the sampling", () => {
  expect([...used, "choose"].sort()).toEqual([...NAMES].sort());
});
