/**
 * What the adapter can do at best, measured before anything else: the rate at which it copies memory and the rate at
 * which it multiplies and adds in f32. Every kernel's rates are given as parts of these. Data that stays in a cache may
 * beat the copy.
 */
import { type Gpu, planWork } from "../runtime/index.ts";
import { copyRate, finished } from "./harness.ts";
import { loadKernels } from "./kernels/index.ts";
import { type Measure, measureOf } from "./stats.ts";

export interface Ceiling {
  /** Read and written together. */
  readonly copy_gb_s: number;
  readonly arithmetic_gflop_s: number;
  readonly measures: readonly Measure[];
}

/** Milliseconds that a batch of arithmetic should take. */
const BATCH_MS = 40;
/** Elements: enough to fill the largest GPU. */
const ELEMENTS: number = 1 << 20;

export async function measureCeiling(gpu: Gpu, rounds = 5): Promise<Ceiling> {
  const copies: number[] = [];
  for (let i = 0; i < rounds; i++) copies.push(await copyRate(gpu, 1));
  const sums = await arithmeticRates(gpu, rounds);
  const measures = [
    { ...measureOf("ceiling: copy", "GB/s", "higher", copies), judged: false },
    { ...measureOf("ceiling: arithmetic", "GFLOP/s", "higher", sums), judged: false },
  ] as const;
  // The best round: a ceiling is what is possible, and other programs only ever lower it.
  return { copy_gb_s: Math.max(...copies), arithmetic_gflop_s: Math.max(...sums), measures };
}

async function arithmeticRates(gpu: Gpu, rounds: number): Promise<number[]> {
  const { arithmetic } = await loadKernels(gpu);
  const software = gpu.capabilities.kind === "software";
  const n = software ? ELEMENTS / 16 : ELEMENTS;
  const [x, y] = [
    gpu.tensor([n], "f32", { label: "arithmetic in" }),
    gpu.tensor([n], "f32", { label: "arithmetic out" }),
  ];
  const turns = gpu.tensor([1], "u32", { label: "turns", data: [256] });
  const plan = await gpu.record("arithmetic", () => arithmetic(x, turns, 0.999, 0.001, y));
  try {
    const operations = (await planWork(gpu, plan))[0]?.operations ?? 0;
    const batch = async (times: number): Promise<number> => {
      const began = performance.now();
      plan.run(times);
      await finished(gpu);
      return (performance.now() - began) / times;
    };
    await batch(1);
    const times = Math.max(1, Math.min(1000, Math.ceil(BATCH_MS / (await batch(2)))));
    const rates: number[] = [];
    for (let i = 0; i < rounds; i++) rates.push(operations / (await batch(times)) / 1e6);
    return rates;
  } finally {
    plan.destroy();
    for (const t of [x, y, turns]) t.destroy();
  }
}
