/**
 * Measuring two ways of doing the same work against each other.
 *
 * Both sides are checked against one another first. Then they run in turn, in batches of equal length, first one ahead
 * and then the other, and what counts is the median of the ratios of neighbouring batches: whatever else the machine
 * does meanwhile hits both alike. Beside wall time stands the CPU time of the process, which on software adapters is
 * the work itself and stays put on a busy machine; on GPUs it says nothing and is left out.
 */

import { settle } from "../runtime/device/wait.ts";
import type { DeviceTensor, Gpu, TensorValues } from "../runtime/index.ts";
import { finished, runsOf } from "./finished.ts";
import type { Handwritten } from "./handwritten/shader.ts";
import { median } from "./stats.ts";

export { finished, machineOf } from "./finished.ts";
export { median } from "./stats.ts";

/** Two sides of one comparison, on tensors that are there. */
export interface Duel {
  /** What our kernel is called with, as a recorded call. */
  readonly ours: () => void;
  readonly handwritten: Handwritten;
  /** Tensors and buffers of the hand-written shader, in the order of its bindings. */
  readonly bindings: readonly (DeviceTensor | GPUBuffer)[];
  /** Tensors that both sides write completely. */
  readonly outputs: readonly DeviceTensor[];
  /** The largest difference allowed, in parts of the largest value. */
  readonly tolerance: number;
}

/**
 * Milliseconds of one run, medians over the rounds; ratios are ours over hand-written, medians of the rounds' own
 * ratios.
 */
export interface Times {
  readonly ours_ms: number;
  readonly handwritten_ms: number;
  readonly ratio: number;
  readonly ours_cpu_ms?: number;
  readonly handwritten_cpu_ms?: number;
  readonly cpu_ratio?: number;
}

/** Rounds, and milliseconds that one batch should take. */
export interface Effort {
  readonly rounds: number;
  readonly batch: number;
}

interface Side {
  run(times: number): void;
}

/**
 * Runs both sides, compares what they wrote, and times them; without `effort` it only compares.
 * @throws Error when the outputs differ by more than the tolerance, or an element was not written.
 */
export async function measure(gpu: Gpu, name: string, duel: Duel, effort: Effort): Promise<Times>;
export async function measure(gpu: Gpu, name: string, duel: Duel): Promise<undefined>;
export async function measure(gpu: Gpu, name: string, duel: Duel, effort?: Effort): Promise<Times | undefined> {
  const plan = await gpu.record(name, duel.ours);
  try {
    const ours: Side = { run: (times) => plan.run(times) };
    const theirs = await shaderOf(gpu, `${name}, hand-written`, duel);
    await agree(gpu, name, duel, ours, theirs);
    return effort && (await time(gpu, ours, theirs, effort));
  } finally {
    plan.destroy();
  }
}

/** A pipeline with its bindings, encoded exactly as a plan of one dispatch is. */
async function shaderOf(gpu: Gpu, label: string, { handwritten, bindings }: Duel): Promise<Side> {
  const device = gpu.device.raw;
  device.pushErrorScope("validation");
  const module = device.createShaderModule({ label, code: handwritten.code });
  const pipeline = device.createComputePipeline({ label, layout: "auto", compute: { module, entryPoint: "main" } });
  const entries = bindings.map((b, binding) => ({
    binding,
    resource: resourceOf(b),
  }));
  const group = device.createBindGroup({ label, layout: pipeline.getBindGroupLayout(0), entries });
  const error = await device.popErrorScope();
  if (error !== null) throw new Error(`${label}: ${error.message}`);
  const [x, y] = handwritten.workgroups;
  if (!Number.isInteger(x) || !Number.isInteger(y)) throw new Error(`${label}: [${x}, ${y}] workgroups`);
  return {
    run(times) {
      const encoder = device.createCommandEncoder({ label });
      const pass = encoder.beginComputePass({ label });
      for (let t = 0; t < times; t++) {
        pass.setPipeline(pipeline);
        pass.setBindGroup(0, group);
        pass.dispatchWorkgroups(x, y);
      }
      pass.end();
      device.queue.submit([encoder.finish()]);
    },
  };
}

function resourceOf(b: DeviceTensor | GPUBuffer): GPUBindingResource {
  if (!("dtype" in b)) return { buffer: b };
  return b.texture?.createView() ?? { buffer: b.buffer, offset: b.offset, size: Math.ceil(b.bytes / 16) * 16 };
}

/** Both sides write over NaN, once each, and must then say the same. */
async function agree(gpu: Gpu, name: string, duel: Duel, ours: Side, theirs: Side): Promise<void> {
  const written = async (side: Side, key: string): Promise<TensorValues[]> => {
    for (const o of duel.outputs) o.write(new Float32Array(o.length).fill(Number.NaN));
    side.run(1);
    // Compiling makes the first run the longest; a key of its own keeps that out of the waits that are timed.
    await settle(gpu.device, `first run of ${name}, ${key}`);
    return gpu.read(duel.outputs);
  };
  const got = await written(ours, "ours");
  const expected = await written(theirs, "hand-written");
  for (const [i, tensor] of duel.outputs.entries()) {
    const [a, b] = [got[i] as Float32Array, expected[i] as Float32Array];
    const largest = b.reduce((m, x) => Math.max(m, Math.abs(x)), 0);
    for (let j = 0; j < a.length; j++) {
      const difference = Math.abs((a[j] as number) - (b[j] as number));
      if (difference <= duel.tolerance * largest) continue;
      const where = `${name}: element ${j} of [${tensor.shape.join(", ")}]`;
      throw new Error(`${where} is ${a[j]} by our kernel and ${b[j]} by the hand-written one`);
    }
  }
}

/** A side, how often it runs in a batch, and milliseconds of one run in each round. */
interface Timed {
  readonly side: Side;
  times: number;
  readonly wall: number[];
  readonly cpu: number[];
}

async function time(gpu: Gpu, ours: Side, theirs: Side, effort: Effort): Promise<Times> {
  const software = gpu.capabilities.kind === "software";
  const start = (side: Side): Timed => ({ side, times: 1, wall: [], cpu: [] });
  const sides = [start(ours), start(theirs)] as const;
  const batch = async (s: Timed): Promise<{ wall: number; cpu: number }> => {
    const [cpu, wall] = [process.cpuUsage(), performance.now()];
    s.side.run(s.times);
    await finished(gpu);
    const elapsed = performance.now() - wall;
    const { user, system } = process.cpuUsage(cpu);
    return { wall: elapsed / s.times, cpu: (user + system) / 1000 / s.times };
  };
  // The first guess contains the step of the wait; the second is made on a batch that is long against it.
  for (const s of sides) for (let i = 0; i < 2; i++) s.times = runsOf(effort.batch / (await batch(s)).wall);
  for (let round = 0; round < effort.rounds; round++) {
    for (const s of round % 2 === 0 ? sides : sides.toReversed()) {
      const { wall, cpu } = await batch(s);
      s.wall.push(wall);
      s.cpu.push(cpu);
    }
  }
  const [a, b] = sides;
  const ratio = (x: readonly number[], y: readonly number[]): number => median(x.map((v, i) => v / (y[i] as number)));
  const times = { ours_ms: median(a.wall), handwritten_ms: median(b.wall), ratio: ratio(a.wall, b.wall) };
  if (!software) return times;
  return { ...times, ours_cpu_ms: median(a.cpu), handwritten_cpu_ms: median(b.cpu), cpu_ratio: ratio(a.cpu, b.cpu) };
}

/** Milliseconds that a batch of copies should take. */
const COPY_MS = 30;

/** GB/s of a copy between two buffers, bytes read and written counted: the yardstick of what memory allows. */
export async function copyRate(gpu: Gpu, rounds: number): Promise<number> {
  // Larger than the caches of what it runs on.
  const bytes = (gpu.capabilities.kind === "software" ? 64 : 256) << 20;
  const device = gpu.device.raw;
  const [from, to] = [0x4, 0x8].map((usage) => device.createBuffer({ label: "copy", size: bytes, usage }));
  if (from === undefined || to === undefined) throw new Error("no buffers to copy");
  const copy = async (times: number): Promise<number> => {
    const encoder = device.createCommandEncoder();
    const began = performance.now();
    for (let i = 0; i < times; i++) encoder.copyBufferToBuffer(from, 0, to, 0, bytes);
    device.queue.submit([encoder.finish()]);
    await finished(gpu);
    return (performance.now() - began) / times;
  };
  try {
    await copy(2);
    const times = Math.min(1000, Math.max(2, Math.ceil(COPY_MS / (await copy(4)))));
    const rates: number[] = [];
    for (let round = 0; round < rounds; round++) rates.push((2 * bytes) / (await copy(times)) / 1e6);
    return median(rates);
  } finally {
    from.destroy();
    to.destroy();
  }
}
