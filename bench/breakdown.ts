/**
 * Where a step's time goes, kernel by kernel.
 *
 * The dispatches of the recorded step are grouped by kernel and shape. Each group is timed in two ways: by timestamps
 * around every dispatch of a replayed step, and alone, its dispatches back to back in one pass as often as a batch
 * takes. The sum of the latter over all groups is what the step would take if nothing came between its kernels; what a
 * token takes beyond that is waiting, submitting and reading back. Bytes and operations are counted from the plan.
 */
import { type DeviceTensor, type DispatchWork, type Gpu, type Plan, planWork } from "../runtime/index.ts";
import type { Ceiling } from "./ceiling.ts";
import { finished } from "./harness.ts";
import { median } from "./stats.ts";
import { processCpu } from "./surroundings.ts";

/** The dispatches of a step that run one kernel at one shape. */
export interface Group {
  readonly kernel: string;
  readonly shape: string;
  readonly dispatches: readonly number[];
  /** In a step. */
  readonly bytes: number;
  readonly operations: number;
}

/** A group with its times in milliseconds a step, and its rates by the time alone. */
export interface KernelLine {
  readonly kernel: string;
  readonly shape: string;
  readonly dispatches: number;
  readonly bytes: number;
  readonly operations: number;
  /** By timestamps; null where the adapter has none. */
  readonly timestamp_ms: number | null;
  readonly alone_ms: number;
  /** Of the sum of all groups alone. */
  readonly share: number;
  readonly gb_s: number;
  readonly gflop_s: number;
  readonly of_copy: number;
  readonly of_arithmetic: number;
}

export async function groupsOf(gpu: Gpu, plan: Plan): Promise<Group[]> {
  return group(await planWork(gpu, plan));
}

/** Groups by kernel and the sizes of its dims, in the order of their first dispatches. */
export function group(work: readonly DispatchWork[]): Group[] {
  const groups = new Map<
    string,
    { kernel: string; shape: string; dispatches: number[]; bytes: number; operations: number }
  >();
  for (const [i, w] of work.entries()) {
    const shape = Object.entries(w.sizes)
      .map(([dim, n]) => `${dim}=${n}`)
      .join(" ");
    const key = `${w.kernel} ${shape}`;
    const g = groups.get(key) ?? { kernel: w.kernel, shape, dispatches: [], bytes: 0, operations: 0 };
    g.dispatches.push(i);
    g.bytes += w.read + w.written;
    g.operations += w.operations;
    groups.set(key, g);
  }
  return [...groups.values()];
}

/** Milliseconds that a batch of one group should take: long against the steps in which its end is looked for. */
const BATCH_MS = 40;
const SMALL = 4096;

/**
 * Times the groups of a plan. What its kernels count and point with (small integer tensors) is put back after each
 * batch; everything else is left as it falls.
 */
export class Breakdown {
  readonly groups: readonly Group[];
  readonly #gpu: Gpu;
  readonly #plan: Plan;
  readonly #parts: readonly Plan[];
  readonly #times: number[];
  readonly #held: readonly DeviceTensor[];
  readonly #alone: number[][] = [];
  readonly #cpu: number[][] = [];
  readonly #stamped: number[][] = [];

  private constructor(gpu: Gpu, plan: Plan, groups: readonly Group[]) {
    this.#gpu = gpu;
    this.#plan = plan;
    this.groups = groups;
    this.#parts = groups.map((g) => plan.part(`${g.kernel}, alone`, g.dispatches));
    this.#times = groups.map(() => 1);
    const tensors = plan.dispatches.flatMap((d) => [...d.tensors.values()]);
    this.#held = [...new Set(tensors)].filter((t) => t.length <= SMALL && (t.dtype === "u32" || t.dtype === "i32"));
  }

  /** Call with the decoder somewhere in a text: the bytes are those of the step that would come next. */
  static async of(gpu: Gpu, plan: Plan): Promise<Breakdown> {
    const b = new Breakdown(gpu, plan, await groupsOf(gpu, plan));
    for (const [i] of b.groups.entries()) {
      for (let guess = 0; guess < 2; guess++) {
        const { wall } = await b.#batch(i);
        b.#times[i] = Math.min(5000, Math.max(1, Math.ceil(BATCH_MS / wall)));
      }
    }
    return b;
  }

  /** One round: every group once. Gives the sums over the groups, in milliseconds a step. */
  async round(): Promise<{ readonly wall: number; readonly cpu: number }> {
    const [wall, cpu]: [number[], number[]] = [[], []];
    for (const [i] of this.groups.entries()) {
      const t = await this.#batch(i);
      wall.push(t.wall);
      cpu.push(t.cpu);
    }
    this.#alone.push(wall);
    this.#cpu.push(cpu);
    if (this.#gpu.capabilities.timestamps) {
      const state = await this.#gpu.read(this.#held);
      const stamps = await this.#plan.profile();
      for (const [i, t] of this.#held.entries()) t.write(state[i] as Uint32Array);
      const length = (d: number): number => (stamps[d]?.end ?? 0) - (stamps[d]?.begin ?? 0);
      this.#stamped.push(this.groups.map((g) => g.dispatches.reduce((sum, d) => sum + length(d), 0)));
    }
    const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
    return { wall: sum(wall), cpu: sum(cpu) };
  }

  /** Wall and CPU milliseconds that some of the groups take in a step, sums of the rounds' medians. */
  sums(which: (g: Group) => boolean): readonly [wall: number, cpu: number] {
    const sum = (rows: readonly number[][]): number =>
      this.groups.reduce((n, g, i) => n + (which(g) ? median(rows.map((r) => r[i] ?? Number.NaN)) : 0), 0);
    return [sum(this.#alone), sum(this.#cpu)];
  }

  /** A line for each group, medians of the rounds. */
  lines(ceiling: Ceiling): KernelLine[] {
    const column = (rows: readonly number[][], i: number): number => median(rows.map((r) => r[i] ?? Number.NaN));
    const alone = this.groups.map((_, i) => column(this.#alone, i));
    const total = alone.reduce((a, b) => a + b, 0);
    return this.groups.map((g, i): KernelLine => {
      const ms = alone[i] ?? Number.NaN;
      const [gb, gflop] = [g.bytes / ms / 1e6, g.operations / ms / 1e6];
      return {
        kernel: g.kernel,
        shape: g.shape,
        dispatches: g.dispatches.length,
        bytes: g.bytes,
        operations: g.operations,
        timestamp_ms: this.#stamped.length === 0 ? null : column(this.#stamped, i),
        alone_ms: ms,
        share: ms / total,
        gb_s: gb,
        gflop_s: gflop,
        of_copy: gb / ceiling.copy_gb_s,
        of_arithmetic: gflop / ceiling.arithmetic_gflop_s,
      };
    });
  }

  /** Milliseconds of one step's worth of a group. */
  async #batch(i: number): Promise<{ wall: number; cpu: number }> {
    const [part, times] = [this.#parts[i] as Plan, this.#times[i] ?? 1];
    const state = await this.#gpu.read(this.#held);
    const [cpu, wall] = [processCpu(), performance.now()];
    part.run(times);
    await finished(this.#gpu);
    const took = { wall: (performance.now() - wall) / times, cpu: (processCpu() - cpu) / times };
    for (const [j, t] of this.#held.entries()) t.write(state[j] as Uint32Array);
    return took;
  }
}
