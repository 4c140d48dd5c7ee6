/**
 * Kernels store whole blocks of q8, q4 and q4_1, bit for bit as the host's encoder rounds them: zeros, denormals, huge
 * numbers and ties, on every adapter and in the simulator.
 */
import { describe, expect, test } from "vitest";
import { generate, type TileProgram } from "../../compiler/index.ts";
import { simulateTensors } from "../../compiler/oracle/simulate/index.ts";
import { block, every, over, program, type real, sum, type Tensor } from "../../dsl/index.ts";
import { dequantise, quantise } from "../../runtime/memory/quantise.ts";
import type { DeviceTensor } from "../../runtime/memory/tensor.ts";
import { gpuOf } from "../support/decoders.ts";
import { adaptersUnderTest } from "../support/gpu.ts";
import { LANE_TARGETS, nameOf } from "../support/lanes.ts";
import { normal } from "../support/random.ts";
import { kernelsOf } from "./harness.ts";

function copied(x: Tensor<"n">, y: Tensor<"n", real>): void {
  const i = block("n");
  y.set([i], x.at(i));
}

/** Rows by a program each, whose sum all lanes make. */
function relative(x: Tensor<"rows n">, y: Tensor<"rows n", real>): void {
  const r = program("rows");
  const i = every("n");
  y.set([r, i], x.at(r, i) - sum(x.at(r, i)));
}

function walked(x: Tensor<"rows n">, y: Tensor<"rows n", real>): void {
  const r = block("rows");
  for (const i of over("n")) y.set([r, i], x.at(r, i) * 2);
}

const { check, programs } = kernelsOf(import.meta, { copied, relative, walked });

const FORMATS = ["q8", "q4", "q4_1"] as const;

/** Blocks of every kind that could be rounded in two ways. */
function hard(): Float32Array {
  const next = normal(11);
  const blocks: ((i: number) => number)[] = [
    () => 0,
    () => -0,
    (i) => (i === 5 ? -1e-40 : 1e-41),
    () => 1,
    () => -3.25,
    // Scales that are denormal in half precision, or nothing.
    (i) => (i - 16) * 2 ** -22,
    (i) => (i - 16) * 1e-9,
    // Ties: a scale that is exact, and elements halfway between two codes.
    (i) => (i === 0 ? 127 : i - 15.5),
    (i) => (i === 0 ? -8 : (i % 16) / 2 - 4),
    (i) => (i === 0 ? 8 : (i % 16) / 2 - 4),
    (i) => (i === 0 ? 15 : i === 1 ? 0 : i / 2 - 0.5),
    // Two that are as large, with either sign first.
    (i) => (i === 3 ? 2.5 : i === 7 ? -2.5 : i / 20),
    (i) => (i === 3 ? -2.5 : i === 7 ? 2.5 : i / 20),
    // Scales above half precision's numbers.
    (i) => (i - 11) * 1e6,
    (i) => (i - 20) * 1e30,
    (i) => (i === 9 ? 3.4e38 : -i),
    // A narrow range far from zero.
    (i) => 1000 + i / 4096,
    (i) => -60000 - i,
  ];
  const numbers = blocks.flatMap((f) => Array.from({ length: 32 }, (_, i) => f(i)));
  for (let b = 0; b < 78; b++) {
    const size = 2 ** ((b % 40) - 24);
    for (let i = 0; i < 32; i++) numbers.push(next() * size);
  }
  return Float32Array.from(numbers);
}

/** The bytes of a tensor as they lie on the device. */
async function bytesOnDevice(t: DeviceTensor): Promise<Uint8Array> {
  const { raw } = t.device;
  const size = Math.ceil(t.bytes / 4) * 4;
  const staging = raw.createBuffer({ size, usage: 1 | 8 });
  const encoder = raw.createCommandEncoder();
  encoder.copyBufferToBuffer(t.buffer, t.offset, staging, 0, size);
  raw.queue.submit([encoder.finish()]);
  await staging.mapAsync(1);
  const bytes = new Uint8Array(staging.getMappedRange().slice(0));
  staging.destroy();
  return bytes.subarray(0, t.bytes);
}

describe.each(adaptersUnderTest())("blocks that kernels store on %s", (adapter) => {
  test.each(FORMATS)("%s: the bits of the host's encoder", async (format) => {
    const gpu = await gpuOf(adapter);
    const k = await gpu.kernels(import.meta, { copied });
    const values = hard();
    const x = gpu.tensor([values.length], "f32", { data: values });
    const y = gpu.tensor([values.length], format);
    k.copied(x, y);
    const [got, want] = [await bytesOnDevice(y), quantise(values, format)];
    const different = [...want].flatMap((byte, i) => (byte === got[i] ? [] : [`byte ${i}: ${got[i]}, not ${byte}`]));
    expect(different).toEqual([]);
    for (const t of [x, y]) t.destroy();
  });
});

describe("blocks in kernels of every shape", () => {
  const numbers = (n: number): Float32Array => {
    const next = normal(5);
    return Float32Array.from({ length: n }, () => next());
  };

  test.each(FORMATS)("%s", async (y) => {
    await check("copied", { sizes: { n: 32 * 7 }, storage: { y } });
    // Whole numbers, whose sums are exact.
    const x = numbers(3 * 96).map((v) => Math.round(v * 20));
    const rows = [0, 1, 2].flatMap((r) => {
      const row = x.subarray(r * 96, (r + 1) * 96);
      const total = row.reduce((a, b) => a + b, 0);
      return [...row].map((v) => v - total);
    });
    const held = (values: readonly number[]): Float32Array =>
      dequantise(quantise(Float32Array.from(values), y), values.length, y);
    const sizes = { rows: 3, n: 96 };
    await check("relative", { sizes, storage: { y }, data: { x }, want: { y: held(rows) }, tolerance: 1e-5 });
    const twice = held([...x].map((v) => v * 2));
    await check("walked", { sizes, storage: { y }, data: { x }, want: { y: twice }, tolerance: 1e-5 });
  });

  test.each(LANE_TARGETS.map((t) => [nameOf(t), t] as const))("simulated for %s", async (_, target) => {
    const program = (await programs).get("copied") as TileProgram;
    const finite = hard().map((v) => (Math.abs(v) > 60000 || (v !== 0 && Math.abs(v) < 1e-7) ? 1 : v));
    for (const storage of FORMATS) {
      const n = finite.length;
      const { lanes } = generate(program, { sizes: { n }, storage: { x: "f32", y: storage }, cells: [] }, target);
      const y = new Float32Array(n);
      simulateTensors(lanes, {
        x: { shape: [n], storage: "f32", data: finite },
        y: { shape: [n], storage, data: y },
      });
      const want = dequantise(quantise(finite, storage), n, storage);
      for (const [i, v] of want.entries())
        expect(Math.abs((y[i] as number) - v)).toBeLessThan(1e-6 * (1 + Math.abs(v)));
    }
  });
});
