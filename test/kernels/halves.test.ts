/** 16-bit floats at the edges of what they hold: denormals, infinities, NaN, and what is too large for them. */
import { describe, expect, test } from "vitest";
import { block, program, type Tensor } from "../../dsl/index.ts";
import { gpuOf } from "../support/decoders.ts";
import { everyAdapter } from "../support/gpu.ts";
import { kernelsOf } from "./harness.ts";

/** Numbers from one format to another. */
function converted(x: Tensor<"rows n", "f32" | "f16" | "bf16">, y: Tensor<"rows n", "f32" | "f16" | "bf16">): void {
  const [r, i] = [program("rows"), block("n")];
  y.set([r, i], x.at(r, i));
}

/** Constants, of which some are beyond the narrower formats. */
function beyond(y: Tensor<"five n", "f32" | "f16" | "bf16">): void {
  const i = block("n");
  y.set([0, i], 1e5);
  y.set([1, i], -70000);
  y.set([2, i], 65504);
  y.set([3, i], 65520);
  y.set([4, i], -65519);
}

const { check } = kernelsOf(import.meta, { converted, beyond });

/** What the bits of f16 stand for, by its definition. */
function ofHalf(bits: number): number {
  const [sign, exponent, fraction] = [bits >> 15 === 0 ? 1 : -1, (bits >> 10) & 31, bits & 1023];
  if (exponent === 31) return fraction === 0 ? sign * Infinity : Number.NaN;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

describe("16-bit floats", () => {
  const every = Array.from({ length: 2 ** 16 }, (_, bits) => ofHalf(bits)).filter((x) => !Number.isNaN(x));
  // For whole rows.
  every.push(...every.slice(0, 254));
  // Rows of an odd length are read one by one, the others by the word or more.
  test.each([83, 166, 256])("every f16 widens to its number, in rows of %i", (n) =>
    check("converted", {
      sizes: { rows: every.length / n, n },
      storage: { x: "f16" },
      data: { x: every },
      want: { y: every },
      tolerance: 0,
    }),
  );

  const [UP, DOWN] = [Infinity, -Infinity];
  const given = [UP, DOWN, 65504, -65504, 65519.99, -65519.99, 65520, -65520, 65536, -65536, 1e5, -1e5, 131008, 1e9];
  const top = 3.4028234663852886e38;
  const more = [-1e9, top, -top, 3.38e38, 0, 2 ** -14, 2 ** -24, -(2 ** -24), 1, -1];
  const inHalf = [UP, DOWN, 65504, -65504, 65504, -65504, UP, DOWN, UP, DOWN, UP, DOWN, UP, UP];
  const moreInHalf = [DOWN, UP, DOWN, UP, 0, 2 ** -14, 2 ** -24, -(2 ** -24), 1, -1];
  test("what is too large for f16 is stored as an infinity", () =>
    check("converted", {
      sizes: { rows: 1, n: 24 },
      storage: { x: "f32", y: "f16" },
      data: { x: [...given, ...more] },
      want: { y: [...inHalf, ...moreInHalf] },
    }));
  test("infinities and what is too large for bf16 are stored as infinities", () =>
    check("converted", {
      sizes: { rows: 1, n: 8 },
      storage: { x: "f32", y: "bf16" },
      data: { x: [UP, DOWN, top, -top, 65536, -1, 0, 2 ** 100] },
      want: { y: [UP, DOWN, UP, DOWN, 65536, -1, 0, 2 ** 100] },
    }));
  test.each(["f32", "f16", "bf16"] as const)("constants beyond a format, stored as %s", (storage) =>
    check("beyond", {
      sizes: { five: 5, n: 8 },
      storage: { y: storage },
      want: {
        y: [
          ...Array<number>(8).fill({ f32: 1e5, f16: UP, bf16: 99840 }[storage]),
          ...Array<number>(8).fill({ f32: -70000, f16: DOWN, bf16: -70144 }[storage]),
          ...Array<number>(8).fill({ f32: 65504, f16: 65504, bf16: 65536 }[storage]),
          ...Array<number>(8).fill({ f32: 65520, f16: UP, bf16: 65536 }[storage]),
          ...Array<number>(8).fill({ f32: -65519, f16: -65504, bf16: -65536 }[storage]),
        ],
      },
    }),
  );
});

describe.each(everyAdapter())("what is no number, on %s", (adapter) => {
  test.each(["f32", "f16", "bf16"] as const)("stays that when it is stored as %s", async (to) => {
    const gpu = await gpuOf(adapter);
    const k = await gpu.kernels(import.meta, { converted });
    // Every sign, the fraction's first and last bits, and the two that a rounding would carry furthest.
    const floats = [0x7fc00000, 0xffc00000, 0x7f800001, 0xff800001, 0x7fffffff, 0xffffffff, 0x7f80ffff, 0xffff8000];
    const halves = [0x7e00, 0xfe00, 0x7c01, 0xfc01, 0x7fff, 0xffff, 0x7dff, 0xfdff];
    const brains = floats.map((word) => (word >>> 16) | 1);
    const sources = [
      ["f32", new Uint8Array(Uint32Array.from(floats).buffer)],
      ["f16", Uint16Array.from(halves)],
      ["bf16", Uint16Array.from(brains)],
    ] as const;
    for (const n of [1, 2, 4, 8].filter((width) => to === "f32" || width > 1))
      for (const [from, data] of sources) {
        const x = gpu.tensor({ rows: 8 / n, n }, from, { data });
        const y = gpu.tensor({ rows: 8 / n, n }, to);
        k.converted(x, y);
        expect([...(await y.read())], `${from} to ${to}, ${n} at once`).toEqual(Array(8).fill(Number.NaN));
        x.destroy();
        y.destroy();
      }
  });
});
