/**
 * Plans: a step that is recorded once and replayed for ever.
 *
 * A fixed state makes every step the same work on the same buffers, so pipelines and bind groups are made while
 * recording and a replay creates nothing (facts: 1.4 us a dispatch instead of 40). Several steps go into one
 * submission. A part of a plan may be marked to be repeated, as often as a run says.
 */

import { describe } from "../common/describe.ts";
import { UserError } from "../common/errors.ts";
import type { Device } from "../device/device.ts";
import type { Memory } from "../device/failures.ts";
import { readBack } from "../device/read-back.ts";
import { guarded, owned, submitted, watched } from "../device/scopes.ts";
import { bindGroupOf, writtenBy } from "../kernels/bind-groups.ts";
import type { Dispatch } from "../kernels/dispatch.ts";
import { uniformsOf } from "../kernels/uniforms.ts";
import { compileAll } from "../kernels/variants.ts";
import type { DeviceTensor } from "../memory/tensor.ts";
import { type Recorded, recording } from "./recording.ts";

interface Step {
  readonly pipeline: GPUComputePipeline;
  readonly group: GPUBindGroup;
  readonly x: number;
  readonly y: number;
}

/** Steps that stand together, done once or as often as a run says. */
interface Section {
  readonly repeats: boolean;
  readonly steps: readonly Step[];
}

/** What a plan and its parts have in common. */
interface Life {
  destroyed: boolean;
  readonly free: () => void;
}

/** A step that is recorded once and replayed for ever. Made by `Gpu.record`. */
export class Plan {
  /** Name in messages. */
  readonly label: string;
  /** Dispatches in one replay, with repeated parts done once. */
  readonly length: number;
  /**
   * What is dispatched, in order, repeated parts once: the generated kernels and the tensors they work on, for those
   * who measure and count.
   */
  readonly dispatches: readonly Dispatch[];
  readonly #device: Device;
  readonly #sections: readonly Section[];
  /** Each tensor of the dispatches once. */
  readonly #tensors: readonly DeviceTensor[];
  /** What a run writes: reads of it hear of a run that failed. */
  readonly #written: ReadonlySet<Memory>;
  readonly #life: Life;

  private constructor(
    device: Device,
    label: string,
    dispatches: readonly Dispatch[],
    sections: readonly Section[],
    life: Life,
  ) {
    this.#device = device;
    this.label = label;
    this.dispatches = dispatches;
    this.#sections = sections;
    this.length = sections.reduce((n, { steps }) => n + steps.length, 0);
    this.#tensors = [...new Set(dispatches.flatMap((d) => [...d.tensors.values()]))];
    this.#written = new Set(dispatches.flatMap(writtenBy));
    this.#life = life;
  }

  /**
   * Compiles what the dispatches need, side by side, and makes their bind groups. What was made is freed again when
   * any of it fails.
   * @throws what went wrong with that, or before with the tensors of the dispatches.
   * @param device where it runs
   * @param label name in messages
   * @param recorded dispatches, and lists of those that repeat together
   * @internal
   */
  static async make(device: Device, label: string, recorded: readonly Recorded[]): Promise<Plan> {
    const parts = recorded.map((r) => (isList(r) ? r : [r]));
    const dispatches = parts.flat();
    const held = dispatches.map((d) => d.variant);
    let buffer: GPUBuffer | undefined;
    const free = (): void => {
      buffer?.destroy();
      for (const variant of held) variant.home.release(variant);
    };
    for (const variant of held) variant.home.hold(variant);
    try {
      await compileAll(device, held);
      const mark = device.failures.mark();
      const bind = (): Step[] => {
        const uniforms = uniformsOf(device, label, dispatches);
        buffer = uniforms?.buffer;
        return dispatches.map((d, i): Step => {
          const { group } = watched(device, d.variant.label, () => bindGroupOf(device, d, uniforms?.places[i]));
          const [x, y] = d.variant.generated.lanes.workgroups;
          return { pipeline: d.variant.pipeline as GPUComputePipeline, group, x, y };
        });
      };
      const steps = await guarded(device, `plan "${label}"`, bind).catch(async (error) => {
        // A tensor that could not be made explains what could not be done with it.
        await device.failures.settled();
        const memories = dispatches.flatMap((d) => [...d.tensors.values()].map((t) => t.memory));
        throw device.failures.of(memories, mark) ?? error;
      });
      let at = 0;
      const sections = parts.map((part, i): Section => {
        at += part.length;
        return { repeats: isList(recorded[i]), steps: steps.slice(at - part.length, at) };
      });
      return new Plan(device, label, dispatches, sections, { destroyed: false, free });
    } catch (error) {
      free();
      throw error;
    }
  }

  /**
   * Encodes and submits `times` replays as one submission, with the parts that repeat done `turns` times in each. A
   * failure goes to whoever reads what the plan writes, or waits for everything.
   * @throws UserError when the plan or one of its tensors was destroyed, inside of a recording, and for numbers that
   * are no counts.
   * @param times replays
   * @param turns how often the parts that repeat are done in each
   */
  run(times = 1, turns = 1): void {
    this.#assertUsable();
    if (!(isCount(times) && isCount(turns))) throw this.#wrongCounts(times, turns);
    submitted(this.#device, `plan "${this.label}"`, this.#written, () => this.#submit(times, turns));
  }

  #submit(times: number, turns: number): void {
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

  /**
   * Some of the dispatches as a plan of their own, which needs no `destroy` and lives as long as this one.
   * @throws UserError for a number that is no dispatch of this plan.
   * @param label name of the part in messages
   * @param indices numbers of the dispatches, from 0
   */
  part(label: string, indices: readonly number[]): Plan {
    const bad = indices.find((i) => !isCount(i) || i >= this.length);
    if (bad !== undefined)
      throw new UserError(`plan "${this.label}" has dispatches 0 to ${this.length - 1}, got ${describe(bad)}`);
    const pick = <T>(all: readonly T[]): T[] => indices.map((i) => all[i] as T);
    const steps = pick(this.#sections.flatMap((section) => section.steps));
    return new Plan(this.#device, label, pick(this.dispatches), [{ repeats: false, steps }], this.#life);
  }

  /**
   * Replays the plan once with a pass and two timestamps for each dispatch. Gives when each began and ended, in
   * milliseconds from the first one's begin. The passes keep dispatches from overlapping, so that the whole takes
   * longer than a replay by `run`.
   * @throws UserError when the adapter has no timestamps, and as `run` does.
   */
  async profile(): Promise<readonly { readonly begin: number; readonly end: number }[]> {
    this.#assertUsable();
    const { raw } = this.#device;
    if (!this.#device.capabilities.timestamps) {
      throw new UserError(
        `${this.#device.capabilities.name} has no timestamp queries, so kernels cannot be timed there`,
      );
    }
    const all = this.#sections.flatMap((section) => section.steps);
    const bytes = MOST_TIMED * 16;
    const times: number[] = [];
    const querySet = raw.createQuerySet({ label: "profile", type: "timestamp", count: MOST_TIMED * 2 });
    const resolved = raw.createBuffer({ label: "profile", size: bytes, usage: QUERY_RESOLVE | COPY_SRC | COPY_DST });
    const staging = this.#device.takeStaging(bytes);
    try {
      for (let from = 0; from < all.length; from += MOST_TIMED) {
        const steps = all.slice(from, from + MOST_TIMED);
        const { verdict } = owned(this.#device, `plan "${this.label}", timed`, () => {
          const encoder = raw.createCommandEncoder({ label: `${this.label}, timed` });
          // What starting a submission takes is not the first kernel's time, so something else goes before it.
          encoder.clearBuffer(resolved);
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
        });
        const timed = await readBack(this.#device, staging, 16 * steps.length, this.label, () => verdict);
        const words = new BigUint64Array(timed);
        for (const w of words)
          times.push(Number(w - (words[0] ?? 0n)) / 1e6 + (from === 0 ? 0 : (times[2 * from - 1] ?? 0)));
      }
    } finally {
      this.#device.returnStaging(staging);
      querySet.destroy();
      resolved.destroy();
    }
    return all.map((_, i) => ({ begin: times[2 * i] ?? 0, end: times[2 * i + 1] ?? 0 }));
  }

  /** Frees what the plan has of its own: its numbers, and its hold on compiled kernels. Its parts end with it. */
  destroy(): void {
    if (this.#life.destroyed) return;
    this.#life.destroyed = true;
    this.#life.free();
  }

  #assertUsable(): void {
    this.#device.assertOpen();
    if (this.#life.destroyed) throw new UserError(`plan "${this.label}" was destroyed`);
    for (const t of this.#tensors) if (!t.live) throw this.#lacks(t);
    const recorder = recording();
    if (recorder !== undefined)
      throw recorder.refused(`plan "${this.label}" cannot run inside of the recording "${recorder.label}"`);
  }

  #lacks(gone: DeviceTensor): UserError {
    const what = `tensor "${gone.label}" [${gone.shape.join(", ")}] ${gone.dtype}`;
    for (const { variant, tensors } of this.dispatches) {
      const param = [...tensors].find(([, t]) => t === gone)?.[0];
      if (param === undefined) continue;
      const { name } = variant.generated.lanes;
      return new UserError(`plan "${this.label}": ${what}, parameter "${param}" of kernel ${name}, was destroyed`, {
        hint: "destroy a plan before its tensors, and record anew with others",
      });
    }
    return new UserError(`plan "${this.label}": ${what} was destroyed`);
  }

  #wrongCounts(times: unknown, turns: unknown): UserError {
    return new UserError(
      `plan "${this.label}": expected how often to run as whole numbers of at least 0, got ${describe(times)} times and ${describe(turns)} turns`,
    );
  }
}

/** Is this a number of times? */
function isCount(n: number): boolean {
  return Number.isSafeInteger(n) && n >= 0;
}

function isList(r: Recorded | undefined): r is readonly Dispatch[] {
  return Array.isArray(r);
}

/** Dispatches that are timed in one submission: a query set holds at most 4096 timestamps. */
const MOST_TIMED = 2048;
const QUERY_RESOLVE = 0x200;
const COPY_SRC = 0x4;
const COPY_DST = 0x8;
