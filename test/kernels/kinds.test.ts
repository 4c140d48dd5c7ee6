/**
 * Kernels with a type parameter: one source, an artefact with a program for each kind of numbers, chosen by the tensors
 * of a call.
 */
import { describe, expect, expectTypeOf, test } from "vitest";
import { bundle, programsOf } from "../../compiler/index.ts";
import {
  block,
  cast,
  type DType,
  type f32,
  over,
  program,
  type real,
  sum,
  type Tensor,
  type u32,
} from "../../dsl/index.ts";
import { Kernel, type Launch, targetOf } from "../../runtime/index.ts";
import { createTensor } from "../../runtime/memory/create.ts";
import type { DeviceTensor } from "../../runtime/memory/tensor.ts";
import { adaptersUnderTest, withDevice } from "../support/gpu.ts";
import { kernelsOf } from "./harness.ts";

/** Works on anything: nothing is computed. */
function transpose<T extends DType>(x: Tensor<"m n", T>, y: Tensor<"n m", f32>): void {
  const i = block("m", 2);
  const j = block("n", 4);
  y.set([j, i], cast(x.at(i, j), "f32"));
}

/** Sums in the tensor's own arithmetic: u32 wraps around. */
function total<T extends f32 | u32>(x: Tensor<"rows n", T>, y: Tensor<"rows", T>): void {
  const r = program("rows");
  let all = x.at(r, 0) - x.at(r, 0);
  for (const i of over("n")) all += sum(x.at(r, i));
  y.set([r], all);
}

/** Two type parameters are four programs. */
function mixed<A extends real | u32, B extends f32 | u32>(a: Tensor<"n", A>, b: Tensor<"n", B>, y: Tensor<"n">): void {
  const i = block("n");
  y.set([i], cast(a.at(i) * 2, "f32") + cast(b.at(i) * 3, "f32"));
}

const { check, programs } = kernelsOf(import.meta, { transpose, total, mixed });

const X = [1, 2, 3, 4, 5, 6];
const TURNED = [1, 4, 2, 5, 3, 6];

describe("kernels with a type parameter", () => {
  test.each(["f32", "f16", "bf16", "u32", "i32"] as const)("%s", async (dtype) =>
    check("transpose", { sizes: { m: 2, n: 3 }, storage: { x: dtype }, data: { x: X }, want: { y: TURNED } }),
  );

  test("block formats", async () => check("transpose", { sizes: { m: 3, n: 32 }, storage: { x: "q8" } }));

  test("each kind has its own arithmetic", async () => {
    const sizes = { rows: 2, n: 3 };
    await check("total", { sizes, data: { x: [0.5, 1, 2, -1, 2, 3] }, want: { y: [3.5, 4] } });
    const x = [4294967295, 2, 3, 1, 1, 1];
    await check("total", { sizes, storage: { x: "u32", y: "u32" }, data: { x }, want: { y: [4, 3] } });
  });

  test.each([
    { a: "f16", b: "f32" },
    { a: "f32", b: "u32" },
    { a: "u32", b: "f32" },
    { a: "u32", b: "u32" },
  ] as const)("two of them: $a and $b", async (storage) => {
    const data = { a: [1, 2, 3], b: [4, 5, 6] };
    await check("mixed", { sizes: { n: 3 }, storage, data, want: { y: [14, 19, 24] } });
  });

  test("go into a bundle whole", async () => {
    const loaded = await programs;
    expect(["transpose", "total", "mixed"].map((name) => loaded.get(name)?.kinds?.length)).toEqual([3, 2, 4]);
    const again = programsOf(bundle(loaded.values()), ["total"]).get("total");
    expect(again?.kinds?.map((k) => k.params.map((p) => (p.kind === "tensor" ? p.storage : [])))).toEqual([
      [["f32"], ["f32"]],
      [["u32"], ["u32"]],
    ]);
  });

  test("a call whose tensors fit no program is refused", async () => {
    const device = await withDevice(adaptersUnderTest()[0] ?? "");
    const kernel = new Kernel(device, (await programs).get("total") as never, targetOf(device.capabilities));
    const [x, y] = [createTensor(device, [2, 3], "f32"), createTensor(device, [2], "u32")];
    expect(() => kernel.prepare([x, y])).toThrow(
      "TS-304  kernel total: no choice of its type parameters fits these tensors (x: f32, y: u32)",
    );
    for (const t of [x, y]) t.destroy();
  });

  test("launches take tensors", () => {
    expectTypeOf<Parameters<Launch<typeof total>>>().toEqualTypeOf<[x: DeviceTensor, y: DeviceTensor]>();
  });
});
