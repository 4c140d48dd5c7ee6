/**
 * The part of the harness that needs nothing of the library but a GPU that it is given, of whichever checkout: what
 * kind of adapter it is, how many runs make a batch, and when a batch is done.
 */
import type { Gpu } from "../runtime/index.ts";
import type { Machine } from "./handwritten/shader.ts";

/** How the hand-written shaders see this adapter; undefined where it lacks a known subgroup size, which they need. */
export function machineOf(gpu: Gpu): Machine | undefined {
  const { subgroup, pinned } = gpu.target;
  if (subgroup === 0) return undefined;
  const { kind: sort, name, description } = gpu.capabilities;
  const swiftshader = /swiftshader/i.test(`${name} ${description}`);
  return { kind: sort !== "software" ? "gpu" : swiftshader ? "swiftshader" : "lavapipe", subgroup, pinned };
}

/** Runs of a batch. */
export function runsOf(wanted: number): number {
  return Math.min(20_000, Math.max(1, Math.ceil(wanted)));
}

/**
 * Milliseconds between two looks at whether a batch is done: short against a batch, and long against what a look costs.
 */
const STEP_MS = 1;
const idle: Int32Array = new Int32Array(new SharedArrayBuffer(4));

/**
 * Waits for all submitted work with steps of one length. The runtime's own wait rests for most of the time that the
 * last one took, which is kinder to the machine, but carries the noise of one batch into the next.
 */
export async function finished(gpu: Gpu): Promise<void> {
  let done = false;
  const mark = (): void => {
    done = true;
  };
  const turn = (): Promise<void> => new Promise((next) => void setImmediate(next));
  const work = gpu.device.raw.queue.onSubmittedWorkDone();
  work.then(mark, mark);
  if (gpu.device.paced) {
    // Blocked, so that Dawn's event loop does not take the core from the kernels.
    for (await turn(); !done; await turn()) Atomics.wait(idle, 0, 0, STEP_MS);
  }
  await work;
  await gpu.device.drain();
}
