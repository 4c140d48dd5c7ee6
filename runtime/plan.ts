/**
 * Plans: a step that is recorded once and replayed for ever.
 *
 * A fixed state makes every step the same work on the same buffers, so pipelines and bind groups are made while recording and a replay creates nothing
 * (facts: 1.4 us a dispatch instead of 40). Several steps go into one submission. A part of a plan may be marked to be repeated, as often as a run says.
 */
import type { Device } from "./device.ts";
import { bindGroupOf, compileAll, type Dispatch } from "./kernels.ts";

interface Step {
  readonly pipeline: GPUComputePipeline;
  readonly group: GPUBindGroup;
  readonly x: number;
  readonly y: number;
}

/** What was recorded: dispatches, and lists of those that a run repeats. */
export type Recorded = Dispatch | readonly Dispatch[];

/** Steps that stand together, done once or as often as a run says. */
interface Section {
  readonly repeats: boolean;
  readonly steps: readonly Step[];
}

export class Plan {
  readonly label: string;
  /** Dispatches in one replay, with repeated parts done once. */
  readonly length: number;
  readonly #device: Device;
  readonly #sections: readonly Section[];
  readonly #uniforms: readonly GPUBuffer[];

  private constructor(device: Device, label: string, sections: readonly Section[], uniforms: readonly GPUBuffer[]) {
    this.#device = device;
    this.label = label;
    this.#sections = sections;
    this.length = sections.reduce((n, { steps }) => n + steps.length, 0);
    this.#uniforms = uniforms;
  }

  /** Compiles what the dispatches need, side by side, and makes their bind groups. */
  static async make(device: Device, label: string, recorded: readonly Recorded[]): Promise<Plan> {
    const parts = recorded.map((r) => (isList(r) ? r : [r]));
    await compileAll(
      device,
      parts.flat().map((d) => d.variant),
    );
    const uniforms: GPUBuffer[] = [];
    const stepOf = (d: Dispatch): Step => {
      const bound = bindGroupOf(device, d);
      if (bound.uniforms !== undefined) uniforms.push(bound.uniforms);
      const [x, y] = d.variant.generated.lanes.workgroups;
      return { pipeline: d.variant.pipeline as GPUComputePipeline, group: bound.group, x, y };
    };
    const sections = parts.map((part, i): Section => ({ repeats: isList(recorded[i]), steps: part.map(stepOf) }));
    await device.drain();
    return new Plan(device, label, sections, uniforms);
  }

  /** Encodes and submits `times` replays as one submission, with the parts that repeat done `turns` times in each. */
  run(times = 1, turns = 1): void {
    this.#device.assertOpen();
    const encoder = this.#device.raw.createCommandEncoder({ label: this.label });
    const pass = encoder.beginComputePass({ label: this.label });
    let bound: GPUComputePipeline | undefined;
    for (let t = 0; t < times; t++) {
      for (const { repeats, steps } of this.#sections) {
        for (let turn = 0; turn < (repeats ? turns : 1); turn++) {
          for (const s of steps) {
            if (s.pipeline !== bound) pass.setPipeline(s.pipeline);
            bound = s.pipeline;
            pass.setBindGroup(0, s.group);
            pass.dispatchWorkgroups(s.x, s.y);
          }
        }
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

function isList(r: Recorded | undefined): r is readonly Dispatch[] {
  return Array.isArray(r);
}
