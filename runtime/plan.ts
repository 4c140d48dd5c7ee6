/**
 * Plans: a step that is recorded once and replayed for ever.
 *
 * A fixed state makes every step the same work on the same buffers, so pipelines and bind groups are made while recording and a replay creates nothing
 * (facts: 1.4 us a dispatch instead of 40). Several steps go into one submission.
 */
import type { Device } from "./device.ts";
import { UserError } from "./errors.ts";
import { bindGroupOf, compileAll, type Dispatch } from "./kernels.ts";
import { readBack } from "./wait.ts";

interface Step {
  readonly pipeline: GPUComputePipeline;
  readonly group: GPUBindGroup;
  readonly x: number;
  readonly y: number;
}

export class Plan {
  readonly label: string;
  readonly #device: Device;
  readonly #steps: readonly Step[];
  readonly #uniforms: readonly GPUBuffer[];
  /** What is dispatched, in order: the generated kernels and the tensors they work on, for those who measure and count. */
  readonly dispatches: readonly Dispatch[];

  private constructor(
    device: Device,
    label: string,
    dispatches: readonly Dispatch[],
    steps: readonly Step[],
    uniforms: readonly GPUBuffer[],
  ) {
    this.#device = device;
    this.label = label;
    this.dispatches = dispatches;
    this.#steps = steps;
    this.#uniforms = uniforms;
  }

  /** Compiles what the dispatches need, side by side, and makes their bind groups. */
  static async make(device: Device, label: string, dispatches: readonly Dispatch[]): Promise<Plan> {
    await compileAll(
      device,
      dispatches.map((d) => d.variant),
    );
    const uniforms: GPUBuffer[] = [];
    const steps = dispatches.map((d): Step => {
      const bound = bindGroupOf(device, d);
      if (bound.uniforms !== undefined) uniforms.push(bound.uniforms);
      const [x, y] = d.variant.generated.lanes.workgroups;
      return { pipeline: d.variant.pipeline as GPUComputePipeline, group: bound.group, x, y };
    });
    await device.drain();
    return new Plan(device, label, dispatches, steps, uniforms);
  }

  /** Dispatches in one replay. */
  get length(): number {
    return this.#steps.length;
  }

  /** Encodes and submits `times` replays as one submission. */
  run(times = 1): void {
    this.#device.assertOpen();
    const encoder = this.#device.raw.createCommandEncoder({ label: this.label });
    const pass = encoder.beginComputePass({ label: this.label });
    for (let t = 0; t < times; t++) {
      let bound: GPUComputePipeline | undefined;
      for (const s of this.#steps) {
        if (s.pipeline !== bound) pass.setPipeline(s.pipeline);
        bound = s.pipeline;
        pass.setBindGroup(0, s.group);
        pass.dispatchWorkgroups(s.x, s.y);
      }
    }
    pass.end();
    this.#device.raw.queue.submit([encoder.finish()]);
  }

  /** Some of the dispatches as a plan of their own, which needs no `destroy` and lives as long as this one. */
  part(label: string, indices: readonly number[]): Plan {
    const pick = <T>(all: readonly T[]): T[] => indices.flatMap((i) => all.slice(i, i + 1));
    return new Plan(this.#device, label, pick(this.dispatches), pick(this.#steps), []);
  }

  /**
   * Replays the plan once with a pass and two timestamps for each dispatch. Gives when each began and ended, in milliseconds from the first one's begin. The
   * passes keep dispatches from overlapping, so that the whole takes longer than a replay by `run`.
   * @throws UserError when the adapter has no timestamps.
   */
  async profile(): Promise<readonly { readonly begin: number; readonly end: number }[]> {
    this.#device.assertOpen();
    const { raw } = this.#device;
    if (!this.#device.capabilities.timestamps) {
      throw new UserError(
        `${this.#device.capabilities.name} has no timestamp queries, so kernels cannot be timed there`,
      );
    }
    const bytes = MOST_TIMED * 16;
    const times: number[] = [];
    const querySet = raw.createQuerySet({ label: "profile", type: "timestamp", count: MOST_TIMED * 2 });
    const resolved = raw.createBuffer({ label: "profile", size: bytes, usage: QUERY_RESOLVE | COPY_SRC });
    const staging = this.#device.takeStaging(bytes);
    try {
      for (let from = 0; from < this.#steps.length; from += MOST_TIMED) {
        const steps = this.#steps.slice(from, from + MOST_TIMED);
        const encoder = raw.createCommandEncoder({ label: `${this.label}, timed` });
        for (const [i, s] of steps.entries()) {
          const timestampWrites = { querySet, beginningOfPassWriteIndex: 2 * i, endOfPassWriteIndex: 2 * i + 1 };
          const pass = encoder.beginComputePass({ timestampWrites });
          pass.setPipeline(s.pipeline);
          pass.setBindGroup(0, s.group);
          pass.dispatchWorkgroups(s.x, s.y);
          pass.end();
        }
        encoder.resolveQuerySet(querySet, 0, 2 * steps.length, resolved, 0);
        encoder.copyBufferToBuffer(resolved, 0, staging, 0, 16 * steps.length);
        raw.queue.submit([encoder.finish()]);
        const words = new BigUint64Array(await readBack(this.#device, staging, 16 * steps.length, this.label));
        for (const w of words)
          times.push(Number(w - (words[0] ?? 0n)) / 1e6 + (from === 0 ? 0 : (times[2 * from - 1] ?? 0)));
      }
    } finally {
      this.#device.returnStaging(staging);
      querySet.destroy();
      resolved.destroy();
    }
    return this.#steps.map((_, i) => ({ begin: times[2 * i] ?? 0, end: times[2 * i + 1] ?? 0 }));
  }

  /** Frees the uniform buffers of the plan. */
  destroy(): void {
    for (const b of this.#uniforms) b.destroy();
  }
}

/** Dispatches that are timed in one submission: a query set holds at most 4096 timestamps. */
const MOST_TIMED = 2048;
const QUERY_RESOLVE = 0x200;
const COPY_SRC = 0x4;
