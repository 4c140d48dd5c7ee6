import { describe, expect, it } from "vitest";
import { UserError } from "../../runtime/common/errors.ts";
import { openDevice } from "../../runtime/device/device.ts";
import { settle } from "../../runtime/device/wait.ts";
import { createTensor, createTensors } from "../../runtime/memory/create.ts";
import { bytesOf, type DType } from "../../runtime/memory/dtype.ts";
import { dequantise, quantise } from "../../runtime/memory/quantise.ts";
import { readMany } from "../../runtime/memory/read.ts";
import { BINDING_ALIGNMENT } from "../../runtime/memory/tensor.ts";
import { adaptersUnderTest, withDevice } from "../support/gpu.ts";

describe.each(adaptersUnderTest())("tensors on %s", (adapter) => {
  it("writes and reads every element type", async () => {
    const device = await withDevice(adapter);
    const cases = [
      ["f32", [1.5, -2, 1e-20, 3], [1.5, -2, Math.fround(1e-20), 3]],
      ["f16", [1.5, -2, 1 / 3], [1.5, -2, 0.333251953125]],
      ["bf16", [1.5, -2, 1 / 3, 0, 9], [1.5, -2, 0.333984375, 0, 9]],
      ["u32", [0, 4294967295, 7], [0, 4294967295, 7]],
      ["i32", [-2147483648, 2147483647, -1], [-2147483648, 2147483647, -1]],
    ] as const;
    const tensors = cases.map(([dtype, data]) => createTensor(device, [data.length], dtype, { label: dtype, data }));
    for (const [i, values] of (await readMany(device, tensors)).entries()) {
      expect([...values]).toEqual(cases[i]?.[2]);
      expect(tensors[i]?.bytes).toBe((tensors[i]?.length ?? 0) * bytesOf(cases[i]?.[0] as DType));
      expect((tensors[i]?.buffer.size ?? 1) % 16).toBe(0);
    }
    for (const tensor of tensors) tensor.destroy();
  });

  it("is zero until written, takes raw bits and bytes, and writes and reads parts", async () => {
    const device = await withDevice(adapter);
    const tensor = createTensor(device, { rows: 3, dim: 5 }, "f16", { label: "part" });
    expect(tensor.dims).toEqual(["rows", "dim"]);
    expect(tensor.shape).toEqual([3, 5]);
    expect([...(await tensor.read())]).toEqual(new Array(15).fill(0));
    tensor.write(Uint16Array.of(0x3c00, 0x4000), 4);
    tensor.write(new Float32Array([7]), 14);
    tensor.write(new Uint8Array([0, 0x44, 0, 0x48]), 0);
    expect([...(await tensor.read())]).toEqual([4, 8, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 7]);
    expect([...(await tensor.readRange(5, 1))]).toEqual([2]);
    expect([...(await tensor.readRange(4, 2))]).toEqual([1, 2]);
    expect(() => tensor.write([1, 2], 3)).toThrow(/tensor "part" \[3, 5\] f16: .*even element/);
    expect(() => tensor.write([1], 2)).toThrow(/even length/);
    tensor.destroy();
  });

  it.each(["q8", "q4"] as const)("writes %s in parts of whole pairs of blocks", async (dtype) => {
    const device = await withDevice(adapter);
    const values = Float32Array.from({ length: 288 }, (_, i) => Math.sin(i * i) * (1 + (i % 7)));
    const expected = dequantise(quantise(values, dtype), 288, dtype);
    const tensor = createTensor(device, [3, 96], dtype, { label: "blocks", data: values });
    expect(await tensor.read()).toEqual(expected);
    const parts = createTensor(device, [3, 96], dtype, { label: "parts", data: new Float32Array(288).fill(9) });
    parts.write(values.subarray(192), 192);
    parts.write(values.subarray(0, 64), 0);
    parts.write(values.subarray(64, 192), 64);
    expect(await parts.read()).toEqual(expected);
    parts.write(quantise(new Float32Array(288).fill(3), dtype));
    expect(new Set(await parts.read()).size).toBe(1);

    const wrong = (data: Float32Array | Uint8Array, at?: number): (() => void) => {
      return () => parts.write(data, at);
    };
    expect(wrong(values.subarray(0, 64), 32)).toThrow(
      /"parts" \[3, 96\] q\d: .*multiples of 64 elements, got 32 to 96/,
    );
    expect(wrong(values.subarray(0, 32), 0)).toThrow(/multiples of 64 elements, got 0 to 32/);
    expect(wrong(values.subarray(0, 256))).toThrow(/expected 288 elements from element 0, got 256/);
    expect(wrong(values, 64)).toThrow(/expected 224 elements from element 64, got 288/);
    expect(wrong(quantise(values.subarray(0, 64), dtype), 0)).toThrow(/raw bytes of block formats are written whole/);
    for (const t of [tensor, parts]) t.destroy();
  });

  it("refuses wrong lengths, kinds and shapes by name", async () => {
    const device = await withDevice(adapter);
    const tensor = createTensor(device, [4], "u32", { label: "ids" });
    expect(() => tensor.write([1, 2, 3])).toThrow(/tensor "ids" \[4\] u32: expected 4 elements, got 3/);
    expect(() => tensor.write([1, 2, 3], 2)).toThrow(/at most 4 elements from element 2, got 3/);
    expect(() => tensor.write([1, 2, -3, 4])).toThrow(/element 2 is -3, which is no u32/);
    expect(() => tensor.write(new Float32Array(4))).toThrow(/expected Uint32Array or numbers, got Float32Array/);
    expect(() => tensor.view([5])).toThrow(/same 4 elements/);
    await expect(tensor.readRange(3, 2)).rejects.toThrow(/a read of 2 elements from 3 leaves its 4/);
    expect(() => createTensor(device, [2, 0], "f32", { label: "none" })).toThrow(/"none" \[2, 0\].*got 0/);
    const before = device.allocated;
    expect(() => createTensor(device, [2], "f32", { label: "short", data: [1] })).toThrow(UserError);
    expect(device.allocated).toBe(before);
    tensor.destroy();
    expect(() => tensor.write([1, 2, 3, 4])).toThrow(/it was destroyed/);
    await expect(tensor.read()).rejects.toThrow(/it was destroyed/);
  });

  it("views and slices share the buffer", async () => {
    const device = await withDevice(adapter);
    const whole = createTensor(device, { layer: 3, dim: 64 }, "f32", {
      data: Float32Array.from({ length: 192 }, (_, i) => i),
    });
    const middle = whole.slice(1, 1);
    expect(middle.offset).toBe(256);
    expect(middle.offset % BINDING_ALIGNMENT).toBe(0);
    expect(middle.buffer).toBe(whole.buffer);
    expect((await middle.read())[0]).toBe(64);
    middle.view({ pairs: 32, two: 2 }).write([-1], 2);
    expect((await whole.readRange(66, 1))[0]).toBe(-1);
    expect(() => whole.slice(2, 2)).toThrow(/leaves the 3 entries/);
    expect(() => createTensor(device, [3, 5], "f32").slice(1, 1)).toThrow(
      /multiple of 256 bytes, but entry 1 lies at byte 20/,
    );
    middle.destroy();
    expect(whole.live).toBe(true);
    whole.destroy();
    expect(middle.live).toBe(false);
  });

  it("matrices in panels are read as they were written, and lie in panels", async () => {
    const device = await withDevice(adapter);
    for (const dtype of ["f32", "f16"] as const) {
      const width = dtype === "f32" ? 16 : 32;
      const numbers = Array.from({ length: 16 * width }, (_, i) => i);
      const t = createTensor(device, [2, 8, width], dtype, { label: "w", panel: 4 });
      // Whole panels, in any order.
      t.write(numbers.slice(8 * width), 8 * width);
      t.write(numbers.slice(0, 8 * width), 0);
      expect([...(await t.read())]).toEqual(numbers);
      expect([...(await t.readRange(4 * width, 4 * width))]).toEqual(numbers.slice(4 * width, 8 * width));
      expect([...(await t.view([16, width]).slice(4, 8).read())]).toEqual(numbers.slice(4 * width, 12 * width));
      // The same bytes as a matrix without panels: pieces of 16 bytes of four rows side by side.
      const piece = width / 4;
      const plain = createTensor(device, [16, width], dtype);
      const encoder = device.raw.createCommandEncoder();
      encoder.copyBufferToBuffer(t.buffer, t.offset, plain.buffer, plain.offset, t.bytes);
      device.raw.queue.submit([encoder.finish()]);
      const lies = Array.from({ length: 16 * width }, (_, i) => {
        const [panel, within] = [Math.floor(i / (4 * width)), i % (4 * width)];
        const [p, row, e] = [Math.floor(within / (4 * piece)), Math.floor(within / piece) % 4, within % piece];
        return (panel * 4 + row) * width + p * piece + e;
      });
      expect([...(await plain.read())]).toEqual(lies);
      for (const wrong of [
        () => t.write([1, 2], 0),
        () => t.view([8, 2 * width]),
        () => t.view([16, width]).slice(4, 2),
      ])
        expect(wrong).toThrow(/^tensor "w" .*panels/);
      await expect(t.readRange(0, 1)).rejects.toThrow(/^tensor "w" .*panels/);
      for (const tensor of [t, plain]) tensor.destroy();
    }
    for (const [shape, dtype, panel, message] of [
      [[8, 8], "f32", 3, "panels have 1, 2, 4, … or 64 rows, got 3"],
      [[6, 8], "f32", 4, "panels of 4 rows do not divide 6 rows"],
      [[8, 6], "f32", 4, "rows of panels are multiples of 16 bytes"],
      [[8, 32], "q8", 4, "only f32, f16, bf16 and fp8 can lie in panels"],
    ] as const)
      expect(() => createTensor(device, shape, dtype, { panel })).toThrow(message);
  });

  it("tensors in textures are read as they were written", async () => {
    const device = await withDevice(adapter);
    const before = device.allocated;
    for (const dtype of ["f32", "f16", "u32"] as const) {
      // More than two rows of the texture, and a tail that is no whole texel.
      const n = 5 * 2048 + 2;
      const numbers = Array.from({ length: n }, (_, i) => i % 2000);
      const t = createTensor(device, [2, n / 2], dtype, { label: "w", texture: true, data: numbers });
      expect(t.texture?.width).toBe(t.pitch);
      expect(device.allocated - before).toBe(t.texture === undefined ? 0 : t.texture.width * t.texture.height * 16);
      expect([...(await t.read())]).toEqual(numbers);
      expect([...(await t.view([n / 2, 2]).readRange(4095, 4200))]).toEqual(numbers.slice(4095, 8295));
      // From within a row over whole ones into the last.
      const part = Array.from({ length: 9000 }, (_, i) => 1999 - (i % 2000));
      t.write(part, 1000);
      const after = [...numbers.slice(0, 1000), ...part, ...numbers.slice(10000)];
      expect([...(await t.read())]).toEqual(after);
      // Beside others, in one round trip.
      const plain = createTensor(device, [3], "u32", { data: [7, 8, 9] });
      const [first, second] = await readMany(device, [plain, t]);
      expect([[...(first ?? [])], [...(second ?? [])]]).toEqual([[7, 8, 9], after]);
      expect(() => t.write([1, 2], 2)).toThrow(/^tensor "w" .*a write of a texture is of 16 bytes or a multiple/);
      expect(() => t.slice(1, 1)).toThrow(/^tensor "w" .*is bound whole, and has no slices/);
      expect(() => t.buffer).toThrow("lies in a texture");
      for (const tensor of [t, plain]) tensor.destroy();
    }
    for (const dtype of ["q8", "q4", "q4_1"] as const) {
      const values = dequantise(
        quantise(
          Float32Array.from({ length: 3 * 64 }, (_, i) => Math.sin(i)),
          dtype,
        ),
        192,
        dtype,
      );
      const t = createTensor(device, [3, 64], dtype, { texture: true, data: values });
      expect([...(await t.read())]).toEqual([...values]);
      t.destroy();
    }
    expect(device.allocated).toBe(before);
    const extent = device.capabilities.limits.textureExtent;
    expect(() => createTensor(device, [extent, extent * 4 + 4], "f32", { label: "w", texture: true })).toThrow(
      `tensor "w" [${extent}, ${extent * 4 + 4}] f32 needs ${extent * (extent + 1) * 16} bytes, but the largest texture of this adapter`,
    );
    // lavapipe would lose the device, though a texture of 16384 x 8192 texels is none too wide for it.
    expect(() => createTensor(device, [2 ** 27, 4], "f32", { label: "w", texture: true })).toThrow(
      `tensor "w" [134217728, 4] f32 needs 2147483648 bytes, but the largest texture of this adapter`,
    );
  });

  it("tensors that are made together share a buffer, and are otherwise their own", async () => {
    const device = await withDevice(adapter);
    const before = device.allocated;
    const t = createTensors(device, {
      large: { shape: { rows: 10, dim: 30 }, label: "the large one" },
      one: { shape: [1], dtype: "u32", data: [7] },
      half: { shape: [3], dtype: "f16", data: [1, 2, 3] },
    });
    expect(Object.keys(t)).toEqual(["large", "one", "half"]);
    // From small to large, each where a binding may start.
    expect([t.one.offset, t.half.offset, t.large.offset]).toEqual([0, 256, 512]);
    expect(new Set([t.one.buffer, t.half.buffer, t.large.buffer]).size).toBe(1);
    expect(device.allocated - before).toBe(512 + 1200);
    expect([t.large.label, t.one.label, t.large.dims, t.half.shape]).toEqual([
      "the large one",
      "one",
      ["rows", "dim"],
      [3],
    ]);
    t.large.write(new Float32Array(300).fill(5));
    t.half.write([9], 2);
    expect([...(await t.one.read())]).toEqual([7]);
    expect([...(await t.half.read())]).toEqual([1, 2, 9]);
    expect((await t.large.view([300]).readRange(299, 1))[0]).toBe(5);
    t.one.destroy();
    t.one.destroy();
    expect([t.one.live, t.half.live]).toEqual([false, true]);
    expect(() => t.one.write([1])).toThrow(/it was destroyed/);
    expect([...(await t.half.read())]).toEqual([1, 2, 9]);
    t.half.destroy();
    expect(device.allocated - before).toBe(512 + 1200);
    t.large.destroy();
    expect(device.allocated).toBe(before);
  });

  it("tensors that are made together are all refused when one is wrong", async () => {
    const device = await withDevice(adapter);
    const before = device.allocated;
    const good = { shape: [4] };
    expect(() => createTensors(device, { good, bad: { shape: [4], data: [1, 2] } })).toThrow(
      'tensor "bad" [4] f32: expected 4 elements, got 2',
    );
    expect(() => createTensors(device, { good, bad: { shape: [0] } })).toThrow('tensor "bad" [0]: expected extents');
    expect(device.allocated).toBe(before);
  });

  it("counts bytes, and reads the same tensor again without a new buffer", async () => {
    const device = await withDevice(adapter);
    const before = device.allocated;
    const tensor = createTensor(device, [5], "f16");
    expect(device.allocated).toBe(before + 16);
    await tensor.read();
    const create = device.raw.createBuffer;
    let created = 0;
    device.raw.createBuffer = (descriptor) => {
      created++;
      return create.call(device.raw, descriptor);
    };
    for (let i = 0; i < 5; i++) await tensor.read();
    device.raw.createBuffer = create;
    expect(created).toBe(0);
    tensor.destroy();
    tensor.destroy();
    expect(device.allocated).toBe(before);
  });

  it("reads many tensors in batches, also large ones", async () => {
    const device = await withDevice(adapter);
    const large = createTensor(device, [5 << 20], "f32", { label: "large" });
    large.write(new Float32Array([1, 2, 3]), (5 << 20) - 3);
    const many = Array.from({ length: 9 }, (_, i) =>
      createTensor(device, [i + 1], "u32", { data: new Array(i + 1).fill(i) }),
    );
    const values = await readMany(device, [...many, large, ...many]);
    expect(values.map((one) => one.at(-1))).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 3, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
    expect(values.map((one) => one.length).slice(0, 10)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 5 << 20]);
    expect(values[1]?.buffer.byteLength).toBe(8);
    for (const tensor of [large, ...many]) tensor.destroy();
  });

  it("names tensor, bytes and limit when a tensor is too large", async () => {
    const device = await withDevice(adapter);
    const { bindingBytes, bufferBytes } = device.capabilities.limits;
    const elements = bindingBytes / 4 + 1;
    expect(() => createTensor(device, [elements], "f32", { label: "huge" })).toThrow(
      new RegExp(
        `tensor "huge" \\[${elements}\\] f32 needs \\d+ bytes, but the largest .* is ${Math.min(bindingBytes, bufferBytes)} bytes`,
      ),
    );
    expect(() => createTensor(device, [bufferBytes], "f32", { label: "huge", sliced: true })).toThrow(/largest buffer/);
  });
});

describe("memory", () => {
  it("tensors that are made together take several buffers where one would be too large", async () => {
    const device = await openDevice({ adapter: "null" });
    const limits = { ...device.capabilities.limits, bufferBytes: 1024 };
    Object.defineProperty(device, "capabilities", { value: { ...device.capabilities, limits } });
    const shape = [150];
    const t = createTensors(device, { a: { shape: [2] }, b: { shape }, c: { shape }, d: { shape: [50] } });
    expect([t.a.offset, t.d.offset, t.b.offset, t.c.offset]).toEqual([0, 256, 0, 0]);
    expect(t.a.buffer).toBe(t.d.buffer);
    expect(new Set(Object.values(t).map((one) => one.buffer)).size).toBe(3);
    for (const tensor of Object.values(t)) tensor.destroy();
    expect(device.allocated).toBe(0);
    await device.close();
  });

  it("running out of it names the tensor at the next wait, and the device stays usable", async () => {
    // The null backend owns 512 MiB, which makes this safe to try.
    const device = await openDevice({ adapter: "null" });
    const big = Array.from({ length: 5 }, (_, i) =>
      createTensor(device, [50 << 20], "u32", { label: `w${i}`, sliced: true }),
    );
    await expect(settle(device)).rejects.toThrow(/tensor "w2" \(\d+ bytes\): out of GPU memory/);
    await settle(device);
    for (const tensor of big) tensor.destroy();
    await device.close();
  });
});
