/**
 * A short run of the differential fuzzer, always of the same programs; `npm run fuzz` looks for those that nobody
 * thought of.
 */
import { afterAll, describe, expect, it } from "vitest";
import { type Gpu, open } from "../../runtime/index.ts";
import { adaptersUnderTest } from "../support/gpu.ts";
import { SEED } from "../support/random.ts";
import { Choices, shrink } from "./choices.ts";
import { order } from "./orders.ts";
import { compare, compilePlans, orderly, planOf } from "./run.ts";

const PROGRAMS = 24;

describe("random kernels", () => {
  const gpus: Gpu[] = [];
  afterAll(async () => {
    for (const gpu of gpus) await gpu.close();
  });

  it(`give the interpreter's results on every adapter (seed ${SEED})`, async () => {
    const plans = Array.from({ length: PROGRAMS }, (_, i) => planOf(SEED * 1009 + i, `k${i}`).plan);
    const programs = compilePlans(plans);
    expect(programs.size).toBe(PROGRAMS);
    expect(
      (await compare("simulator", plans, programs, SEED)).map((f) => `${f.where}: ${f.what}\n${f.plan.source}`),
    ).toEqual([]);
    for (const adapter of adaptersUnderTest()) {
      const gpu = await open({ adapter });
      gpus.push(gpu);
      const found = await compare(gpu, plans, programs, SEED);
      expect(found.map((f) => `${f.where}: ${f.what}\n${f.plan.source}`)).toEqual([]);
    }
  });

  it("are told apart when a result is wrong", async () => {
    const { plan } = planOf(SEED, "k");
    const programs = compilePlans([plan]);
    const gpu = gpus[0] as Gpu;
    // The GPU runs another program than the interpreter: one that stores nothing.
    const wrong = new Map(
      [...programs].map(([name, p]) => [name, { ...p, body: p.body.filter((op) => op.op !== "store") }]),
    );
    expect(await compare(gpu, [plan], programs, 3)).toEqual([]);
    expect((await compare(gpu, [plan], programs, 3, wrong)).length).toBeGreaterThan(0);
    expect((await compare("simulator", [plan], programs, 3, wrong)).length).toBeGreaterThan(0);
  });
});

describe("random kernels that load and store one tensor", () => {
  const SEED = 13;
  const COUNT = 60;

  it("are refused, or do what their statements say in their order, on every adapter and at L0", async () => {
    const { taken, refused } = orderly(
      Array.from({ length: COUNT }, (_, i) => planOf(SEED * 1009 + i, `k${i}`, undefined, order).plan),
    );
    // Both happen often enough to say something.
    expect(taken.length).toBeGreaterThan(12);
    expect(refused).toBeGreaterThan(12);
    const programs = compilePlans(taken);
    const told = (found: Awaited<ReturnType<typeof compare>>): string[] =>
      found.map((f) => `${f.where}: ${f.what}\n${f.plan.source}`);
    expect(told(await compare("simulator", taken, programs, SEED))).toEqual([]);
    for (const adapter of adaptersUnderTest()) {
      const gpu = await open({ adapter });
      try {
        expect(told(await compare(gpu, taken, programs, SEED, programs, 1))).toEqual([]);
      } finally {
        await gpu.close();
      }
    }
  });
});

describe("shrinking", () => {
  it("keeps what fails and drops the rest", async () => {
    const small = await shrink([9, 8, 7, 6, 5, 42, 4, 3], async (c) => c.some((x) => x >= 40), 500);
    expect(small).toEqual([40]);
  });

  it("replays the same choices", () => {
    const first = new Choices(5);
    const taken = Array.from({ length: 20 }, () => first.below(10));
    const again = new Choices(0, first.taken);
    expect(Array.from({ length: 20 }, () => again.below(10))).toEqual(taken);
    expect(again.below(10)).toBe(0);
  });
});
