/**
 * Plans: a step that is recorded once and replayed for ever.
 *
 * A fixed state makes every step the same work on the same buffers, so pipelines and bind groups are made while recording and a replay creates nothing
 * (facts: 1.4 us a dispatch instead of 40). Several steps go into one submission.
 */
import type { Device } from "./device.ts";
import { bindGroupOf, compileAll, type Dispatch } from "./kernels.ts";

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

  private constructor(device: Device, label: string, steps: readonly Step[], uniforms: readonly GPUBuffer[]) {
    this.#device = device;
    this.label = label;
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
    return new Plan(device, label, steps, uniforms);
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

  /** Frees the uniform buffers of the plan. */
  destroy(): void {
    for (const b of this.#uniforms) b.destroy();
  }
}
