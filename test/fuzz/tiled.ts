/**
 * Products of matrices of random sizes, formats, adapters and knobs, as workgroup tiles: lane simulator against tile
 * interpreter.
 */
import type { Knobs, Target } from "../../compiler/index.ts";
import { blockOf, type StorageType } from "../../compiler/ir/formats.ts";
import type { LaneProgram } from "../../compiler/ir/lane/program.ts";
import { check, GPU, KERNELS, programs, type Use } from "../support/product-runs.ts";
import { Choices } from "./choices.ts";

const EXTENTS = [16, 17, 18, 20, 24, 31, 32, 33, 36, 48, 64, 65];
const SHAPES = [
  [16, 16, 16],
  [16, 8, 16],
  [8, 8, 8],
  [8, 16, 32],
  [32, 8, 16],
  [64, 8, 8],
] as const;

function useOf(c: Choices): Use {
  const kernel = c.of(KERNELS.filter((k) => k !== "distances"));
  const params = programs.get(kernel)?.params ?? [];
  const sizes: Record<string, number> = {};
  const storage: Record<string, StorageType> = {};
  const size = (dim: string): number => {
    // Heads come in groups, and the root of 64 is a number that f16 holds.
    if (dim === "heads" || dim === "groups") return dim === "heads" ? 4 : 2;
    return kernel === "wholes" && dim === "k" ? 64 : c.of(EXTENTS);
  };
  for (const p of params) {
    if (p.kind !== "tensor") continue;
    for (const d of p.dims) sizes[d] ??= size(d);
    const last = sizes[p.dims.at(-1) ?? ""] ?? 1;
    const stored = p.storage.filter((s) => (p.writes ? s === "f32" : last % blockOf(s) === 0));
    storage[p.name] = c.of(stored);
  }
  const knobs: Knobs = {
    precision: c.of([16, 32]),
    tileStages: c.of([1, 2]),
    ...(c.chance(50) && { tileRows: c.of([16, 32, 64, 128]) }),
    ...(c.chance(50) && { tileColumns: c.of([16, 32, 64, 128]) }),
    ...(c.chance(50) && { tileDepth: c.of([8, 16, 32, 64]) }),
    ...(c.chance(50) && { lanes: c.of([64, 128, 256]) }),
  };
  return { kernel, sizes, storage, knobs, scalars: { eps: 1e-5, live: c.below((sizes.dim ?? 0) + 1) } };
}

function targetOf(c: Choices): Target {
  const [M, N, K] = c.of(SHAPES);
  const matrix = [{ component: c.of(["f16", "f32"]), result: "f32", M, N, K }];
  return {
    ...GPU,
    subgroup: c.of([0, 8, 16, 32, 64]),
    // A few kernels have more tiles than the least memory holds for large tiles, and get smaller ones.
    workgroupBytes: c.of([16384, 32768, 49152]),
    ...(c.chance(60) && { matrix }),
  };
}

/**
 * Runs product number `n` of a seed.
 * @throws Error with sizes, target and knobs where what it computes is not what it means.
 */
export function checkTiled(seed: number, n: number): LaneProgram {
  const c = new Choices(seed * 1009 + n);
  const [use, target] = [useOf(c), targetOf(c)];
  try {
    return check(use, target, 2e-5, n);
  } catch (error) {
    throw new Error(`product ${n} of seed ${seed}: ${(error as Error).message}\n${JSON.stringify({ use, target })}`, {
      cause: error,
    });
  }
}
