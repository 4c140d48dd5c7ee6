/** Programs that the fuzzer once found, shrunk: each was a fault of the compiler. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Gpu, open } from "../../runtime/index.ts";
import { adaptersUnderTest } from "../support/gpu.ts";
import type { KernelPlan, Storage } from "./generate.ts";
import { compare, compilePlans } from "./run.ts";

function plan(name: string, sizes: Record<string, number>, params: string, body: string): KernelPlan {
  const tensors = [...params.matchAll(/(\w+): Tensor<"([^"]+)", (\w+)>/g)].map(
    ([, tensor = "", dims = "", storage = ""]) => ({
      name: tensor,
      dims: dims.split(" "),
      storage: storage as Storage,
      output: tensor.startsWith("y"),
    }),
  );
  return {
    name,
    sizes,
    tensors,
    limit: undefined,
    inexact: false,
    source: `export function ${name}(${params}): void {\n${body}\n}\n`,
  };
}

const PLANS: readonly KernelPlan[] = [
  // A parameter that nobody reads was left out of the bind group layout.
  plan(
    "unread",
    { a: 32, b: 16 },
    `x: Tensor<"a b", bf16>, y: Tensor<"a b", f32>`,
    `const i = program("a");\nconst j = block("b");\nconst v = x.at(i, j);\ny.set([i, j], 3);`,
  ),
  // Registers of dead elements had constant indices beyond the end, which WGSL refuses.
  plan(
    "wideBlock",
    { a: 3 },
    `x: Tensor<"a", i32>, y: Tensor<"a", i32>`,
    `const i = block("a", 5);\ny.set([i], x.at(i));`,
  ),
  plan(
    "tinyDim",
    { a: 1 },
    `x: Tensor<"a", bf16>, y: Tensor<"a", f32>`,
    `const i = block("a", 8);\ny.set([i], min(x.at(i), 3));`,
  ),
  // Two axes that met only in the index of a store were both given to the lanes.
  plan(
    "meetInStore",
    { a: 12, b: 96, d: 2 },
    `x: Tensor<"a", i32>, z: Tensor<"d", f32>, y: Tensor<"a b", f32>`,
    `const i = block("a");\nconst j = block("b");\ny.set([i, j], cast(x.at(i), "f32") - cast(argmin(z.at(), every("d")), "f32"));`,
  ),
];

describe.each(adaptersUnderTest())("found by the fuzzer, on %s", (adapter) => {
  let gpu: Gpu;
  beforeAll(async () => {
    gpu = await open({ adapter });
  });
  afterAll(() => gpu.close());

  it.each(PLANS.map((p) => [p.name, p] as const))("%s", async (_, one) => {
    const programs = compilePlans([one]);
    const found = await compare(gpu, [one], programs, 0);
    expect(found.map((f) => `${f.where}: ${f.what}`)).toEqual([]);
  });
});
