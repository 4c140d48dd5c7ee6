/**
 * Bytes and operations of plans, against counts by hand: products, norms, attention over the slots that are live,
 * branches by program, gathers, atomics.
 */
import { describe, expect, it } from "vitest";
import {
  block,
  dot,
  over,
  program,
  range,
  type real,
  rsqrt,
  type Scalar,
  size,
  sum,
  type Tensor,
  type u32,
} from "../../dsl/index.ts";
import { type DispatchWork, Gpu, planWork } from "../../runtime/index.ts";
import { adaptersUnderTest, withDevice } from "../support/gpu.ts";

function matvec(w: Tensor<"rows k", real>, x: Tensor<"k">, y: Tensor<"rows">): void {
  const r = block("rows", 4);
  let acc = 0;
  for (const k of over("k")) acc += dot(w.at(r, k), x.at(k));
  y.set([r], acc);
}

function norm(x: Tensor<"rows dim">, gamma: Tensor<"dim">, eps: Scalar, y: Tensor<"rows dim">): void {
  const r = block("rows", 2);
  let square = 0;
  for (const d of over("dim")) square += sum(x.at(r, d) * x.at(r, d), "dim");
  const scale = rsqrt(square / size("dim") + eps);
  for (const d of over("dim")) y.set([r, d], x.at(r, d) * scale * gamma.at(d));
}

function first(x: Tensor<"rows n">, clock: Tensor<"clock", u32>, y: Tensor<"rows">): void {
  const r = program("rows");
  let acc = 0;
  for (const i of over("n", clock.at(1) + 1)) acc += sum(x.at(r, i));
  y.set([r], acc);
}

function split(x: Tensor<"rows n">, a: Tensor<"rows n">, b: Tensor<"rows n">): void {
  const r = program("rows");
  const i = block("n");
  if (r < 3) a.set([r, i], x.at(r, i) + 1);
  else b.set([r, i], x.at(r, i));
}

function gather(table: Tensor<"vocab n", real>, token: Scalar<u32>, y: Tensor<"n">): void {
  const i = block("n");
  y.set([i], table.at(token, i));
}

function mixed(x: Tensor<"heads n">, lse: Tensor<"heads">, times: Scalar<u32>, y: Tensor<"n">): void {
  const i = block("n");
  let acc = 0;
  for (const _ of range(times)) for (const h of range(size("heads"))) acc += x.at(h, i) - lse.at(h);
  y.set([i], acc);
}

function count(x: Tensor<"n", u32>, bins: Tensor<"bins">): void {
  const i = block("n");
  bins.add([x.at(i)], 1);
}

const adapter = adaptersUnderTest()[0] as string;

/** The cost of one call. */
async function costOf(call: (gpu: Gpu, k: Awaited<ReturnType<typeof load>>) => void): Promise<DispatchWork> {
  const gpu = new Gpu(await withDevice(adapter));
  const k = await load(gpu);
  const plan = await gpu.record("counted", () => call(gpu, k));
  const [work] = await planWork(gpu, plan);
  plan.destroy();
  return work as DispatchWork;
}

const load = (gpu: Gpu) => gpu.kernels(import.meta, { matvec, norm, first, split, gather, mixed, count });

describe("work", () => {
  it.each([
    ["f32", 4],
    ["f16", 2],
    ["q8", 1 + 2 / 32],
    ["q4", 0.5 + 2 / 32],
  ] as const)("of a matrix-vector product in %s", async (dtype, bytes) => {
    const work = await costOf((gpu, k) => k.matvec(gpu.tensor([20, 96], dtype), gpu.tensor([96]), gpu.tensor([20])));
    expect(work).toEqual({
      kernel: "matvec",
      sizes: { rows: 20, k: 96 },
      read: 20 * 96 * bytes + 4 * 96,
      written: 4 * 20,
      operations: 2 * 20 * 96,
    });
  });

  it("counts an element once however often it is read, and arithmetic as often as it is done", async () => {
    const work = await costOf((gpu, k) => k.norm(gpu.tensor([6, 64]), gpu.tensor([64]), 1e-5, gpu.tensor([6, 64])));
    // Squares and their sum, a division, an addition and a root a row, two products an element.
    expect(work).toMatchObject({ read: 4 * (6 * 64 + 64), written: 4 * 6 * 64, operations: 2 * 384 + 3 * 6 + 2 * 384 });
  });

  it("reads the limits of loops from the tensors that hold them", async () => {
    for (const [last, live] of [
      [9, 10],
      [999, 100],
    ] as const) {
      const work = await costOf((gpu, k) =>
        k.first(gpu.tensor([5, 100]), gpu.tensor([2], "u32", { data: [7, last] }), gpu.tensor([5])),
      );
      expect(work).toMatchObject({ read: 4 * (5 * live + 1), written: 4 * 5, operations: 5 * live });
    }
  });

  it("follows each program through its branches", async () => {
    const work = await costOf((gpu, k) => k.split(gpu.tensor([8, 32]), gpu.tensor([8, 32]), gpu.tensor([8, 32])));
    expect(work).toMatchObject({ read: 4 * 8 * 32, written: 4 * (3 + 5) * 32, operations: 3 * 32 });
  });

  it("counts one row of a table for one index", async () => {
    const work = await costOf((gpu, k) =>
      k.gather(gpu.tensor([50, 64], "q8"), gpu.tensor([1], "u32", { data: [3] }), gpu.tensor([64])),
    );
    expect(work).toMatchObject({ read: 64 + 4 + 4, written: 4 * 64, operations: 0 });
  });

  it("multiplies by the turns of loops over numbers", async () => {
    const work = await costOf((gpu, k) => k.mixed(gpu.tensor([4, 32]), gpu.tensor([4]), 3, gpu.tensor([32])));
    expect(work.read).toBe(4 * (4 * 32 + 4));
    expect(work.operations).toBe(3 * 4 * 32 * 2);
  });

  it("counts what is updated as read and written", async () => {
    const work = await costOf((gpu, k) => k.count(gpu.tensor([40], "u32"), gpu.tensor([10])));
    expect(work).toMatchObject({ read: 4 * (40 + 10), written: 4 * 10, operations: 40 });
  });
});

describe("profile", () => {
  it("gives when each dispatch began and ended, in order", async () => {
    const gpu = new Gpu(await withDevice(adapter));
    const k = await load(gpu);
    const [w, x, y, z] = [gpu.tensor([64, 64]), gpu.tensor([64]), gpu.tensor([64]), gpu.tensor([64])];
    const plan = await gpu.record("timed", () => {
      k.matvec(w, x, y);
      k.matvec(w, y, z);
      k.gather(w, 2, x);
    });
    expect(plan.dispatches.map((d) => d.variant.generated.lanes.name)).toEqual(["matvec", "matvec", "gather"]);
    const times = await plan.profile();
    expect(times).toHaveLength(3);
    expect(times[0]?.begin).toBe(0);
    for (const [i, t] of times.entries()) {
      expect(t.end).toBeGreaterThanOrEqual(t.begin);
      expect(t.begin).toBeGreaterThanOrEqual(times[i - 1]?.end ?? 0);
    }
    const part = plan.part("last", [2]);
    expect(part.length).toBe(1);
    w.write(Float32Array.from({ length: 64 * 64 }, (_, i) => i));
    part.run();
    expect([...(await x.read())].slice(0, 3)).toEqual([128, 129, 130]);
    expect(await part.profile()).toHaveLength(1);
    plan.destroy();
  });

  it("says so where there are no timestamps", async () => {
    const gpu = new Gpu(await withDevice(adapter));
    const k = await load(gpu);
    const plan = await gpu.record("timed", () => k.gather(gpu.tensor([4, 4]), 1, gpu.tensor([4])));
    const { capabilities } = gpu.device;
    Object.defineProperty(gpu.device, "capabilities", { value: { ...capabilities, timestamps: false } });
    await expect(plan.profile()).rejects.toThrow(`${capabilities.name} has no timestamp queries`);
    Object.defineProperty(gpu.device, "capabilities", { value: capabilities });
  });
});
