/**
 * Specialised kernels as host code sees them: typed launches without the compile-time parameters, and which kernel a
 * key loads.
 */
import { expect, expectTypeOf, test } from "vitest";
import {
  block,
  type Instance,
  max,
  type Scalar,
  type Static,
  specialise,
  type Tensor,
  unroll,
} from "../../dsl/index.ts";
import { Gpu } from "../../runtime/gpu.ts";
import type { Launch } from "../../runtime/kernels/launch.ts";
import type { DeviceTensor } from "../../runtime/memory/tensor.ts";
import { adaptersUnderTest, withDevice } from "../support/gpu.ts";

function scale(
  x: Tensor<"n">,
  by: Scalar,
  y: Tensor<"n">,
  { turns, f = same }: Static<{ turns: number; f?: (v: number, turn: number) => number }>,
): void {
  const i = block("n");
  let v = x.at(i);
  for (const t of unroll(turns)) v = f(v * by, t);
  y.set([i], v);
}

function same(v: number): number {
  return v;
}

function plain(x: Tensor<"n">, y: Tensor<"n">): void {
  scale(x, 10, y, { turns: 1 });
}

/** Loaded as `plain`, and `plain` as `other`: a key is what the call says, not the function of that name. */
function other(x: Tensor<"n">, y: Tensor<"n">): void {
  scale(x, -1, y, { turns: 1 });
}

const clipped = specialise(scale, { turns: 3, f: (v, turn) => max(v - turn, 0) });

const data = [1, -2, 3];

test("launches take what is left of the parameters, and keys mean what the source says", async () => {
  const gpu = new Gpu(await withDevice(adaptersUnderTest()[0] ?? ""));
  const x = gpu.tensor([3], "f32", { data });
  const y = gpu.tensor([3]);
  const results: number[][] = [];
  const keep = async (): Promise<void> => void results.push([...(await y.read())]);
  // The same key with other numbers: those of the call count.
  for (const turns of [1, 2, 5]) {
    const k = await gpu.kernels(import.meta, { scale: specialise(scale, { turns }) });
    k.scale(x, 2, y);
    await keep();
  }
  const k = await gpu.kernels(import.meta, { clipped, other: plain, plain: other });
  k.clipped(x, 2, y);
  await keep();
  k.other(x, y);
  await keep();
  k.plain(x, y);
  await keep();
  expect(results).toEqual([
    [2, -4, 6],
    [4, -8, 12],
    [32, -64, 96],
    [4, 0, 20],
    [10, -20, 30],
    [-1, 2, -3],
  ]);
});

test("a kernel that needs a value is not loaded without", async () => {
  const gpu = new Gpu(await withDevice(adaptersUnderTest()[0] ?? ""));
  await expect(gpu.kernels(import.meta, { unfinished: scale })).rejects.toThrow(
    'TS-221  the compile-time parameter "turns" of "scale" has no value',
  );
});

test("types of launches and of values", () => {
  expectTypeOf<Parameters<Launch<Instance<typeof scale>>>>().toEqualTypeOf<
    [x: DeviceTensor, by: number | DeviceTensor, y: DeviceTensor]
  >();
  expectTypeOf<Parameters<Launch<typeof plain>>>().toEqualTypeOf<[x: DeviceTensor, y: DeviceTensor]>();
  // @ts-expect-error one is missing
  specialise(scale, {});
  // @ts-expect-error one that the kernel does not have
  specialise(scale, { turns: 1, speed: 2 });
  // @ts-expect-error of another kind
  specialise(scale, { turns: "many" });
  // @ts-expect-error a function of other parameters
  specialise(scale, { turns: 1, f: (v: string) => v.length });
  // @ts-expect-error a kernel without compile-time parameters
  specialise(plain, {});
});
