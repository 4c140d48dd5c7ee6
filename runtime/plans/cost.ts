/**
 * What the dispatches of a plan cost, counted from the plan itself: compiler/debug/cost.ts counts a kernel, and the
 * numbers that its loops and branches hang on (how many slots are live, which side a policy takes) are read from the
 * plan's small tensors as they are at this moment.
 */
import { type Work, workOf } from "../../compiler/index.ts";
import type { Device } from "../device/device.ts";
import type { Dispatch } from "../kernels/dispatch.ts";
import { readMany, type TensorValues } from "../memory/read.ts";
import type { DeviceTensor } from "../memory/tensor.ts";
import type { Plan } from "./plan.ts";

/** What one dispatch costs at least. */
export interface DispatchWork {
  /** Name of the kernel. */
  readonly kernel: string;
  /** Elements of each dim. */
  readonly sizes: Readonly<Record<string, number>>;
  /** Bytes that are read at least, each once. */
  readonly read: number;
  /** Bytes that are written at least, each once. */
  readonly written: number;
  /** Operations on f32. */
  readonly operations: number;
}

/** Tensors of at most so many elements are read for the numbers in them. */
const SMALL = 4096;

/**
 * Counts every dispatch of a plan, in order. Reads small tensors, so it waits for submitted work.
 * @param gpu whose device the plan is of
 * @param plan the plan
 */
export async function planWork(gpu: { readonly device: Device }, plan: Plan): Promise<DispatchWork[]> {
  // One look at each, however many dispatches have it; views are tensors of their own.
  const small = [...new Set(plan.dispatches.flatMap((d) => [...d.tensors.values()]).filter((t) => t.length <= SMALL))];
  const read = await readMany(gpu.device, small);
  const values = new Map(small.map((t, i) => [t, read[i] as TensorValues]));
  return plan.dispatches.map((d) => dispatchWork(d, values));
}

function dispatchWork(d: Dispatch, values: ReadonlyMap<DeviceTensor, TensorValues>): DispatchWork {
  const { generated } = d.variant;
  const { uniforms, name } = generated.lanes;
  const { binding } = generated.specialised;
  const numbers = new Map(uniforms.map((u, i) => [u.name, d.uniforms[i]?.value]));
  const { tensors } = d;
  const peek = (param: string, index: readonly number[]): number | undefined => {
    if (numbers.has(param)) return numbers.get(param);
    const t = tensors.get(param);
    if (t === undefined) return undefined;
    let at = 0;
    for (const [i, n] of index.entries()) at = at * (t.shape[i] ?? 1) + n;
    return values.get(t)?.[at];
  };
  const work: Work = workOf(generated, peek);
  const traffic = Object.values(work.tensors);
  const sum = (how: "read" | "written"): number => Math.ceil(traffic.reduce((n, t) => n + t[how], 0));
  return {
    kernel: name,
    sizes: binding.sizes,
    read: sum("read"),
    written: sum("written"),
    operations: work.operations,
  };
}
