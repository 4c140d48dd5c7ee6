/**
 * fp8 and q4_1 through kernels on every adapter: all codes against numbers that are written down here from their
 * definitions, and blocks against what float64 makes of them.
 */
import { describe, expect, test } from "vitest";
import { block, dot, over, type real, type Tensor } from "../../dsl/index.ts";
import { createTensor } from "../../runtime/memory/create.ts";
import { decodeFloats, encodeFloats } from "../../runtime/memory/dtype.ts";
import { dequantise, quantise } from "../../runtime/memory/quantise.ts";
import { gpuOf } from "../support/decoders.ts";
import { adaptersUnderTest, withDevice } from "../support/gpu.ts";
import { normal } from "../support/random.ts";
import { kernelsOf } from "./harness.ts";

/** Every format widened, as vectors. */
function widened(x: Tensor<"n", real>, y: Tensor<"n">): void {
  const i = block("n");
  y.set([i], x.at(i));
}

/** One by one. */
function shifted(x: Tensor<"n", real>, y: Tensor<"m">): void {
  const j = block("m");
  y.set([j], x.at(j + 3));
}

function product(w: Tensor<"rows n", real>, v: Tensor<"n">, y: Tensor<"rows">): void {
  const r = block("rows", 4);
  let total = 0;
  for (const j of over("n")) total += dot(w.at(r, j), v.at(j));
  y.set([r], total);
}

const { check } = kernelsOf(import.meta, { widened, shifted, product });

/** What the Open Compute Project says of E4M3: a sign, four bits of exponent with a bias of 7, three of fraction. */
function e4m3(code: number): number {
  const text = code.toString(2).padStart(8, "0");
  const [exponent, fraction] = [Number.parseInt(text.slice(1, 5), 2), Number.parseInt(text.slice(5), 2)];
  const sign = text[0] === "1" ? -1 : 1;
  if (text.slice(1) === "1111111") return Number.NaN;
  return exponent === 0 ? sign * (fraction / 8) * 2 ** -6 : sign * (1 + fraction / 8) * 2 ** (exponent - 7);
}

const CODES = Uint8Array.from({ length: 256 }, (_, i) => i);
const NUMBERS = Float32Array.from(CODES, e4m3);

describe("fp8", () => {
  test("every code, on the host", () => {
    expect(decodeFloats(CODES, "fp8")).toEqual(NUMBERS);
    expect([NUMBERS[0x7e], NUMBERS[1], NUMBERS[0x80], NUMBERS[8]]).toEqual([448, 2 ** -9, -0, 2 ** -6]);
    // Back again: NaN has two codes, by its sign, and JavaScript has one NaN.
    const back = encodeFloats(NUMBERS, "fp8");
    for (const code of CODES) expect(back[code], String(code)).toBe(code === 0xff ? 0x7f : code);
  });

  test("rounding to the nearest code, ties to even; what is too large is NaN", () => {
    const finite = [...NUMBERS].filter((x) => x >= 0).sort((a, b) => a - b);
    const given: number[] = [];
    const want: number[] = [];
    for (const [i, x] of finite.slice(0, -1).entries()) {
      const next = finite[i + 1] as number;
      const middle = (x + next) / 2;
      const near = Math.fround(middle * (1 + 2 ** -20));
      const even = CODES.find((c) => NUMBERS[c] === x) as number;
      given.push(x, middle, near, Math.fround(middle * (1 - 2 ** -20)), -middle);
      want.push(x, even % 2 === 0 ? x : next, next, x, even % 2 === 0 ? -x : -next);
    }
    given.push(464, 464.001, 480, 1e30, Infinity, -1e9, Number.NaN, 2 ** -11, 1e-40, 0);
    want.push(448, ...Array.from({ length: 6 }, () => Number.NaN), 0, 0, 0);
    const got = decodeFloats(encodeFloats(Float32Array.from(given), "fp8"), "fp8");
    for (const [i, x] of given.entries())
      expect(
        got[i] === want[i] || (Number.isNaN(got[i]) && Number.isNaN(want[i])),
        `${x} -> ${got[i]}, not ${want[i]}`,
      ).toBe(true);
  });

  test.each(adaptersUnderTest())(
    "every code, NaN among them, reaches the host from a tensor on %s",
    async (adapter) => {
      const device = await withDevice(adapter);
      const t = createTensor(device, [256], "fp8", { data: CODES });
      expect(await t.read()).toEqual(NUMBERS);
      t.destroy();
    },
  );

  test("every code through kernels, wide and one by one", async () => {
    const x = NUMBERS.filter((v) => !Number.isNaN(v));
    await check("widened", { sizes: { n: 254 }, storage: { x: "fp8" }, data: { x }, want: { y: x }, tolerance: 0 });
    const y = x.slice(3);
    await check("shifted", {
      sizes: { n: 254, m: 251 },
      storage: { x: "fp8" },
      data: { x },
      want: { y },
      tolerance: 0,
    });
    const four = [...x, 1, 2];
    await check("widened", {
      sizes: { n: 256 },
      storage: { x: "fp8" },
      data: { x: four },
      want: { y: four },
      tolerance: 0,
    });
  });

  test.each(adaptersUnderTest())("every code, NaN among them, goes through a kernel on %s", async (adapter) => {
    const gpu = await gpuOf(adapter);
    const k = await gpu.kernels(import.meta, { widened });
    const [x, y] = [gpu.tensor([256], "fp8", { data: CODES }), gpu.tensor([256])];
    k.widened(x, y);
    expect(await y.read()).toEqual(NUMBERS);
    for (const t of [x, y]) t.destroy();
  });
});

/** The numbers of Q4_1 in float64: a scale and a minimum in half precision for each 32. */
function q4ByDefinition(values: Float32Array): Float64Array {
  const half = (x: number): number => decodeFloats(encodeFloats(Float32Array.of(x), "f16"), "f16")[0] as number;
  const out = new Float64Array(values.length);
  for (let b = 0; b < values.length; b += 32) {
    const part = [...values.subarray(b, b + 32)];
    const least = half(Math.min(...part));
    const scale = half((Math.max(...part) - Math.min(...part)) / 15);
    for (const [i, x] of part.entries()) {
      // The nearest of the sixteen numbers that the block can say.
      const can = Array.from({ length: 16 }, (_, q) => q * scale + least);
      out[b + i] = can.reduce((best, y) => (Math.abs(y - x) < Math.abs(best - x) ? y : best));
    }
  }
  return out;
}

describe("q4_1", () => {
  const next = normal(9);
  const values = Float32Array.from({ length: 1024 }, (_, i) => next() * 2 ** ((i >> 7) - 4) + (i >> 8));

  test("the nearest of sixteen numbers, on the host", () => {
    const want = q4ByDefinition(values);
    const got = dequantise(quantise(values, "q4_1"), values.length, "q4_1");
    for (const [i, x] of want.entries())
      expect(Math.abs((got[i] as number) - x)).toBeLessThan(1e-6 * (1 + Math.abs(x)));
  });

  test("and in kernels, wide and one by one, and in products", async () => {
    const want = q4ByDefinition(values);
    const storage = { x: "q4_1", w: "q4_1" } as const;
    await check("widened", { sizes: { n: 1024 }, storage, data: { x: values }, want: { y: want } });
    await check("shifted", { sizes: { n: 1024, m: 1021 }, storage, data: { x: values }, want: { y: want.slice(3) } });
    const v = Float32Array.from({ length: 128 }, (_, i) => Math.sin(i));
    const y = Array.from({ length: 8 }, (_, r) => v.reduce((sum, x, i) => sum + x * (want[r * 128 + i] as number), 0));
    await check("product", {
      sizes: { rows: 8, n: 128 },
      storage,
      data: { w: values, v },
      want: { y },
      tolerance: 1e-5,
    });
  });
});
