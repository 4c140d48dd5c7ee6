/** Tensors of one buffer in one call: read beside written, more than the adapter binds, and what is refused. */
import { describe, expect, it } from "vitest";
import { loadPrograms, type TileProgram } from "../../compiler/index.ts";
import { type Device, Gpu, Kernel, Plan, UserError } from "../../runtime/index.ts";
import { createTensors } from "../../runtime/memory/create.ts";
import { everyAdapter, withDevice } from "../support/gpu.ts";
import { plus } from "./programs/together.ts";

const FILE = { url: new URL("./programs/together.ts", import.meta.url).href };

async function programOf(name: string): Promise<TileProgram> {
  const program = (await loadPrograms(FILE.url, [name])).programs.get(name);
  if (program === undefined) throw new Error(`no kernel ${name}`);
  return program;
}

/**
 * Runs one call, on every feature level, on an adapter that binds so many buffers of so many bytes; gives how many were
 * bound.
 */
async function runWith(
  device: Device,
  limits: { readonly bindings: number; readonly bytes?: number },
  name: string,
  args: readonly unknown[],
): Promise<number[]> {
  const { target } = new Gpu(device);
  const program = await programOf(name);
  const bound: number[] = [];
  for (const subgroup of new Set([target.subgroup, 0])) {
    const own = { ...target, subgroup, pinned: false, storageBuffers: limits.bindings };
    const { bytes } = limits;
    const kernel = new Kernel(device, program, bytes === undefined ? own : { ...own, bindingBytes: bytes }, {});
    const dispatch = kernel.prepare(args);
    bound.push(dispatch.variant.generated.lanes.buffers.length);
    const plan = await Plan.make(device, name, [dispatch]);
    plan.run();
    plan.destroy();
  }
  return [...new Set(bound)];
}

describe.each(everyAdapter())("on %s", (adapter) => {
  it("views of one buffer are read and written in one call", async () => {
    const device = await withDevice(adapter);
    const gpu = new Gpu(device);
    const all = gpu.tensor([3, 64], "f32", { data: Float32Array.from({ length: 192 }, (_, i) => i) });
    const [a, b, to] = [0, 1, 2].map((i) => all.slice(i, 1).view([64]));
    if (a === undefined || b === undefined || to === undefined) throw new Error("no slices");
    const kernels = await gpu.kernels(FILE, { plus });
    kernels.plus(a, b, to);
    const sums = Array.from({ length: 64 }, (_, i) => 64 + 2 * i);
    expect([...(await to.read())]).toEqual(sums);
    // The same view for both, beside one that is written.
    kernels.plus(b, b, to);
    expect([...(await to.read())]).toEqual(Array.from({ length: 64 }, (_, i) => 2 * (64 + i)));
    expect([...(await a.read())]).toEqual(Array.from({ length: 64 }, (_, i) => i));
    all.destroy();
  });

  it("what overlaps something written is refused", async () => {
    const gpu = new Gpu(await withDevice(adapter));
    const all = gpu.tensor([3, 64]);
    const [two, one] = [all.slice(0, 2).view([128]), all.slice(1, 1).view([64])];
    const kernels = await gpu.kernels(FILE, { plus });
    expect(() => kernels.plus(one, one, one)).toThrow(
      'kernel plus: "a" and "to" share memory (tensor "tensor"), and one of them is written',
    );
    expect(() => kernels.plus(two, two, all.slice(1, 2).view([128]))).toThrow(UserError);
    all.destroy();
  });

  it("four tensors of three types in one, two and four bindings give the same", async () => {
    const device = await withDevice(adapter);
    const t = createTensors(device, {
      from: { shape: [100], data: Float32Array.from({ length: 100 }, (_, i) => i / 2) },
      where: { shape: [100], dtype: "u32", data: Uint32Array.from({ length: 100 }, (_, i) => 99 - i) },
      by: { shape: [1], data: [4] },
      to: { shape: [100] },
    });
    const want = Array.from({ length: 100 }, (_, i) => 2 * (99 - i));
    for (const bindings of [4, 2, 1]) {
      t.to.write(new Float32Array(100));
      expect(await runWith(device, { bindings }, "pick", [t.from, t.where, t.by, t.to])).toEqual([bindings]);
      expect([...(await t.to.read())]).toEqual(want);
      expect(await t.by.read()).toEqual(Float32Array.of(4));
    }
    for (const tensor of Object.values(t)) tensor.destroy();
  });

  it("what is longer than a binding is read in parts, also beside what is written", async () => {
    const device = await withDevice(adapter);
    const gpu = new Gpu(device);
    const n = 1000;
    const from = gpu.tensor([n], "f32", { data: Float32Array.from({ length: n }, (_, i) => i / 2) });
    const where = Uint32Array.from({ length: n }, (_, i) => (i * 7) % n);
    const want = Array.from(where, (at) => 2 * at);
    const to = gpu.tensor([n]);
    const table = gpu.tensor([n], "u32", { data: where });
    const by = gpu.tensor([1], "f32", { data: [4] });
    const limits = { bindings: 8, bytes: 4000 };
    expect(await runWith(device, limits, "pick", [from, table, by, to])).toEqual([4]);
    await expect(runWith(device, { ...limits, bytes: 2048 }, "pick", [from, table, by, to])).rejects.toThrow(
      'kernel pick: "to" is written and has 4000 bytes, more than the 2048 that this adapter binds at once',
    );
    const [x, live] = [gpu.tensor([5, 200], "f32", { data: Float32Array.from({ length: 1000 }, (_, i) => i) }), 4];
    const peak = gpu.tensor([1]);
    // 4000 bytes in parts of at most 1700 are three.
    expect(await runWith(device, { bindings: 4, bytes: 1700 }, "peaks", [x, live, peak])).toEqual([4]);
    expect((await peak.read())[0]).toBe(199 + 399 + 599 + 799);
    expect([...(await to.read())]).toEqual(want);
    for (const t of [from, to, table, by, x, peak]) t.destroy();
  });

  it("a count in the same buffer says how often lanes meet", async () => {
    const device = await withDevice(adapter);
    const t = createTensors(device, {
      x: { shape: [5, 200], data: Float32Array.from({ length: 1000 }, (_, i) => (i * 7919) % 1000) },
      live: { shape: [1], dtype: "u32", data: [3] },
      to: { shape: [1] },
    });
    const rows = [0, 1, 2].map((r) =>
      Math.max(...Array.from({ length: 200 }, (_, i) => ((200 * r + i) * 7919) % 1000)),
    );
    for (const bindings of [3, 1]) {
      t.to.write([0]);
      expect(await runWith(device, { bindings }, "peaks", [t.x, t.live, t.to])).toEqual([bindings]);
      expect((await t.to.read())[0]).toBe((rows[0] as number) + (rows[1] as number) + (rows[2] as number));
    }
    for (const tensor of Object.values(t)) tensor.destroy();
  });
});

it("too many tensors in buffers of their own are refused with a way out", async () => {
  const gpu = new Gpu(await withDevice(everyAdapter()[0] ?? ""));
  const [a, b, to] = [gpu.tensor([8]), gpu.tensor([8]), gpu.tensor([8])];
  const kernel = new Kernel(gpu.device, await programOf("plus"), { ...gpu.target, storageBuffers: 2 });
  const failure = (() => {
    try {
      kernel.prepare([a, b, to]);
    } catch (error) {
      return error as UserError;
    }
    return undefined;
  })();
  expect(failure?.message).toBe("kernel plus binds 3 tensors, and this adapter allows 2 a kernel");
  expect(failure?.hint).toBe("tensors that are made together, by gpu.tensors({ … }), can share a binding");
  for (const t of [a, b, to]) t.destroy();
});

describe("tensors in textures", () => {
  it.each(everyAdapter())(
    "are read beside tensors of one buffer, and take no binding of buffers, on %s",
    async (adapter) => {
      const device = await withDevice(adapter);
      const gpu = new Gpu(device);
      const t = createTensors(device, {
        from: { shape: [300], data: Float32Array.from({ length: 300 }, (_, i) => i) },
        by: { shape: [1], data: [3] },
        to: { shape: [300] },
      });
      const where = gpu.tensor([300], "u32", {
        texture: true,
        data: Uint32Array.from({ length: 300 }, (_, i) => 299 - i),
      });
      const by = gpu.tensor([1], "f32", { texture: true, data: [2] });
      const want = Array.from({ length: 300 }, (_, i) => 299 - i);
      expect(await runWith(device, { bindings: 1 }, "pick", [t.from, where, t.by, t.to])).toEqual([2]);
      expect([...(await t.to.read())]).toEqual(want.map((x) => 3 * x));
      expect(await runWith(device, { bindings: 1 }, "pick", [t.from, where, by, t.to])).toEqual([3]);
      expect([...(await t.to.read())]).toEqual(want.map((x) => 2 * x));
      for (const tensor of [...Object.values(t), where, by]) tensor.destroy();
    },
  );

  it("are refused where they would be written, or are more than the adapter gives a kernel", async () => {
    const device = await withDevice(everyAdapter()[0] ?? "");
    const gpu = new Gpu(device);
    const [a, b, to] = [true, true, false].map((texture, i) => gpu.tensor([8], "f32", { label: `t${i}`, texture }));
    const program = await programOf("plus");
    expect(() => new Kernel(device, program, gpu.target).prepare([to, to, a])).toThrow(
      'kernel plus: parameter "to" expected a tensor it can write, got one in a texture ("t0")',
    );
    const { limits } = device.capabilities;
    const few = Object.create(device, {
      capabilities: { value: { ...device.capabilities, limits: { ...limits, storageTextures: 1 } } },
    }) as Device;
    expect(() => new Kernel(few, program, gpu.target).prepare([a, b, to])).toThrow(
      "kernel plus reads 2 tensors in textures, and this adapter allows 1 a kernel",
    );
    for (const t of [a, b, to]) t?.destroy();
  });
});
