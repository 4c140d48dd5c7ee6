/** What tensors can be made of, and parts of them in every format and place: right, or refused by name. */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { UserError } from "../../runtime/common/errors.ts";
import type { Device } from "../../runtime/device/device.ts";
import { type Gpu, open } from "../../runtime/index.ts";
import { createTensor, createTensors } from "../../runtime/memory/create.ts";
import { bytesOf, DTYPES, type DType, decodeFloats, encodeFloats } from "../../runtime/memory/dtype.ts";
import { checkedLayout } from "../../runtime/memory/layout.ts";
import { dequantise, quantise } from "../../runtime/memory/quantise.ts";
import type { DeviceTensor } from "../../runtime/memory/tensor.ts";
import { adaptersUnderTest, withDevice } from "../support/gpu.ts";

const SEED = 131;

/** What a call throws, which must be a `UserError`; "nothing" where it throws nothing. */
function complaint(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return error.message;
  }
  return "nothing";
}

let gpu: Gpu;
beforeAll(async () => {
  gpu = await open({ adapter: "null" });
});
afterAll(() => gpu.close());

/** Calls `gpu.tensor` with any arguments, as untyped callers do; what it makes is freed. */
const tensor = (...args: readonly unknown[]): string =>
  complaint(() => (gpu.tensor.bind(gpu) as (...args: readonly unknown[]) => DeviceTensor)(...args).destroy());

describe("shapes", () => {
  test.each([
    [[2, 0], 'tensor "tensor" [2, 0]: expected extents that are integers above 0, got 0'],
    [[2, -1], 'tensor "tensor" [2, -1]: expected extents that are integers above 0, got -1'],
    [[2.5], 'tensor "tensor" [2.5]: expected extents that are integers above 0, got 2.5'],
    [[Number.NaN], 'tensor "tensor" [NaN]: expected extents that are integers above 0, got NaN'],
    [[2 ** 53], 'tensor "tensor" [9007199254740992]: expected extents that are integers above 0, got 9007199254740992'],
    [["2"], 'tensor "tensor" ["2" (a string)]: expected extents that are integers above 0, got "2" (a string)'],
    [[[2, 3]], 'tensor "tensor" [an array of 2]: expected extents that are integers above 0, got an array of 2'],
    [[Symbol("n")], 'tensor "tensor" [a symbol]: expected extents that are integers above 0, got a symbol'],
    [[2, undefined], 'tensor "tensor" [2, nothing]: expected extents that are integers above 0, got nothing'],
    // biome-ignore lint/suspicious/noSparseArray: a hole is what this is about.
    [[2, , 3], 'tensor "tensor" [2, nothing, 3]: expected extents that are integers above 0, got nothing'],
    [
      { rows: 2, columns: 0 },
      'tensor "tensor" [2, 0]: expected extents that are integers above 0, got 0 for "columns"',
    ],
    // Objects put such names in an order of their own.
    [{ rows: 2, 0: 3 }, 'tensor "tensor": "0" is no name of a dim'],
    [{ "": 3 }, 'tensor "tensor": "" is no name of a dim'],
    [{ "a b": 3 }, 'tensor "tensor": "a b" is no name of a dim'],
    [3, 'tensor "tensor": expected a shape, such as [2, 3] or { rows: 2, columns: 3 }, got 3'],
    ["2x3", 'tensor "tensor": expected a shape, such as [2, 3] or { rows: 2, columns: 3 }, got "2x3" (a string)'],
    [undefined, 'tensor "tensor": expected a shape, such as [2, 3] or { rows: 2, columns: 3 }, got nothing'],
    [null, 'tensor "tensor": expected a shape, such as [2, 3] or { rows: 2, columns: 3 }, got null'],
    [
      new Uint32Array([2]),
      'tensor "tensor": expected a shape, such as [2, 3] or { rows: 2, columns: 3 }, got a Uint32Array',
    ],
    [new Map([["n", 2]]), 'tensor "tensor": expected a shape, such as [2, 3] or { rows: 2, columns: 3 }, got a Map'],
  ] as const)("%#: refused in words", (shape, message) => {
    expect(tensor(shape)).toBe(message);
  });

  test("of 2^32 elements or more are refused in every format, by dims, whatever the device could hold", () => {
    const limits = { bindingBytes: 2 ** 50, bufferBytes: 2 ** 50, textureExtent: 2 ** 24 };
    const device = { capabilities: { ...gpu.capabilities, kind: "discrete", limits } } as unknown as Device;
    for (const dtype of DTYPES) {
      const shape = { experts: 256, rows: 2 ** 14, columns: 1024 };
      expect(complaint(() => checkedLayout(device, shape, dtype, { label: "w" }))).toBe(
        `tensor "w" [experts 256, rows 16384, columns 1024] ${dtype}: 256 x 16384 x 1024 are 4294967296 elements, and kernels count them in 32 bits, up to 4294967295`,
      );
      expect(complaint(() => checkedLayout(device, [2 ** 32], dtype, {}))).toContain("are 4294967296 elements");
      // Beyond what numbers count exactly, and beyond what they count at all.
      expect(complaint(() => checkedLayout(device, [2 ** 30, 2 ** 30], dtype, {}))).toContain("elements, and kernels");
      expect(complaint(() => checkedLayout(device, new Array(40).fill(2 ** 30), dtype, {}))).toContain(
        "Infinity elements",
      );
      expect(complaint(() => checkedLayout(device, [2 ** 32], dtype, { sliced: true }))).toContain(
        "4294967296 elements",
      );
      expect(complaint(() => checkedLayout(device, [2 ** 27, 32], dtype, { texture: true }))).toContain(
        "134217728 x 32 are 4294967296 elements",
      );
      const last = checkedLayout(device, [2 ** 27 - 1, 32], dtype, {});
      expect(last.padded).toBe(Math.ceil(((2 ** 32 - 32) * bytesOf(dtype)) / 16) * 16);
    }
  });

  test("whatever the shape, a tensor has it or is refused by its name", () => {
    const extent = fc.oneof(
      { weight: 3, arbitrary: fc.integer({ min: 1, max: 9 }) },
      fc.oneof(fc.double(), fc.integer(), fc.anything({ withBigInt: true, withNullPrototype: true })),
    );
    const name = fc.oneof({ weight: 3, arbitrary: fc.constantFrom("a", "rows", "größe", "_x", "$1") }, fc.string());
    const shape = fc.oneof(
      fc.array(extent, { maxLength: 4 }),
      fc.dictionary(name, extent, { maxKeys: 4 }),
      fc.anything({
        withBigInt: true,
        withNullPrototype: true,
        withTypedArray: true,
        withMap: true,
        withSparseArray: true,
      }),
    );
    let made = 0;
    const property = fc.property(shape, (given) => {
      const said = complaint(() => {
        const t = gpu.tensor(given as never, "f32", { label: "t" });
        const extents = Object.values(given as object);
        made++;
        expect([...t.shape]).toEqual(extents);
        expect(t.dims).toEqual(Array.isArray(given) ? undefined : Object.keys(given as object));
        expect(t.length).toBe(extents.reduce((a: number, b: number) => a * b, 1));
        t.destroy();
      });
      if (said !== "nothing") expect(said).toMatch(/^tensor "t"/);
    });
    fc.assert(property, { seed: SEED, numRuns: 1000 });
    expect(made).toBeGreaterThan(100);
    expect(gpu.device.allocated).toBe(0);
  });
});

describe("dtypes, options and data", () => {
  const WORDS = "(f32, f16, bf16, fp8, q8, q4, q4_1, u32, i32)";
  test.each([["f64"], ["F32"], [""], ["constructor"], [null], [32], [[1]]])("no dtype: %j", (dtype) => {
    expect(tensor([1], dtype)).toMatch(/^tensor "tensor" \[1\]: expected a dtype /);
    expect(tensor([1], dtype)).toContain(WORDS);
  });

  test("options that are none, unknown, or of another type", () => {
    expect(tensor([2], "f32", [1, 2])).toBe("a tensor: expected an object of options, got an array of 2");
    expect(tensor([2], "f32", new Float32Array(2))).toBe("a tensor: expected an object of options, got a Float32Array");
    expect(tensor([2], "f32", "x")).toBe('a tensor: expected an object of options, got "x" (a string)');
    expect(tensor([2], "f32", null)).toBe("a tensor: expected an object of options, got null");
    expect(tensor([2], "f32", { date: [1, 2] })).toBe(
      'a tensor: no option "date"; there are label, data, sliced, panel, texture',
    );
    expect(tensor([2], "f32", { label: 5 })).toBe('a tensor: option "label" expected a string, got 5');
    expect(tensor([2], "f32", { texture: 1 })).toBe('a tensor: option "texture" expected a boolean, got 1');
    expect(tensor([8, 8], "f32", { panel: "4" })).toBe(
      'a tensor: option "panel" expected a number, got "4" (a string)',
    );
    expect(tensor([8, 8], "f32", { panel: 0 })).toContain("panels have 1, 2, 4, … or 64 rows, got 0");
    const together = (specs: unknown): string => complaint(() => gpu.tensors(specs as never));
    expect(together([])).toBe("tensors: expected { name: { shape, … } }, got an array of 0");
    expect(together({ a: [2] })).toBe('tensor "a": expected an object of options, got an array of 1');
    expect(together({ a: { shape: [2], texture: true } })).toBe(
      'tensor "a": option "texture" is for tensors that are made alone',
    );
    expect(together({ a: { dtype: "f32" } })).toContain('tensor "a": expected a shape');
    expect(gpu.device.allocated).toBe(0);
  });

  test.each([
    ["f32", [1, "2"], 'element 1 is "2" (a string), which is no number'],
    ["f16", [[1], [2]], "element 0 is an array of 1, which is no number"],
    ["bf16", [1, 2n], "element 1 is 2n (a bigint), which is no number"],
    ["f32", [1, undefined], "element 1 is nothing, which is no number"],
    ["u32", [1, 1.5], "element 1 is 1.5, which is no u32"],
    ["i32", [true, 1], "element 0 is true (a boolean), which is no i32"],
    ["u32", ["1", 1], 'element 0 is "1" (a string), which is no u32'],
    ["f32", null, "expected floats, got null"],
    ["f32", "ab", 'expected floats, got "ab" (a string)'],
    ["f32", Promise.resolve([1, 2]), "expected floats, got a promise"],
    ["f32", new ArrayBuffer(8), "expected floats, got an ArrayBuffer"],
    ["f32", new DataView(new ArrayBuffer(8)), "expected floats, got DataView"],
    ["f32", new BigInt64Array(2), "expected floats, got BigInt64Array"],
    ["f32", new Int32Array(2), "expected floats, got Int32Array"],
    ["f16", new Int16Array(2), "expected floats, got Int16Array"],
    ["u32", new Int32Array(2), "expected Uint32Array or numbers, got Int32Array"],
    ["i32", { length: 2 }, "expected Int32Array or numbers, got an object"],
    ["f32", [1, 2, 3], "expected 2 elements, got 3"],
    ["f32", new Uint8Array(9), "9 raw bytes are not a whole number of f32 elements"],
  ] as const)("%s from data that does not fit: %#", (dtype, data, message) => {
    expect(tensor([2], dtype, { label: "t", data })).toBe(`tensor "t" [2] ${dtype}: ${message}`);
    expect(gpu.device.allocated).toBe(0);
  });

  test("what a write starts from, a slice, a range and a view", async () => {
    const t = gpu.tensor([4, 64], "f32", { label: "t" });
    const loose = t as unknown as Record<"write" | "slice" | "view", (...args: unknown[]) => void>;
    for (const [at, got] of [
      ["0", '"0" (a string)'],
      [0.5, "0.5"],
      [Number.NaN, "NaN"],
      [null, "null"],
    ] as const)
      expect(complaint(() => loose.write([1], at))).toBe(
        `tensor "t" [4, 64] f32: expected the number of an element to write from, got ${got}`,
      );
    expect(complaint(() => loose.write([1], -1))).toContain("expected at most 256 elements from element -1, got 1");
    expect(complaint(() => loose.slice("0", 1))).toContain('slice of 1 from "0" (a string) leaves the 4 entries');
    expect(complaint(() => loose.slice(0, Symbol("n")))).toContain("slice of a symbol from 0 leaves the 4 entries");
    expect(complaint(() => loose.slice(1))).toContain("slice of nothing from 1 leaves the 4 entries");
    expect(complaint(() => loose.view([-4, -64]))).toContain("expected extents that are integers above 0, got -4");
    expect(complaint(() => loose.view([0.5, 512]))).toContain("expected extents that are integers above 0, got 0.5");
    expect(complaint(() => loose.view())).toContain('tensor "t" [4, 64] f32: a view: expected a shape');
    await expect(t.readRange("0" as never, 1)).rejects.toThrow(
      'a read of 1 elements from "0" (a string) leaves its 256',
    );
    await expect(t.readRange(0, 0)).rejects.toThrow(UserError);
    t.destroy();
  });

  // A runtime without Float16Array has no such data: then nothing is declared here.
  const Float16 = (globalThis as unknown as { Float16Array?: { from(x: readonly number[]): Float32Array } })
    .Float16Array;
  test.each(Float16 === undefined ? [] : [Float16])("Float16Array is data of every float format", async (Halves) => {
    const device = await withDevice(adaptersUnderTest()[0] ?? "");
    const numbers = [1.5, -2, 0.333251953125, 65504];
    const data = Halves.from([7, ...numbers]).subarray(1) as never;
    for (const dtype of ["f32", "f16"] as const) {
      const t = createTensor(device, [4], dtype, { data });
      expect([...(await t.read())]).toEqual(numbers);
      t.write(data, 0);
      t.destroy();
    }
    const rough = createTensor(device, [4], "bf16", { data });
    expect([...(await rough.read())]).toEqual([1.5, -2, 0.333984375, 65536]);
    rough.destroy();
    expect(tensor([4], "u32", { data })).toContain("expected Uint32Array or numbers, got Float16Array");
  });
  test("which runtimes have a Float16Array", () => {
    const [major = 0] = process.versions.node.split(".").map(Number);
    const { bun, deno } = process.versions as { readonly bun?: string; readonly deno?: string };
    if (bun !== undefined || deno !== undefined || major >= 24) expect(typeof Float16).toBe("function");
    else expect(typeof Float16 === "undefined" || major >= 22).toBe(true);
  });
});

/** A format and a place that go together. */
interface Kind {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly panel?: number;
  readonly texture?: boolean;
}

const KINDS: readonly Kind[] = [
  ...(["f32", "f16", "bf16", "u32", "i32", "fp8", "q8", "q4", "q4_1"] as const).flatMap((dtype): Kind[] => [
    { dtype, shape: [6, 96] },
    { dtype, shape: [6, 96], texture: true },
  ]),
  // An odd number of blocks, and of halves.
  { dtype: "q8", shape: [3, 32] },
  { dtype: "q4", shape: [3, 32] },
  { dtype: "f16", shape: [11, 9] },
  { dtype: "q4_1", shape: [3, 32] },
  { dtype: "fp8", shape: [11, 9] },
  ...(["f32", "f16", "bf16", "fp8"] as const).flatMap((dtype): Kind[] => [
    { dtype, shape: [2, 12, 32], panel: 4 },
    { dtype, shape: [2, 12, 32], panel: 4, texture: true },
  ]),
];

describe.each(adaptersUnderTest())("parts of tensors on %s", (adapter) => {
  test.each(KINDS)("$dtype $shape, panel $panel, texture $texture", async (kind) => {
    const device = await withDevice(adapter);
    const { dtype, shape, panel = 1, texture = false } = kind;
    const length = shape.reduce((a, b) => a * b, 1);
    const quantised = dtype === "q8" || dtype === "q4" || dtype === "q4_1";
    // Numbers that each format holds as they are: of blocks, those that they hold after rounding.
    const fresh = (from: number, n = length): number[] =>
      Array.from({ length: n }, (_, i) => (dtype === "u32" ? 0 : -100) + ((i * 7 + from) % 200));
    const held = (values: readonly number[]): number[] =>
      quantised
        ? [...dequantise(quantise(Float32Array.from(values), dtype), values.length, dtype)]
        : dtype === "fp8"
          ? [...decodeFloats(encodeFloats(Float32Array.from(values), dtype), dtype)]
          : [...values];
    const t = createTensor(device, shape, dtype, { label: "t", panel, texture, data: fresh(0) });
    let mirror = held(fresh(0));
    expect([...(await t.read())]).toEqual(mirror);
    const row = shape.at(-1) ?? 1;
    const [lead = 1] = shape;
    let done = 0;
    const range = fc.oneof(
      fc.tuple(fc.integer({ min: -2, max: length + 2 }), fc.integer({ min: -2, max: length + 2 })),
      // Multiples of what something comes in.
      fc
        .tuple(fc.constantFrom(2, 32, 64, row, 4 * row), fc.nat(length), fc.nat(length))
        .map(([unit, a, b]): [number, number] => {
          const start = Math.floor(((a % (length + 1)) / unit) % (length / unit)) * unit;
          return [start, Math.max(unit, Math.floor((b % (length - start + 1)) / unit) * unit)];
        }),
      fc.constant<[number, number]>([0, length]),
    );
    const property = fc.asyncProperty(range, fc.nat(199), async ([start, count], from) => {
      t.write(fresh(1));
      mirror = held(fresh(1));
      // Reading: what lies there, or an error that names the tensor.
      const wanted = start >= 0 && count >= 1 && start + count <= length;
      const whole = panel === 1 || (start % (panel * row) === 0 && count % (panel * row) === 0);
      const got = await t.readRange(start, count).catch((error: Error) => error);
      if (wanted && whole) expect([...(got as Float32Array)]).toEqual(mirror.slice(start, start + count));
      else expect(String(got)).toContain('UserError: tensor "t" [');
      // Writing: exactly that part changes, or an error and nothing does.
      const some = Math.max(1, count);
      const part = fresh(from, some);
      const said = complaint(() => t.write(part, start));
      if (said === "nothing") {
        done++;
        expect(start >= 0 && start + some <= length).toBe(true);
        mirror = [...mirror.slice(0, start), ...held(part), ...mirror.slice(start + some)];
      } else expect(said).toMatch(/^tensor "t" \[/);
      expect([...(await t.read())]).toEqual(mirror);
      // A slice: those entries, or an error.
      const entries = [Math.floor(start / (length / lead)), Math.ceil(some / (length / lead))] as const;
      const sliced = complaint(() => t.slice(...entries));
      if (sliced !== "nothing") expect(sliced).toMatch(/^tensor "t" \[/);
      else {
        const each = length / lead;
        expect([...(await t.slice(...entries).read())]).toEqual(
          mirror.slice(entries[0] * each, (entries[0] + entries[1]) * each),
        );
      }
    });
    await fc.assert(property, { seed: SEED, numRuns: 40 });
    expect(done).toBeGreaterThan(0);
    t.destroy();
  });

  test.each(["q8", "q4", "q4_1"] as const)("slices and views of %s", async (dtype) => {
    const device = await withDevice(adapter);
    const values = Float32Array.from({ length: 1024 }, (_, i) => Math.sin(i) * (1 + (i >> 7)));
    const expected = dequantise(quantise(values, dtype), 1024, dtype);
    const t = createTensor(device, [2, 512], dtype, { label: "w", data: values });
    for (const [start, count] of [
      [0, 1],
      [1, 1],
    ] as const)
      expect(complaint(() => t.slice(start, count))).toBe(
        `tensor "w" [2, 512] ${dtype}: its scales lie behind all elements, so a part is no tensor of its own: ${dtype} has no slices`,
      );
    expect(await t.slice(0, 2).read()).toEqual(expected);
    expect(await t.view([16, 64]).readRange(70, 200)).toEqual(expected.slice(70, 270));
    expect(complaint(() => t.view([64, 16]))).toBe(
      `tensor "w" [2, 512] ${dtype}: a view of ${dtype} has rows of whole blocks of 32, got [64, 16]`,
    );
    // Beside others, from an offset in memory that they share.
    const made = createTensors(device, {
      a: { shape: [5], dtype: "f16", data: [1, 2, 3, 4, 5] },
      w: { shape: [2, 512], dtype, data: values },
    });
    expect(await made.w.readRange(33, 5)).toEqual(expected.slice(33, 38));
    expect(await made.w.readRange(1023, 1)).toEqual(expected.slice(1023));
    for (const one of [t, made.a, made.w]) one.destroy();
  });
});
