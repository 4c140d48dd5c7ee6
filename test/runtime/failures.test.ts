/**
 * Who hears of a failure: whoever waits for the work that failed, and nobody else; what belongs to nobody goes to
 * everybody.
 */
import { beforeEach, describe, expect, test } from "vitest";
import { program, type Scalar, size, type Tensor } from "../../dsl/index.ts";
import { owned } from "../../runtime/device/scopes.ts";
import { settle } from "../../runtime/device/wait.ts";
import { type DeviceTensor, type Gpu, type Launch, open, UserError } from "../../runtime/index.ts";
import { type Faults, type Faulty, faults, type How } from "../support/faults.ts";
import { adaptersUnderTest } from "../support/gpu.ts";

/** y = factor · x. */
function scaled(x: Tensor<"n">, factor: Scalar, y: Tensor<"n">): void {
  const i = program("n") % size("n");
  y.set([i], x.at(i) * factor);
}

const [adapter] = adaptersUnderTest();

interface Bench {
  readonly gpu: Gpu;
  readonly fault: Faults;
  readonly scale: Launch<typeof scaled>;
  readonly mine: DeviceTensor;
  readonly theirs: DeviceTensor;
  readonly x: DeviceTensor;
}

let bench: Bench;
beforeEach(async () => {
  const gpu = await open({ adapter });
  const fault = faults(gpu.device.raw);
  const { scaled: scale } = await gpu.kernels(import.meta, { scaled });
  const tensor = (label: string, data: number[]): DeviceTensor => gpu.tensor([3], "f32", { label, data });
  const [x, mine, theirs] = [tensor("x", [1, 2, 3]), tensor("mine", [0, 0, 0]), tensor("theirs", [7, 8, 9])];
  scale(x, 1, mine);
  await gpu.wait();
  bench = { gpu, fault, scale, x, mine, theirs };
  return () => gpu.close();
});

const message = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "nothing",
    (error: Error) => error.message,
  );

describe.each<[Faulty, How]>([
  ["submit", "reports"],
  ["submit", "memory"],
  ["popErrorScope", "rejects"],
  ["popErrorScope", "throws"],
])("a kernel call whose %s %s", (method, how) => {
  test("is heard of by every reader of what it writes, once, and by nobody else", async () => {
    const { gpu, fault, scale, x, mine, theirs } = bench;
    fault.arm(method, 1, how);
    scale(x, 2, mine);
    expect(fault.struck || method === "popErrorScope").toBe(true);
    const [a, b, other] = await Promise.all([message(mine.read()), message(mine.read()), message(theirs.read())]);
    expect(a).toMatch(/^kernel scaled \(n=3\): /);
    expect(b).toBe(a);
    expect(other).toBe("nothing");
    expect([...(await theirs.read())]).toEqual([7, 8, 9]);
    // It was said: what comes after is not blamed for it.
    await gpu.wait();
    scale(x, 3, mine);
    expect([...(await mine.read())]).toEqual([3, 6, 9]);
  });

  test("is heard of by the next wait for everything, if by nobody before", async () => {
    const { gpu, fault, scale, x, mine } = bench;
    fault.arm(method, 1, how);
    scale(x, 2, mine);
    expect(await message(gpu.wait())).toMatch(/^kernel scaled \(n=3\): /);
    await gpu.wait();
    expect([...(await mine.read())]).toHaveLength(3);
  });
});

test("memory that ran out is a UserError to whoever uses the tensor, for as long as it does", async () => {
  const { gpu, fault, scale, mine, theirs } = bench;
  fault.arm("createBuffer", 1, "memory");
  const broken = gpu.tensor([3], "f32", { label: "too large" });
  const text = 'tensor "too large" (16 bytes): out of GPU memory (injected: no memory left)';
  const failed = expect(broken.read()).rejects;
  await failed.toThrow(UserError);
  await failed.toThrow(text);
  await expect(broken.read()).rejects.toThrow(text);
  await expect(gpu.record("with it", () => scale(broken, 2, mine))).rejects.toThrow(text);
  expect([...(await theirs.read())]).toEqual([7, 8, 9]);
  await gpu.wait();
});

test("a plan whose run fails is heard of by those who read what it writes", async () => {
  const { gpu, fault, scale, x, mine, theirs } = bench;
  const plan = await gpu.record("twice", () => {
    scale(x, 2, mine);
    scale(x, 4, mine);
  });
  fault.arm("submit", 1, "reports");
  plan.run();
  await expect(mine.read()).rejects.toThrow(/^plan "twice": /);
  expect([...(await theirs.read())]).toEqual([7, 8, 9]);
  expect([...(await x.read())]).toEqual([1, 2, 3]);
  plan.run();
  expect([...(await mine.read())]).toEqual([4, 8, 12]);
  plan.destroy();
});

test("a kernel that did not compile is compiled again by the next call", async () => {
  const { gpu, fault, scale, mine, theirs } = bench;
  const [long, to] = [gpu.tensor([4], "f32", { data: [1, 2, 3, 4] }), gpu.tensor([4])];
  fault.arm("createComputePipeline", 1, "reports");
  scale(long, 2, to);
  await expect(to.read()).rejects.toThrow(/^kernel scaled \(n=4\): /);
  expect([...(await theirs.read())]).toEqual([7, 8, 9]);
  scale(long, 2, to);
  expect([...(await to.read())]).toEqual([2, 4, 6, 8]);
  expect([...(await mine.read())]).toEqual([1, 2, 3]);
});

test.each<[Faulty, How]>([
  ["mapAsync", "rejects"],
  ["mapAsync", "throws"],
  ["submit", "throws"],
  ["submit", "reports"],
  ["createBuffer", "throws"],
  ["createBuffer", "memory"],
  ["popErrorScope", "rejects"],
])("a read whose %s %s fails alone, and the next one reads", async (method, how) => {
  const { gpu, fault, mine, theirs } = bench;
  // Another size than any before, so that its read-back buffer is a new one.
  const long = gpu.tensor([1000], "f32", { label: "long", data: new Float32Array(1000).fill(5) });
  await gpu.wait();
  fault.arm(method, 1, how);
  const read = long.read();
  const other = theirs.read();
  await expect(read).rejects.toThrow(/injected|reading "long"/);
  expect(fault.struck).toBe(true);
  expect([...(await other)]).toEqual([7, 8, 9]);
  expect(new Set(await long.read())).toEqual(new Set([5]));
  expect([...(await mine.read())]).toEqual([1, 2, 3]);
  await gpu.wait();
});

test("work in a region is for its owner: neither reads nor waits of others hear of it", async () => {
  const { gpu, fault, scale, x, mine, theirs } = bench;
  fault.arm("submit", 1, "reports");
  const { verdict } = owned(gpu.device, "my work", () => scale(x, 2, mine));
  await gpu.wait();
  await theirs.read();
  expect((await verdict)?.message).toMatch(/^my work: /);
  fault.arm("submit", 1, "reports");
  const again = owned(gpu.device, "my work", () => scale(x, 2, mine));
  await expect(settle(gpu.device, "mine", again.verdict)).rejects.toThrow(/^my work: /);
  await settle(gpu.device);
});

test("an error that belongs to nobody goes to everybody who waits", async () => {
  const { gpu, mine, theirs } = bench;
  gpu.device.raw.createBuffer({ size: 16, usage: 1 | 2 });
  const all = await Promise.all([message(mine.read()), message(theirs.read()), message(gpu.wait())]);
  for (const one of all) expect(one).toMatch(/^GPU error outside any guard: /);
  expect([...(await mine.read())]).toEqual([1, 2, 3]);
});

test("a loss goes to everybody, and another device of the same adapter works", async () => {
  const { gpu, mine, theirs, scale, x } = bench;
  const reads = [mine.read(), theirs.read(), gpu.wait()];
  gpu.device.raw.destroy();
  const all = await Promise.all(reads.map(message));
  for (const one of all) expect(one === "nothing" || /^the GPU device was lost: it was destroyed/.test(one)).toBe(true);
  await gpu.device.lost;
  expect(await message(mine.read())).toMatch(/^the GPU device was lost: it was destroyed/);
  expect(() => scale(x, 1, mine)).toThrow(/^the GPU device was lost: it was destroyed/);
  const next = await open({ adapter });
  const y = next.tensor([2], "f32", { data: [4, 5] });
  expect([...(await y.read())]).toEqual([4, 5]);
  await next.close();
});
