/** Matrix products through workgroup memory and on matrix units: the lane simulator against the tile interpreter, for sizes, formats and shapes of all sorts. */
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { compileFile } from "../../compiler/compile.ts";
import { generate, type HostTensor, interpret, type Knobs, type Target, type TileProgram } from "../../compiler/index.ts";
import type { StorageType } from "../../compiler/ir.ts";
import type { LaneProgram, Stmt } from "../../compiler/lane.ts";
import { simulateTensors } from "../../compiler/simulate.ts";
import { encode } from "../../compiler/storage.ts";
import { dequantise, quantise } from "../../runtime/quantise.ts";
import { Choices } from "../fuzz/choices.ts";
import { copyOf } from "../support/lanes.ts";

const KERNELS = ["rowsByRows", "rowsByColumns", "turned", "heads", "gated", "twice", "distances"] as const;
const programs = new Map(
  compileFile(fileURLToPath(new URL("../support/products.ts", import.meta.url)), [...KERNELS]).programs.map((p) => [
    p.name,
    p,
  ]),
);

const GPU: Target = {
  profile: "gpu",
  subgroup: 32,
  pinned: true,
  maxInvocations: 1024,
  storageBuffers: 10,
  workgroupBytes: 49152,
};
/** What every WebGPU has. */
const CORE: Target = { ...GPU, subgroup: 0, pinned: false, maxInvocations: 256, workgroupBytes: 16384 };

interface Use {
  readonly kernel: (typeof KERNELS)[number];
  readonly sizes: Readonly<Record<string, number>>;
  readonly storage?: Readonly<Record<string, StorageType>>;
  readonly scalars?: Readonly<Record<string, number>>;
  readonly knobs?: Knobs;
}

function inputs(program: TileProgram, use: Use, seed: number): Record<string, HostTensor> {
  const c = new Choices(seed);
  const made: Record<string, HostTensor> = {};
  for (const p of program.params) {
    if (p.kind !== "tensor") continue;
    const shape = p.dims.map((d) => use.sizes[d] ?? expect.fail(`${use.kernel}: no size for "${d}"`));
    const length = shape.reduce((a, b) => a * b, 1);
    const storage = use.storage?.[p.name] ?? (p.storage[0] as StorageType);
    // Numbers that f16 holds, so that matrix units have nothing to round.
    const real = Float32Array.from({ length }, () => (c.below(1025) - 512) / 512);
    const blocks = storage === "q8" || storage === "q4";
    const data = blocks ? dequantise(quantise(real, storage), length, storage) : real.map((x) => encode(x, storage));
    made[p.name] = { shape, storage, data };
  }
  return made;
}

interface Ran {
  readonly lanes: LaneProgram;
  readonly want: Record<string, HostTensor>;
  readonly before: Record<string, HostTensor>;
}

function prepare(use: Use, target: Target, seed = 1): Ran {
  const program = programs.get(use.kernel) as TileProgram;
  const before = inputs(program, use, seed);
  const want = copyOf(before);
  interpret(program, want, use.scalars);
  const storage = Object.fromEntries(Object.entries(before).map(([name, t]) => [name, t.storage]));
  const made = generate(program, { sizes: use.sizes, storage, cells: [] }, target, use.knobs);
  expect(made.schedule.tiles, `${use.kernel} is not tiled`).toBeDefined();
  return { lanes: made.lanes, want, before };
}

/** The largest difference from what the interpreter says. */
function differenceOf(want: Record<string, HostTensor>, got: Record<string, HostTensor>): number {
  let most = 0;
  for (const [name, t] of Object.entries(want))
    for (const [i, w] of t.data.entries()) {
      const away = Math.abs((got[name]?.data[i] ?? Number.NaN) - w) / (1 + Math.abs(w));
      // Not a number is as far away as it gets.
      most = Number.isNaN(away) ? Number.POSITIVE_INFINITY : Math.max(most, away);
    }
  return most;
}

function check(use: Use, target: Target, tolerance = 1e-5): LaneProgram {
  const { lanes, want, before } = prepare(use, target);
  const got = copyOf(before);
  simulateTensors(lanes, got, use.scalars);
  expect(differenceOf(want, got)).toBeLessThan(tolerance);
  return lanes;
}

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
    { kernel: "gated", sizes: { tokens: 21, dim: 64, ff: 34 }, storage: { gate: s, up: s, gamma: s }, scalars: { eps: 1e-5 } },
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
  ...[16, 30, 100].map((n): Use => ({ kernel: "twice", sizes: { m: 37, k: 30, n, l: 12 } })),
];
const titled = USES.map((use) => ({ ...use, title: `${use.kernel} ${JSON.stringify({ ...use.sizes, ...use.storage, ...use.scalars })}` }));

describe("workgroup tiles compute what the kernel means", () => {
  it.each(titled)("$title", (use) => {
    for (const target of [GPU, CORE]) {
      const lanes = check(use, target);
      expect(lanes.rooms?.length).toBeGreaterThan(1);
      expect(lanes.matrix).toBeUndefined();
    }
  });
});

void ({} as Stmt);
