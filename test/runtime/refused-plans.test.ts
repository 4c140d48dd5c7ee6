/** What plans, recordings and the loading of kernels refuse, and in which words. */
import { describe, expect, test } from "vitest";
import { describe as inWords } from "../../runtime/common/describe.ts";
import type { DeviceTensor, Gpu, Plan } from "../../runtime/index.ts";
import { beforeTests, complaint, kernelsOf, loosely, type Opened, refusal, scale } from "./refusals.ts";

let gpu: Gpu;
let other: Gpu;
let k: Opened["k"];
let x: DeviceTensor;
let y: DeviceTensor;
beforeTests((opened) => {
  ({ gpu, other, k, x, y } = opened);
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
    const theirs = await kernelsOf(other);
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
