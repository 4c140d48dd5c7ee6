/** What a kernel call refuses, and in which words. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { DeviceTensor, Gpu } from "../../runtime/index.ts";
import { beforeTests, loosely, type Opened } from "./refusals.ts";

const SEED = 13;

let gpu: Gpu;
let other: Gpu;
let k: Opened["k"];
let x: DeviceTensor;
let y: DeviceTensor;
let ints: DeviceTensor;
let words: DeviceTensor;
beforeTests((opened) => {
  ({ gpu, other, k, x, y, ints, words } = opened);
});

const U32 = "a whole number from 0 to 4294967295 (u32)";
const I32 = "a whole number from -2147483648 to 2147483647 (i32)";

describe("scalars", () => {
  test.each([
    [-1, "-1"],
    [1.5, "1.5"],
    [2 ** 32, "4294967296"],
    [1e39, "1e+39"],
    [Number.NaN, "NaN"],
    [Number.POSITIVE_INFINITY, "Infinity"],
  ])("a u32 is not %d", (given, got) => {
    expect(loosely(k.count, given, 0, ints, words)).toBe(`kernel count: parameter "a" expected ${U32}, got ${got}`);
  });

  test.each([
    [2 ** 31, "2147483648"],
    [-(2 ** 31) - 1, "-2147483649"],
    [-0.5, "-0.5"],
    [Number.NaN, "NaN"],
    [Number.NEGATIVE_INFINITY, "-Infinity"],
  ])("an i32 is not %d", (given, got) => {
    expect(loosely(k.count, 0, given, ints, words)).toBe(`kernel count: parameter "b" expected ${I32}, got ${got}`);
  });

  test.each([
    [1e39, "1e+39"],
    [-3.5e38, "-3.5e+38"],
    [Number.MAX_VALUE, "1.7976931348623157e+308"],
  ])("an f32 does not hold %d", (given, got) => {
    expect(loosely(k.scale, x, given, y)).toBe(
      `kernel scale: parameter "by" expected a number that f32 holds (up to 3.4028234663852886e+38), got ${got}`,
    );
  });

  test.each([
    ["2", '"2" (a string)'],
    [true, "true (a boolean)"],
    [2n, "2n (a bigint)"],
    [undefined, "nothing"],
    [null, "null"],
    [[2], "an array of 1"],
    [{}, "an object"],
    [Object.create(null), "an object"],
    [Symbol("two"), "a symbol"],
    [() => 2, "a function"],
    [Promise.resolve(2), "a promise"],
    [new Float32Array(1), "a Float32Array"],
  ])("what is no number: %#", (given, got) => {
    expect(loosely(k.scale, x, given, y)).toBe(
      `kernel scale: parameter "by" expected a number or a tensor of one f32, got ${got}`,
    );
  });

  test("the ends of each type go through as they are", async () => {
    k.count(0, -(2 ** 31), ints, words);
    expect([(await ints.read())[0], (await words.read())[2]]).toEqual([-(2 ** 31), 0]);
    k.count(2 ** 32 - 1, 2 ** 31 - 1, ints, words);
    expect([(await ints.read())[2], (await words.read())[0]]).toEqual([2 ** 31 - 1, 2 ** 32 - 1]);
    k.count(-0, -0, ints, words);
    expect([(await ints.read())[2], (await words.read())[0]]).toEqual([0, 0]);
    const largest = 3.4028234663852886e38;
    k.scale(x, largest, y);
    expect((await y.read())[0]).toBe(largest);
    // What rounds to the largest f32 is none that is too large.
    k.scale(x, 3.40282356e38, y);
    expect((await y.read())[0]).toBe(largest);
  });
});

describe("tensors", () => {
  test("that were destroyed", () => {
    const gone = gpu.tensor([3], "f32", { label: "gone" });
    const view = gone.view([3]);
    gone.destroy();
    const message = 'kernel scale: parameter "x" expected a tensor that lives, got one that was destroyed ("gone")';
    expect(loosely(k.scale, gone, 2, y)).toBe(message);
    expect(loosely(k.scale, view, 2, y)).toBe(message);
    const cell = gpu.tensor([1], "f32", { label: "cell" });
    cell.destroy();
    expect(loosely(k.scale, x, cell, y)).toBe(
      'kernel scale: parameter "by" expected a tensor that lives, got one that was destroyed ("cell")',
    );
  });

  test("of another device", () => {
    const theirs = other.tensor([3], "f32", { label: "theirs" });
    expect(loosely(k.scale, x, 2, theirs)).toBe(
      `kernel scale: parameter "y" expected a tensor of the device that the kernel was loaded on (${gpu.capabilities.name}), got one of another device (${other.capabilities.name}, "theirs")`,
    );
    theirs.destroy();
  });

  test("of another type, number of dims or size", () => {
    expect(loosely(k.scale, ints, 2, y)).toBe('kernel scale: parameter "x" expected f32, got i32 ("ints")');
    expect(loosely(k.scale, x.view([1, 3]), 2, y)).toBe(
      'kernel scale: parameter "x" expected 1 dims ("n"), got 2 dims [1, 3] ("x")',
    );
    const four = gpu.tensor([4], "f32", { label: "four" });
    expect(loosely(k.scale, x, 2, four)).toBe(
      'kernel scale: parameter "y" expected 3 elements along "n" (as in "x"), got 4 ("four" is [4])',
    );
    four.destroy();
    expect(loosely(k.scale, x, x, y)).toBe('kernel scale: parameter "by" expected one f32, got f32 [3] ("x")');
  });

  test("that are none", () => {
    for (const [given, got] of [
      [[1, 2, 3], "an array of 3"],
      [new Float32Array(3), "a Float32Array"],
      [undefined, "nothing"],
      [3, "3"],
      [{ ...x }, "an object"],
    ] as const)
      expect(loosely(k.scale, given, 2, y)).toBe(`kernel scale: parameter "x" expected a tensor "n", got ${got}`);
    expect(loosely(k.scale, x, 2)).toBe("kernel scale: expected 3 arguments (x, by, y), got 2");
    expect(loosely(k.scale, x, 2, y, y)).toBe("kernel scale: expected 3 arguments (x, by, y), got 4");
    const late = Promise.resolve(x);
    expect(() => (k.scale as (...args: unknown[]) => void)(late, 2, y)).toThrow(
      expect.objectContaining({ hint: "await it first" }),
    );
  });
});

test("whatever a call is given, it fits or it is refused by name, and the GPU hears of nothing that does not fit", async () => {
  const live = fc.constantFrom(...[x, y, ints, words, x.view([1, 3])]);
  const number = fc.oneof(fc.double(), fc.integer(), fc.constantFrom(0, -0, 2 ** 32 - 1, 2 ** 31, -(2 ** 31)));
  const junk = fc.oneof(
    fc.anything({ withNullPrototype: true, withBigInt: true, withTypedArray: true, withSparseArray: true }),
    fc.func(fc.anything()),
    fc.constantFrom(Promise.resolve(1), Symbol("s"), new Proxy({}, {}), DataView, other),
  );
  const any = fc.oneof(live, number, junk);
  const fits = (dtype: "f32" | "u32" | "i32", v: unknown): boolean => {
    if (typeof v !== "number") return false;
    if (dtype === "f32") return !Number.isFinite(v) || Number.isFinite(Math.fround(v));
    return dtype === "u32" ? v >>> 0 === v : (v | 0) === v;
  };
  let right = 0;
  const judge = (said: string, kernel: string, wrong: string | undefined): void => {
    if (wrong === undefined) {
      right++;
      expect(said).toBe("nothing");
    } else
      expect(said.startsWith(`kernel ${kernel}: parameter "${wrong}" expected `), `${said} names ${wrong}`).toBe(true);
  };
  await fc.assert(
    fc.asyncProperty(any, any, async (a, b) => {
      const u = fits("u32", a);
      judge(loosely(k.count, a, b, ints, words), "count", u ? (fits("i32", b) ? undefined : "b") : "a");
      judge(loosely(k.scale, x, a, y), "scale", fits("f32", a) ? undefined : "by");
      const said = loosely(k.scale, a, 1, y);
      if (a === y) expect(said).toContain('kernel scale: "x" and "y" share memory');
      else judge(said, "scale", a === x ? undefined : "x");
    }),
    {
      seed: SEED,
      numRuns: 500,
      examples: [
        [1, 2],
        [x, 0],
      ],
    },
  );
  expect(right).toBeGreaterThan(20);
  await gpu.wait();
});
