/** Plans: what was recorded is done as often as a run says, whole or in parts. */
import { expect, test } from "vitest";
import { block, type Scalar, type Tensor } from "../../dsl/index.ts";
import { gpuOf } from "../support/decoders.ts";
import { adaptersUnderTest } from "../support/gpu.ts";

function multiply(x: Tensor<"n">, by: Scalar, y: Tensor<"n">): void {
  const i = block("n");
  y.set([i], x.at(i) * by);
}

function plus(y: Tensor<"n">, what: Scalar): void {
  const i = block("n");
  y.set([i], y.at(i) + what);
}

test.each(adaptersUnderTest())("parts of a plan are repeated on %s", async (adapter) => {
  const gpu = await gpuOf(adapter);
  const k = await gpu.kernels(import.meta, { multiply, plus });
  const [x, y] = [gpu.tensor([3], "f32", { data: [1, 2, 3] }), gpu.tensor([3])];
  const plan = await gpu.record("parts", () => {
    k.multiply(x, 10, y);
    gpu.repeat(() => k.plus(y, 1));
    k.multiply(y, 2, x);
  });
  expect(plan.length).toBe(3);
  const after = async (times: number, turns: number): Promise<number[]> => {
    x.write([1, 2, 3]);
    plan.run(times, turns);
    return [...(await x.read())];
  };
  expect(await after(1, 0)).toEqual([20, 40, 60]);
  expect(await after(1, 1)).toEqual([22, 42, 62]);
  expect(await after(1, 5)).toEqual([30, 50, 70]);
  // 10 x + 2, doubled, twice.
  expect(await after(2, 2)).toEqual([484, 884, 1284]);
  expect(() => gpu.repeat(() => {})).toThrow("a part to repeat outside of a recording");
  plan.destroy();
  for (const t of [x, y]) t.destroy();
});
