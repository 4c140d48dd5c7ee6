/** What tests of refusals share: kernels, tensors of two devices, and what a call says. */
import { afterAll, beforeAll } from "vitest";
import { block, type i32, type Scalar, type Tensor, type u32 } from "../../dsl/index.ts";
import { type DeviceTensor, type Gpu, type Launch, open, UserError } from "../../runtime/index.ts";
import { adaptersUnderTest } from "../support/gpu.ts";

/** y = by · x. */
export function scale(x: Tensor<"n">, by: Scalar, y: Tensor<"n">): void {
  const i = block("n");
  y.set([i], x.at(i) * by);
}

/** y = a + i · b, in whole numbers. */
export function count(a: Scalar<u32>, b: Scalar<i32>, y: Tensor<"n", i32>, z: Tensor<"n", u32>): void {
  const i = block("n");
  y.set([i], b);
  z.set([i], a);
}

/** Opened for the tests of a file. */
export interface Opened {
  readonly gpu: Gpu;
  readonly other: Gpu;
  readonly k: { readonly scale: Launch<typeof scale>; readonly count: Launch<typeof count> };
  /** Three elements each, of `gpu`: f32 (1, 2, 3), f32, i32 and u32. */
  readonly x: DeviceTensor;
  readonly y: DeviceTensor;
  readonly ints: DeviceTensor;
  readonly words: DeviceTensor;
}

/** The kernels above. */
export function kernelsOf(gpu: Gpu): Promise<Opened["k"]> {
  return gpu.kernels(import.meta, { scale, count });
}

/**
 * Opens two devices of the first adapter before the tests of the calling file, hands them over, and closes them
 * afterwards.
 */
export function beforeTests(take: (opened: Opened) => void): void {
  const [adapter] = adaptersUnderTest();
  const opened: Gpu[] = [];
  beforeAll(async () => {
    const gpu = await open({ adapter });
    opened.push(gpu);
    const other = await open({ adapter });
    opened.push(other);
    const k = await kernelsOf(gpu);
    take({
      gpu,
      other,
      k,
      x: gpu.tensor([3], "f32", { label: "x", data: [1, 2, 3] }),
      y: gpu.tensor([3], "f32", { label: "y" }),
      ints: gpu.tensor([3], "i32", { label: "ints" }),
      words: gpu.tensor([3], "u32", { label: "words" }),
    });
  });
  afterAll(async () => {
    for (const gpu of opened) await gpu.close();
  });
}

/** What a call throws, which must be a `UserError`; "nothing" where it throws nothing. */
export function complaint(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return error.message;
  }
  return "nothing";
}

/** What a promise is rejected with, which must be a `UserError`; "nothing" where it is not. */
export async function refusal(promise: Promise<unknown>): Promise<string> {
  const outcome = await promise.then(
    () => "nothing",
    (error: unknown) => error,
  );
  return complaint(() => {
    if (outcome !== "nothing") throw outcome;
  });
}

/** Calls with any arguments, as untyped callers do. */
export const loosely = (launch: unknown, ...args: readonly unknown[]): string =>
  complaint(() => (launch as (...args: readonly unknown[]) => void)(...args));
