/**
 * Pipelines belong to a device: what comes to the same code is compiled once, and what nobody uses any more does not
 * pile up.
 */
import { afterEach, beforeEach, expect, test } from "vitest";
import { loadPrograms } from "../../compiler/index.ts";
import { block, type Scalar, type Tensor } from "../../dsl/index.ts";
import { type DeviceTensor, type Gpu, Kernel, type Launch, open, type Plan } from "../../runtime/index.ts";
import { Pipelines } from "../../runtime/kernels/pipeline-cache.ts";
import { counted } from "../support/counted.ts";
import { faults } from "../support/faults.ts";
import { adaptersUnderTest } from "../support/gpu.ts";

function scale(x: Tensor<"n">, by: Scalar, y: Tensor<"n">): void {
  const i = block("n");
  y.set([i], x.at(i) * by);
}

/** Dawn's null backend makes pipelines like any other, and computes nothing. */
let gpu: Gpu;
let counts: Record<string, number>;
beforeEach(async () => {
  gpu = await open({ adapter: "null" });
  counts = counted(gpu.device.raw);
});
afterEach(() => gpu.close());

const compiled = (): number => (counts.createComputePipeline ?? 0) + (counts.createComputePipelineAsync ?? 0);
const load = async (): Promise<Launch<typeof scale>> => (await gpu.kernels(import.meta, { scale })).scale;

/** Calls with two tensors of n elements, which are freed. */
function call(launch: Launch<typeof scale>, n: number): void {
  const [x, y] = [gpu.tensor([n]), gpu.tensor([n])];
  launch(x, 2, y);
  for (const t of [x, y]) t.destroy();
}

test("of two loads of a kernel one compiles, in calls and in plans", async () => {
  const [first, second] = [await load(), await load()];
  call(first, 5);
  expect(compiled()).toBe(1);
  call(second, 5);
  call(await load(), 5);
  expect(compiled()).toBe(1);
  const [x, y] = [gpu.tensor([5]), gpu.tensor([5])];
  (await gpu.record("p", () => second(x, 3, y))).destroy();
  expect(compiled()).toBe(1);
  call(second, 6);
  expect(compiled()).toBe(2);
});

test("recordings at the same time compile once, also when they are of several loads", async () => {
  const launches = [await load(), await load()];
  const tensors = (n: number): DeviceTensor[] => [gpu.tensor([n]), gpu.tensor([n])];
  const plans = await Promise.all(
    [5, 5, 6, 5].map((n, i) => {
      const [x, y] = tensors(n) as [DeviceTensor, DeviceTensor];
      return gpu.record(`p${i}`, () => (launches[i % 2] as Launch<typeof scale>)(x, i, y));
    }),
  );
  expect(plans.map((p) => p.length)).toEqual([1, 1, 1, 1]);
  expect(compiled()).toBe(2);
  expect(gpu.device.pipelines).toBe(2);
});

test("a thousand shapes in a row leave 64, the last ones", async () => {
  const launch = await load();
  for (let n = 1; n <= 1000; n++) call(launch, n);
  expect(compiled()).toBe(1000);
  expect(Pipelines.of(gpu.device).size).toBe(64);
  for (let n = 937; n <= 1000; n++) call(launch, n);
  expect(compiled()).toBe(1000);
  call(launch, 936);
  expect(compiled()).toBe(1001);
  expect(Pipelines.of(gpu.device).size).toBe(64);
});

test("what was used last stays, not what was made last", async () => {
  const launch = await load();
  call(launch, 5000);
  for (let n = 1; n <= 200; n++) {
    call(launch, n);
    call(launch, 5000);
  }
  expect(compiled()).toBe(201);
});

test("what plans hold stays beside the 64, until they are destroyed", async () => {
  const program = (await loadPrograms(import.meta.url, ["scale"])).programs.get("scale");
  if (program === undefined) throw new Error("no program");
  const launch = await load();
  const kernel = new Kernel(gpu.device, program, gpu.target);
  const plans: Plan[] = [];
  for (let n = 1; n <= 100; n++) {
    const [x, y] = [gpu.tensor([n]), gpu.tensor([n])];
    plans.push(await gpu.record(`p${n}`, () => launch(x, 2, y)));
  }
  // One recording with more calls than are kept without a plan.
  const many = Array.from({ length: 100 }, (_, i) => [gpu.tensor([1000 + i]), gpu.tensor([1000 + i])] as const);
  plans.push(
    await gpu.record("many", () => {
      for (const [x, y] of many) launch(x, 2, y);
    }),
  );
  for (let n = 2000; n < 2100; n++) call(launch, n);
  expect(compiled()).toBe(300);
  expect(Pipelines.of(gpu.device).size).toBe(264);
  for (let n = 1; n <= 100; n++) call(launch, n);
  for (let n = 1000; n < 1100; n++) call(launch, n);
  expect(compiled()).toBe(300);
  for (const plan of plans) plan.destroy();
  expect(Pipelines.of(gpu.device).size).toBe(64);
  // The same seen from one kernel.
  for (let n = 1; n <= 100; n++) kernel.prepare([gpu.tensor([n]), 2, gpu.tensor([n])]);
  expect(kernel.variants.size).toBe(64);
});

test("a recording that fails holds nothing", async () => {
  const launch = await load();
  const tensors = Array.from({ length: 100 }, (_, i) => [gpu.tensor([1 + i]), gpu.tensor([1 + i])] as const);
  const failing = gpu.record("p", () => {
    for (const [x, y] of tensors) launch(x, 2, y);
    throw new Error("half-way");
  });
  await expect(failing).rejects.toThrow("half-way");
  for (const [x, y] of tensors) launch(x, 2, y);
  expect(Pipelines.of(gpu.device).size).toBe(64);
});

test("a compilation that fails fails all who wait for it, and is tried again", async () => {
  const [adapter] = adaptersUnderTest();
  const own = await open({ adapter });
  try {
    const method = /swiftshader/i.test(own.capabilities.name) ? "createComputePipeline" : "createComputePipelineAsync";
    const fault = faults(own.device.raw);
    const k = await own.kernels(import.meta, { scale });
    const again = await own.kernels(import.meta, { scale });
    const [x, y] = [own.tensor([3], "f32", { data: [1, 2, 3] }), own.tensor([3])];
    fault.arm(method, 1, "rejects");
    const both = await Promise.allSettled([
      own.record("a", () => k.scale(x, 2, y)),
      own.record("b", () => again.scale(x, 3, y)),
    ]);
    expect(both.map((one) => one.status)).toEqual(["rejected", "rejected"]);
    for (const one of both) expect(String((one as PromiseRejectedResult).reason)).toContain("kernel scale (n=3)");
    const plan = await own.record("b", () => again.scale(x, 3, y));
    plan.run();
    expect([...(await y.read())]).toEqual([3, 6, 9]);
    plan.destroy();
  } finally {
    await own.close();
  }
});

test("a plan has one buffer for all its numbers, which goes with it, also when it cannot be made", async () => {
  const [adapter] = adaptersUnderTest();
  const own = await open({ adapter });
  try {
    const k = await own.kernels(import.meta, { scale });
    const tensors = Array.from({ length: 5 }, () => own.tensor([3]));
    const x = own.tensor([3], "f32", { data: [1, 2, 3] });
    await own.wait();
    const made: GPUBuffer[] = [];
    const gone = new Set<GPUBuffer>();
    const create = own.device.raw.createBuffer.bind(own.device.raw);
    own.device.raw.createBuffer = (descriptor) => {
      const buffer = create(descriptor);
      const destroy = buffer.destroy.bind(buffer);
      buffer.destroy = () => {
        gone.add(buffer);
        return destroy();
      };
      made.push(buffer);
      return buffer;
    };
    const record = (): Promise<Plan> =>
      own.record("five", () => {
        for (const [i, y] of tensors.entries()) k.scale(x, i + 1, y);
      });
    const plan = await record();
    expect(made.length).toBe(1);
    plan.run();
    expect((await own.read(tensors)).map((v) => [...v])).toEqual([1, 2, 3, 4, 5].map((f) => [f, 2 * f, 3 * f]));
    expect(gone.has(made[0] as GPUBuffer)).toBe(false);
    plan.destroy();
    expect(gone.has(made[0] as GPUBuffer)).toBe(true);
    const before = made.length;
    const bind = own.device.raw.createBindGroup.bind(own.device.raw);
    let calls = 0;
    own.device.raw.createBindGroup = (descriptor) => {
      calls++;
      if (calls === 3) throw new Error("no third bind group");
      return bind(descriptor);
    };
    await expect(record()).rejects.toThrow("no third bind group");
    expect(made.slice(before).map((b) => gone.has(b))).toEqual([true]);
  } finally {
    await own.close();
  }
});
