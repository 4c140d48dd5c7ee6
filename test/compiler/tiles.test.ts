/**
 * Matrix products through workgroup memory and on matrix units: the lane simulator against the tile interpreter, for
 * sizes, formats and shapes of all sorts.
 */

import { describe, expect, it } from "vitest";
import {
  generate,
  type HostTensor,
  interpret,
  type Knobs,
  type Target,
  type TileProgram,
} from "../../compiler/index.ts";
import type { StorageType } from "../../compiler/ir/formats.ts";
import type { LaneProgram, Stmt } from "../../compiler/ir/lane/program.ts";
import { encode } from "../../compiler/oracle/round.ts";
import { simulateTensors } from "../../compiler/oracle/simulate/index.ts";
import { roomBytes } from "../../compiler/schedule/tile-plan.ts";
import { TRAITS } from "../../runtime/adapters/traits.ts";
import { Choices } from "../fuzz/choices.ts";
import { copyOf } from "../support/lanes.ts";
import { CORE, check, differenceOf, GPU, prepare, programs, type Use, withUnits } from "../support/product-runs.ts";

const REAL = ["f32", "f16", "bf16", "q8", "q4"] as const;
const USES: readonly Use[] = [
  ...[
    [16, 16, 16],
    [17, 19, 9],
    [64, 64, 64],
    [33, 66, 37],
    [20, 130, 34],
    [70, 36, 100],
    [129, 18, 8],
  ].flatMap(([m = 0, n = 0, k = 0]): Use[] => [
    { kernel: "rowsByRows", sizes: { m, n, k } },
    { kernel: "rowsByColumns", sizes: { m, n, k } },
    { kernel: "turned", sizes: { m, n, k } },
  ]),
  ...REAL.flatMap((s): Use[] => [
    { kernel: "rowsByRows", sizes: { m: 19, n: 40, k: 96 }, storage: { b: s } },
    { kernel: "rowsByColumns", sizes: { m: 40, n: 64, k: 48 }, storage: { b: s } },
    {
      kernel: "gated",
      sizes: { tokens: 21, dim: 64, ff: 34 },
      storage: { gate: s, up: s, gamma: s },
      scalars: { eps: 1e-5 },
    },
  ]),
  { kernel: "rowsByRows", sizes: { m: 19, n: 40, k: 96 }, storage: { a: "q4", b: "f16", c: "f16" } },
  { kernel: "rowsByRows", sizes: { m: 30, n: 18, k: 64 }, storage: { a: "bf16", b: "q8" } },
  { kernel: "turned", sizes: { m: 64, n: 24, k: 21 }, storage: { a: "q8" } },
  { kernel: "turned", sizes: { m: 20, n: 50, k: 33 }, storage: { a: "f16" } },
  ...[0, 1, 17, 40].map(
    (live): Use => ({
      kernel: "heads",
      sizes: { heads: 4, groups: 2, queries: 18, keys: 21, dim: 40 },
      scalars: { live },
    }),
  ),
  { kernel: "gated", sizes: { tokens: 65, dim: 37, ff: 20 }, scalars: { eps: 1e-5 } },
  { kernel: "wholes", sizes: { m: 20, n: 40, k: 64 } },
  { kernel: "wholes", sizes: { m: 37, n: 18, k: 64 }, storage: { k: "q4" } },
  { kernel: "wholes", sizes: { m: 21, n: 66, k: 16 }, storage: { k: "f16" } },
  ...[16, 30, 100].map((n): Use => ({ kernel: "twice", sizes: { m: 37, k: 30, n, l: 12 } })),
];
const titled = USES.map((use) => ({
  ...use,
  title: `${use.kernel} ${JSON.stringify({ ...use.sizes, ...use.storage, ...use.scalars })}`,
}));

describe("workgroup tiles compute what the kernel means", () => {
  it.each(titled)("$title", (use) => {
    for (const target of [GPU, CORE]) {
      const lanes = check(use, target);
      expect(lanes.rooms?.length).toBeGreaterThan(1);
      expect(lanes.matrix).toBeUndefined();
    }
  });
});

const SINGLE: Target = { ...GPU, matrix: [{ component: "f32", result: "f32", M: 8, N: 8, K: 8 }] };
/** Shapes of the vendors: NVIDIA, Intel, and what else may come. */
const SHAPES: readonly (readonly [number, number, number])[] = [
  [16, 16, 16],
  [16, 8, 16],
  [8, 16, 16],
  [8, 8, 32],
  [32, 8, 16],
];

describe("matrix units compute what the kernel means", () => {
  it.each(titled)("$title", (use) => {
    const lanes = check({ ...use, knobs: { precision: 16 } }, withUnits(16, 16, 16));
    expect(lanes.matrix).toMatchObject({ M: 16, N: 16, K: 16, component: "f16" });
    expect(check(use, SINGLE).matrix?.component).toBe("f32");
  });

  const cases = SHAPES.flatMap(([M, N, K]) =>
    titled.filter((u) => ["f16", "q4"].includes(u.storage?.b ?? "")).map((use) => ({ ...use, M, N, K })),
  );
  it.each(cases)("of $M x $N x $K: $title", (use) => {
    expect(check(use, withUnits(use.M, use.N, use.K)).matrix).toMatchObject({ M: use.M, N: use.N, K: use.K });
  });
});

describe("what operands are rounded to", () => {
  const use: Use = { kernel: "rowsByRows", sizes: { m: 20, n: 33, k: 40 } };

  it("is f16 where one side is stored in f16, q8 or q4, and nothing where both are f32 or bf16", () => {
    const units = (a: StorageType, b: StorageType, precision?: number): string | undefined =>
      prepare(
        { ...use, sizes: { m: 20, n: 33, k: 64 }, storage: { a, b }, ...(precision && { knobs: { precision } }) },
        withUnits(16, 16, 16),
      ).lanes.matrix?.component;
    for (const s of ["f16", "q8", "q4"] as const) {
      expect([s, units("f32", s), units(s, "bf16"), units("f32", s, 32)]).toEqual([s, "f16", "f16", undefined]);
    }
    expect([units("f32", "f32"), units("bf16", "f32"), units("f32", "bf16", 16)]).toEqual([
      undefined,
      undefined,
      "f16",
    ]);
    expect(prepare(use, { ...withUnits(16, 16, 16), subgroup: 0 }).lanes.matrix).toBeUndefined();
  });

  it("shows in the result as if the operands had been rounded before", () => {
    const program = programs.get("rowsByRows") as TileProgram;
    const { lanes, before } = prepare({ ...use, storage: { b: "f16" } }, withUnits(16, 16, 16));
    const c = new Choices(7);
    const fine = Float32Array.from({ length: 20 * 40 }, () => (c.below(2000001) - 1000000) / 1000000);
    const got = copyOf(before);
    got.a = { ...(before.a as HostTensor), data: fine };
    const exact = copyOf(got);
    const rounded = copyOf(got);
    rounded.a = { ...(before.a as HostTensor), data: fine.map((x) => encode(x, "f16")) };
    interpret(program, exact);
    interpret(program, rounded);
    simulateTensors(lanes, got);
    const away = (t: Record<string, HostTensor>): number => differenceOf({ c: t.c as HostTensor }, got);
    expect(away(rounded)).toBeLessThan(1e-6);
    expect(away(exact)).toBeGreaterThan(1e-5);
    expect(away(exact)).toBeLessThan(4e-3);
  });
});

describe("what is no product of matrices, or too small, is not tiled", () => {
  const planOf = (kernel: Use["kernel"], sizes: Use["sizes"], target: Target = GPU, knobs: Knobs = {}): unknown => {
    const program = programs.get(kernel) as TileProgram;
    const storage = Object.fromEntries(
      program.params.flatMap((p) => (p.kind === "tensor" ? [[p.name, "f32" as const]] : [])),
    );
    return generate(program, { sizes, storage, cells: [] }, target, knobs).schedule.tiles;
  };

  it.each([
    ["rowsByRows", { m: 15, n: 64, k: 64 }],
    ["rowsByRows", { m: 64, n: 8, k: 64 }],
    ["rowsByRows", { m: 64, n: 64, k: 7 }],
    ["twice", { m: 64, n: 140, k: 16, l: 16 }],
    ["distances", { m: 64, n: 64, k: 64 }],
  ] as const)("%s %j", (kernel, sizes) => {
    expect(planOf(kernel, sizes)).toBeUndefined();
  });

  it("nor is anything for the software profile, or where knobs say so", () => {
    const sizes = { m: 64, n: 64, k: 64 };
    expect(planOf("rowsByRows", sizes)).toBeDefined();
    expect(planOf("rowsByRows", sizes, { ...GPU, profile: "software", traits: TRAITS.lavapipe })).toBeUndefined();
    for (const knobs of [{ tileRows: 0 }, { lanes: 1 }, { lanes: 32 }])
      expect(planOf("rowsByRows", sizes, GPU, knobs)).toBeUndefined();
  });
});

describe("knobs", () => {
  it.each([
    { tileRows: 16, tileColumns: 32, tileDepth: 8, lanes: 64 },
    { tileRows: 128, tileColumns: 64, tileDepth: 32 },
    { tileRows: 32, tileColumns: 128, tileDepth: 64, lanes: 256 },
  ])("%j", (knobs) => {
    for (const target of [GPU, CORE, withUnits(16, 8, 16)]) {
      const sizes = { m: 70, n: 132, k: 100 };
      const lanes = check({ kernel: "rowsByRows", sizes, storage: { b: "f16" }, knobs }, target);
      const bytes = (lanes.rooms ?? []).reduce((n, r) => n + roomBytes(r), 0);
      expect(bytes).toBeLessThanOrEqual(target.workgroupBytes ?? 0);
    }
  });
});

describe("a fault in a tiled program is noticed", () => {
  /** The program without its n-th statement of these sorts, or with the n-th addition of numbers turned around. */
  function broken(program: LaneProgram, n: number): LaneProgram | undefined {
    let left = n;
    const change = (stmts: readonly Stmt[]): Stmt[] =>
      stmts.flatMap((s): Stmt[] => {
        if (s.op === "for") return [{ ...s, body: change(s.body) }];
        if (s.op === "if") return [{ ...s, yes: change(s.yes), no: change(s.no) }];
        if (["barrier", "write", "multiply", "spill"].includes(s.op)) return left-- === 0 ? [] : [s];
        if (s.op === "fetch") return [left-- === 0 ? { ...s, columns: !s.columns } : s];
        if (s.op !== "let") return [s];
        const { rhs } = s;
        const add = rhs.op === "binary" && rhs.fn === "add";
        return [add && left-- === 0 ? { ...s, rhs: { ...rhs, fn: "sub" } } : s];
      });
    const body = change(program.body);
    return left < 0 ? { ...program, body } : undefined;
  }

  it.each([
    ["threads", GPU],
    ["matrix units", withUnits(16, 16, 16)],
  ] as const)("on %s", (_, target) => {
    const uses: readonly Use[] = [
      { kernel: "rowsByColumns", sizes: { m: 40, n: 68, k: 40 }, storage: { b: "f16" }, knobs: { tileRows: 32 } },
      {
        kernel: "gated",
        sizes: { tokens: 16, dim: 64, ff: 34 },
        storage: { gate: "f16", up: "f16" },
        scalars: { eps: 1e-5 },
      },
    ];
    for (const use of uses) {
      const { lanes, want, before } = prepare(use, target);
      let [noticed, all] = [0, 0];
      for (let n = 0; ; n++) {
        const wrong = broken(lanes, n);
        if (wrong === undefined) break;
        all++;
        const got = copyOf(before);
        try {
          simulateTensors(wrong, got, use.scalars);
        } catch {
          noticed++;
          continue;
        }
        if (differenceOf(want, got) > 1e-5) noticed++;
      }
      expect(all).toBeGreaterThan(30);
      // Some additions only number what is dead, and the last barrier of a program guards nothing.
      expect(noticed / all).toBeGreaterThan(0.8);
    }
  });
});
