/** What a kernel call, a plan and a recording refuse, and in which words. */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { block, type i32, type Scalar, type Tensor, type u32 } from "../../dsl/index.ts";
import { describe as inWords } from "../../runtime/common/describe.ts";
import { type DeviceTensor, type Gpu, type Launch, open, type Plan, UserError } from "../../runtime/index.ts";
import { adaptersUnderTest } from "../support/gpu.ts";

function scale(x: Tensor<"n">, by: Scalar, y: Tensor<"n">): void {
  const i = block("n");
  y.set([i], x.at(i) * by);
}

/** y = a + i · b, in whole numbers. */
function count(a: Scalar<u32>, b: Scalar<i32>, y: Tensor<"n", i32>, z: Tensor<"n", u32>): void {
  const i = block("n");
  y.set([i], b);
  z.set([i], a);
}

const [adapter] = adaptersUnderTest();
const SEED = 13;

let gpu: Gpu;
let other: Gpu;
let k: { readonly scale: Launch<typeof scale>; readonly count: Launch<typeof count> };
let x: DeviceTensor;
let y: DeviceTensor;
let ints: DeviceTensor;
let words: DeviceTensor;

beforeAll(async () => {
  gpu = await open({ adapter });
  other = await open({ adapter });
  k = await gpu.kernels(import.meta, { scale, count });
  x = gpu.tensor([3], "f32", { label: "x", data: [1, 2, 3] });
  y = gpu.tensor([3], "f32", { label: "y" });
  ints = gpu.tensor([3], "i32", { label: "ints" });
  words = gpu.tensor([3], "u32", { label: "words" });
});

afterAll(async () => {
  await gpu.close();
  await other.close();
});

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

async function refusal(promise: Promise<unknown>): Promise<string> {
  const outcome = await promise.then(
    () => "nothing",
    (error: unknown) => error,
  );
  return complaint(() => {
    if (outcome !== "nothing") throw outcome;
  });
}

/** Calls with any arguments, as untyped callers do. */
const loosely = (launch: unknown, ...args: readonly unknown[]): string =>
  complaint(() => (launch as (...args: readonly unknown[]) => void)(...args));

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

describe("plans", () => {
  test("that were destroyed, and their parts", async () => {
    const plan = await gpu.record("step", () => k.scale(x, 2, y));
    const part = plan.part("half a step", [0]);
    plan.run();
    part.run();
    plan.destroy();
    plan.destroy();
    expect(complaint(() => plan.run())).toBe('plan "step" was destroyed');
    expect(complaint(() => part.run())).toBe('plan "half a step" was destroyed');
    expect(await refusal(plan.profile())).toBe('plan "step" was destroyed');
    await gpu.wait();
  });

  test("whose tensors were destroyed", async () => {
    const [from, to] = [gpu.tensor([3], "f32", { label: "from" }), gpu.tensor([3], "f32", { label: "to" })];
    const plan = await gpu.record("step", () => {
      k.scale(x, 2, y);
      k.scale(from.view([3]), 2, to);
    });
    const part = plan.part("the rest", [0]);
    plan.run();
    from.destroy();
    const lost = 'plan "step": tensor "from" [3] f32, parameter "x" of kernel scale, was destroyed';
    expect(complaint(() => plan.run())).toBe(lost);
    expect(await refusal(plan.profile())).toBe(lost);
    // What does not use it still runs.
    part.run();
    await gpu.wait();
    for (const one of [plan, to]) one.destroy();
  });

  test("that are run no number of times, or in parts that they do not have", async () => {
    const plan = await gpu.record("step", () => k.scale(x, 2, y));
    for (const times of [-1, 1.5, Number.NaN, "2", Number.POSITIVE_INFINITY])
      expect(complaint(() => plan.run(times as number))).toContain(
        `plan "step": expected how often to run as whole numbers of at least 0, got ${inWords(times)} times and 1 turns`,
      );
    expect(complaint(() => plan.run(1, -1))).toContain("got 1 times and -1 turns");
    for (const index of [1, -1, 0.5])
      expect(complaint(() => plan.part("p", [index]))).toBe(`plan "step" has dispatches 0 to 0, got ${index}`);
    plan.destroy();
  });

  test("made of tensors that are destroyed while kernels are compiled: the run is refused", async () => {
    const from = gpu.tensor([7], "f32", { label: "from" });
    const to = gpu.tensor([7], "f32");
    const making = gpu.record("step", () => k.scale(from, 2, to));
    from.destroy();
    const plan = await making;
    expect(complaint(() => plan.run())).toContain(
      'tensor "from" [7] f32, parameter "x" of kernel scale, was destroyed',
    );
    await gpu.wait();
    for (const one of [plan, to]) one.destroy();
  });
});

describe("recordings", () => {
  const zeros = async (): Promise<void> => {
    y.write([0, 0, 0]);
    await gpu.wait();
  };
  /** The next recording has what it calls and nothing else, and calls run as ever. */
  const unharmed = async (): Promise<void> => {
    expect([...(await y.read())]).toEqual([0, 0, 0]);
    const plan = await gpu.record("next", () => k.scale(x, 3, y));
    expect(plan.length).toBe(1);
    expect([...(await y.read())]).toEqual([0, 0, 0]);
    plan.run();
    expect([...(await y.read())]).toEqual([3, 6, 9]);
    plan.destroy();
    k.scale(x, 1, y);
    expect([...(await y.read())]).toEqual([1, 2, 3]);
  };

  test("of async functions: nothing of them is run or recorded", async () => {
    await zeros();
    let called = false;
    const record = gpu.record("p", async () => {
      called = true;
      await null;
      k.scale(x, 2, y);
    });
    expect(await refusal(record)).toBe(
      'record("p"): expected a function that calls kernels and returns, got an async function',
    );
    expect(called).toBe(false);
    await unharmed();
  });

  test.each([
    ["no step", async () => {}],
    ["a microtask", async () => null],
    ["a timer", () => new Promise((next) => setTimeout(next, 5))],
  ])("of functions that return a promise, and go on after %s", async (_, step) => {
    await zeros();
    const told: string[] = [];
    const after = async (): Promise<void> => {
      k.scale(x, 2, y);
      await step();
      told.push(loosely(k.scale, x, 2, y));
      told.push(complaint(() => gpu.repeat(() => {})));
    };
    let running: Promise<void> | undefined;
    const record = gpu.record("p", () => {
      running = after();
      return running as unknown as undefined;
    });
    expect(await refusal(record)).toBe(
      'record("p"): expected a function that calls kernels and returns, got one that returns a promise',
    );
    await running;
    expect(told).toEqual([
      'kernel scale: called while the function that was given to record("p") still runs; its calls after an await are not recorded',
      "a part to repeat outside of a recording",
    ]);
    await unharmed();
  });

  test("with a part that is async, or a generator", async () => {
    await zeros();
    const part = (fn: () => unknown): Promise<Plan> =>
      gpu.record("p", () => {
        k.scale(x, 2, y);
        gpu.repeat(fn as () => void);
      });
    const expected = 'repeat in the recording "p": expected a function that calls kernels and returns, got';
    expect(await refusal(part(async () => k.scale(x, 2, y)))).toBe(`${expected} an async function`);
    expect(await refusal(part(() => Promise.resolve()))).toBe(`${expected} one that returns a promise`);
    const generator = function* (): Generator<undefined> {
      k.scale(x, 2, y);
      yield;
    };
    expect(await refusal(part(generator))).toBe(`${expected} a generator`);
    expect(await refusal(part(3 as unknown as () => unknown))).toBe(
      'repeat in the recording "p": expected a function that calls kernels, got 3',
    );
    await unharmed();
  });

  test("inside of recordings, and parts inside of parts", async () => {
    await zeros();
    const inner: Promise<string>[] = [];
    const outer = gpu.record("outer", () => {
      k.scale(x, 2, y);
      inner.push(refusal(gpu.record("inner", () => k.scale(x, 2, y))));
    });
    const nested = 'record("inner"): a recording inside a recording ("outer")';
    expect(await refusal(outer)).toBe(nested);
    expect(await inner[0]).toBe(nested);
    const parts = gpu.record("outer", () => gpu.repeat(() => gpu.repeat(() => k.scale(x, 2, y))));
    expect(await refusal(parts)).toBe('repeat: a part to repeat inside of another, in the recording "outer"');
    // Also where somebody swallows it.
    const swallowed = gpu.record("outer", () => {
      k.scale(x, 2, y);
      gpu.repeat(() => complaint(() => gpu.repeat(() => {})));
    });
    expect(await refusal(swallowed)).toBe('repeat: a part to repeat inside of another, in the recording "outer"');
    await unharmed();
  });

  test("of what is run at once: plans, and kernels of another Gpu", async () => {
    await zeros();
    const plan = await gpu.record("step", () => k.scale(x, 2, y));
    expect(await refusal(gpu.record("outer", () => plan.run()))).toBe(
      'plan "step" cannot run inside of the recording "outer"',
    );
    const theirs = await other.kernels(import.meta, { scale });
    const [a, b] = [other.tensor([3]), other.tensor([3])];
    expect(await refusal(gpu.record("outer", () => theirs.scale(a, 2, b)))).toBe(
      'kernel scale was loaded by another Gpu than the one that records "outer"',
    );
    for (const one of [plan, a, b]) one.destroy();
    await unharmed();
  });

  test("that throw end, and without a label or a function there are none", async () => {
    await zeros();
    const failing = gpu.record("p", () => {
      k.scale(x, 2, y);
      throw new RangeError("of the caller");
    });
    await expect(failing).rejects.toThrow(RangeError);
    expect(await refusal(gpu.record("p", () => k.scale(x, "2" as never, y)))).toContain('kernel scale: parameter "by"');
    const loose = gpu.record.bind(gpu) as (...args: unknown[]) => Promise<Plan>;
    expect(await refusal(loose(() => k.scale(x, 2, y)))).toBe("record: expected a label for the plan, got a function");
    expect(await refusal(loose("p"))).toBe('record("p"): expected a function that calls kernels, got nothing');
    await unharmed();
  });
});

test("loading kernels from nothing, or what are none", async () => {
  const load = gpu.kernels.bind(gpu) as (...args: unknown[]) => Promise<unknown>;
  expect(await refusal(load({ scale }))).toBe("kernels: expected import.meta or a bundle, got an object");
  expect(await refusal(load(undefined, { scale }))).toBe("kernels: expected import.meta or a bundle, got nothing");
  expect(await refusal(load(import.meta))).toBe("kernels: expected { name: kernel }, got nothing");
  expect(await refusal(load(import.meta, { scale: "scale" }))).toBe(
    'kernels: "scale" expected a kernel function, got "scale" (a string)',
  );
  expect(await refusal(gpu.read(x as never))).toBe("read: expected a list of tensors, got a DeviceTensor");
  expect(await refusal(gpu.read([x, 3 as never]))).toBe("read: expected tensors, got 3 (number 2)");
});
