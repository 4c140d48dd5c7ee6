/**
 * Products of matrices: workgroup tiles run on both adapters, those of matrix units are compiled by Dawn's null
 * backend.
 */

import { describe, expect, test } from "vitest";
import { generate, type TileProgram } from "../../compiler/index.ts";
import { targetOf } from "../../runtime/adapters/target.ts";
import { TRAITS } from "../../runtime/adapters/traits.ts";
import { Kernel } from "../../runtime/kernels/kernel.ts";
import { compileAll } from "../../runtime/kernels/variants.ts";
import { createTensor } from "../../runtime/memory/create.ts";
import { withDevice } from "../support/gpu.ts";
import { gated, heads, rowsByColumns, rowsByRows, turned, twice, wholes } from "../support/products.ts";
import { kernelsOf, type Use } from "./harness.ts";

const { check, programs } = kernelsOf(import.meta, { gated, heads, rowsByColumns, rowsByRows, turned, twice, wholes });

const USES: readonly (readonly [Parameters<typeof check>[0], Use])[] = [
  ["rowsByRows", { sizes: { m: 33, n: 66, k: 37 } }],
  ["rowsByRows", { sizes: { m: 20, n: 36, k: 64 }, storage: { a: "bf16", b: "q8" } }],
  ["rowsByColumns", { sizes: { m: 70, n: 130, k: 24 } }],
  ["rowsByColumns", { sizes: { m: 40, n: 64, k: 48 }, storage: { b: "q4" } }],
  ["turned", { sizes: { m: 36, n: 25, k: 30 }, storage: { a: "f16" } }],
  ["heads", { sizes: { heads: 4, groups: 2, queries: 18, keys: 21, dim: 40 }, scalars: { live: 27 }, cells: ["live"] }],
  [
    "gated",
    {
      sizes: { tokens: 17, dim: 32, ff: 18 },
      storage: { gate: "q4", up: "f16", gamma: "bf16" },
      scalars: { eps: 1e-5 },
    },
  ],
  ["wholes", { sizes: { m: 18, n: 21, k: 64 }, storage: { k: "f16" } }],
  ["twice", { sizes: { m: 37, k: 30, n: 30, l: 12 } }],
];

describe("products of matrices", () => {
  test.each(USES)("%s %j", async (name, use) => {
    const sizes = use.sizes ?? {};
    const program = (await programs).get(name) as TileProgram;
    const storage = Object.fromEntries(
      program.params.flatMap((p) =>
        p.kind === "tensor" ? [[p.name, use.storage?.[p.name] ?? p.storage[0] ?? "f32"]] : [],
      ),
    );
    const target = {
      profile: "gpu",
      subgroup: 0,
      pinned: false,
      maxInvocations: 256,
      storageBuffers: 8,
      traits: TRAITS.gpu,
    } as const;
    // Else the check below would run no tiles, and nobody would know.
    expect(generate(program, { sizes, storage, cells: [] }, target).schedule.tiles).toBeDefined();
    await check(name, { tolerance: 2e-5, tilesOnly: true, ...use });
  });
});

describe("Dawn compiles products for matrix units", () => {
  const shapes = [
    { component: "f16", M: 16, N: 16, K: 16 },
    { component: "f16", M: 16, N: 8, K: 16 },
    { component: "f16", M: 8, N: 8, K: 8 },
    { component: "f32", M: 8, N: 8, K: 8 },
  ];
  const forms: readonly (readonly [Parameters<typeof check>[0], Readonly<Record<string, number>>])[] = [
    ["rowsByRows", { m: 100, n: 100, k: 64 }],
    ["rowsByColumns", { m: 100, n: 96, k: 64 }],
    ["turned", { m: 100, n: 50, k: 70 }],
    ["gated", { tokens: 64, dim: 128, ff: 96 }],
    ["wholes", { m: 40, n: 48, k: 64 }],
    ["twice", { m: 37, k: 30, n: 30, l: 12 }],
  ];

  test.each(shapes)("of $M x $N x $K in $component", async (shape) => {
    const device = await withDevice("null");
    const own = targetOf(device.capabilities);
    expect(device.capabilities.featureLevel).toBe("L4");
    const target = { ...own, subgroup: 32, pinned: true, matrix: [{ ...shape, result: "f32" }] };
    for (const [name, sizes] of forms) {
      const program = (await programs).get(name) as TileProgram;
      const args = program.params.map((p) => {
        if (p.kind === "scalar") return 1;
        return createTensor(
          device,
          p.dims.map((d) => sizes[d] ?? 1),
          "f32",
          { label: p.name },
        );
      });
      const { variant } = new Kernel(device, program, target, { precision: 16 }).prepare(args);
      expect(variant.generated.wgsl).toContain("subgroupMatrixMultiplyAccumulate");
      expect(variant.generated.lanes.matrix).toMatchObject(shape);
      await compileAll(device, [variant]);
      for (const t of args) if (typeof t !== "number") t.destroy();
    }
  });
});
