/** Kernels in plain JavaScript with JSDoc types (plain.mjs): the same checks as for TypeScript. */
import { describe, expect, test } from "vitest";
import { kernelsOf } from "./harness.ts";

const kernel = (): void => undefined;
const { check, programs } = kernelsOf(
  { url: new URL("./plain.mjs", import.meta.url).href },
  {
    softmax: kernel,
    scale: kernel,
    matvec: kernel,
    transpose: kernel,
    smoothed: kernel,
    squared: kernel,
    means: kernel,
    größer: kernel,
  },
);

describe("JavaScript", () => {
  test("a row", async () =>
    check("softmax", {
      sizes: { rows: 2, n: 3 },
      data: { x: [1, 2, 3, 0, 0, 10] },
      want: { y: [0.09003057, 0.24472848, 0.66524094, 0.0000453958, 0.0000453958, 0.9999092] },
    }));

  test("formats, constants and scalars", async () =>
    check("scale", {
      sizes: { rows: 2, n: 4 },
      data: { x: [1, 2, 3, 4, 5, 6, 7, 8] },
      scalars: { k: 6 },
      want: { y: [3, 6, 9, 12, 15, 18, 21, 24] },
    }));

  test("an arrow function, and a choice of formats", async () => {
    const data = { w: [1, 2, 3, 4, 5, 6, 7, 8, 0.5, 0, 0, 0.5], x: [1, 10, 100, 1000] };
    const want = { y: [4321, 8765, 500.5] };
    await check("matvec", { sizes: { rows: 3, k: 4 }, storage: { w: "bf16" }, data, want });
    await check("matvec", { sizes: { rows: 3, k: 4 }, data, want });
  });

  test("a type parameter", async () => {
    const storage = { x: "u32", y: "u32" } as const;
    await check("transpose", {
      sizes: { m: 2, n: 3 },
      storage,
      data: { x: [1, 2, 3, 4, 5, 6] },
      want: { y: [1, 4, 2, 5, 3, 6] },
    });
    await check("transpose", { sizes: { m: 2, n: 2 }, data: { x: [0.5, 2, 3, 4] }, want: { y: [0.5, 3, 2, 4] } });
  });

  test("compile-time parameters, and helpers without types", async () => {
    await check("smoothed", { sizes: { n: 3 }, data: { x: [9, 1, -7] }, want: { y: [2, 1, 0] } });
    await check("squared", { sizes: { n: 3 }, data: { x: [2, -3, 0.5] }, want: { y: [16, 81, 0.0625] } });
    const fixed = [...(await programs).values()].filter((p) => p.fixed !== undefined).map((p) => [p.name, p.fixed]);
    expect(Object.fromEntries(fixed)).toEqual({
      smoothed: { count: 3, f: "smooth()" },
      squared: { count: 2, f: "(arrow)()" },
    });
  });

  test("a type for the whole function, and a helper with types", async () =>
    check("means", { sizes: { rows: 2, n: 4 }, data: { x: [1, 2, 3, 6, 0, 0, 0, 2] }, want: { y: [3, 0.5] } }));

  test("names in any script", async () =>
    check("größer", { sizes: { n: 4 }, data: { größe: [1, -2, 0, 4] }, want: { 結果: [1, 0, 0, 4] } }));
});
