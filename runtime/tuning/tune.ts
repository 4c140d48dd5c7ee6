/**
 * The autotuner: tries other knobs of the schedule than the compiler's own and keeps those that are faster, for one
 * kernel, one binding and one adapter.
 *
 * It goes through the knobs one after the other and starts again as long as that helps; what generates the same shader
 * is tried once. A configuration counts only if its result is that of the compiler's own choice. Times are medians over
 * rounds in which the candidates take turns, so that a machine that slows down slows all of them, and what a kernel
 * overwrites is put back before each turn. Nothing here runs unless it is asked for; docs/tuning.md.
 */
import type { Knobs, Target, TileProgram } from "../../compiler/index.ts";
import type { Device } from "../device/device.ts";
import { patiently } from "../device/wait.ts";
import type { Dispatch } from "../kernels/dispatch.ts";
import { Kernel } from "../kernels/kernel.ts";
import { compileAll } from "../kernels/variants.ts";
import { createTensor } from "../memory/create.ts";
import { readMany, type TensorValues } from "../memory/read.ts";
import type { DeviceTensor } from "../memory/tensor.ts";
import { Plan } from "../plans/plan.ts";
import { differenceOf } from "./compare.ts";
import { CHOICES } from "./knobs.ts";
import { adapterKey, bindingKey, programHash, type TuningRecord } from "./tuned.ts";

/** Less is noise, and the compiler's own choice needs no record to be kept right. */
const WORTH = 0.97;
/** A candidate this much slower than the best is not timed again. */
const HOPELESS = 1.5;
/** A candidate this much slower in a first short look is not timed at all. */
const NO_MATCH = 4;
/** Shaders beyond this take adapters' compilers too long. */
const LARGEST_SHADER = 200_000;

/** What tuning needs of a GPU. */
export interface Tunable {
  readonly device: Device;
  readonly target: Target;
}

/** What became of one configuration. */
export interface Trial {
  readonly knobs: Knobs;
  /** `same`: the shader of an earlier one; `wrong`: other results; `failed`: does not compile or run. */
  readonly verdict: "timed" | "same" | "wrong" | "failed";
  /** Median microseconds of one dispatch. */
  readonly us?: number;
  readonly why?: string;
}

export interface TuneOptions {
  /** Times that each candidate is timed (default 7). */
  readonly rounds?: number;
  /** Milliseconds that one timing of the untuned kernel takes (default 10). */
  readonly milliseconds?: number;
  readonly signal?: AbortSignal;
}

export interface Tuned {
  /** What to keep. Its knobs are empty when nothing was faster by 3 % or more. */
  readonly record: TuningRecord;
  readonly trials: readonly Trial[];
}

interface Candidate {
  readonly knobs: Knobs;
  readonly wgsl: string;
  readonly plan: Plan;
}

/**
 * Finds the best knobs for a kernel called with these arguments, which are used as they are; what the kernel writes has
 * its old content again at the end. Throws UserError when the arguments do not fit, and what the GPU reports when the
 * kernel fails with the compiler's own knobs.
 */
export async function tune(
  gpu: Tunable,
  program: TileProgram,
  args: readonly unknown[],
  options: TuneOptions = {},
): Promise<Tuned> {
  const tuner = new Tuner(gpu, program, args, options);
  try {
    return await tuner.run();
  } finally {
    tuner.free();
  }
}

class Tuner {
  readonly #target: Target;
  readonly #device: Device;
  readonly #program: TileProgram;
  readonly #hash: string;
  readonly #args: readonly unknown[];
  readonly #rounds: number;
  readonly #milliseconds: number;
  readonly #signal: AbortSignal | undefined;
  readonly #written: readonly DeviceTensor[];
  readonly #saved: readonly DeviceTensor[];
  readonly #plans: Plan[] = [];
  readonly #trials: Trial[] = [];
  /** Shader -> the candidate it belongs to, or undefined where it was discarded. */
  readonly #seen: Map<string, Candidate | undefined> = new Map<string, Candidate | undefined>();
  #reference: readonly TensorValues[] = [];
  #times = 1;
  #ownUs = 0;
  #waits = 0;

  constructor(gpu: Tunable, program: TileProgram, args: readonly unknown[], options: TuneOptions) {
    this.#target = gpu.target;
    this.#device = gpu.device;
    this.#program = program;
    this.#hash = programHash(program);
    this.#args = args;
    this.#rounds = options.rounds ?? 7;
    this.#milliseconds = options.milliseconds ?? 10;
    this.#signal = options.signal;
    this.#written = program.params.flatMap((p, i) =>
      p.kind === "tensor" && p.writes ? [args[i] as DeviceTensor] : [],
    );
    // Checks the arguments before anything is done with them.
    new Kernel(this.#device, program, gpu.target, {}).prepare(args);
    this.#saved = this.#written.map((t) =>
      createTensor(this.#device, t.shape, t.dtype, { label: `saved ${t.label}`, sliced: true }),
    );
    this.#copy(this.#written, this.#saved);
  }

  free(): void {
    if (this.#device.isOpen) this.#copy(this.#saved, this.#written);
    for (const p of this.#plans) p.destroy();
    for (const t of this.#saved) t.destroy();
  }

  async run(): Promise<Tuned> {
    const first = this.#dispatch({});
    const own: Candidate = await this.#candidate({}, first);
    this.#seen.set(own.wgsl, own);
    this.#reference = await this.#result(own);
    await this.#calibrate(own);

    let best = own;
    for (let pass = 0, changed = true; changed && pass < 2; pass++) {
      changed = false;
      for (const knob of Object.keys(CHOICES) as (keyof Knobs)[]) {
        const candidates: Candidate[] = [];
        for (const value of this.#choices(knob)) {
          const found = await this.#try({ ...best.knobs, [knob]: value });
          if (found !== undefined) candidates.push(found);
        }
        const [faster] = await this.#race([best, ...candidates]);
        if (faster === undefined || faster.candidate === best) continue;
        best = faster.candidate;
        changed = true;
      }
    }
    const [final, ...others] = await this.#race([own, best], this.#rounds + 4);
    if (final === undefined) throw new Error("a race without candidates");
    const untuned = [final, ...others].find((t) => t.candidate === own) ?? final;
    return {
      record: {
        adapter: adapterKey(this.#device.capabilities),
        kernel: this.#program.name,
        hash: this.#hash,
        binding: bindingKey(first.variant.generated.specialised.binding),
        knobs: this.#shortest(final.candidate),
        us: final.us,
        untunedUs: untuned.us,
      },
      trials: this.#trials,
    };
  }

  #choices(knob: keyof Knobs): number[] {
    const { subgroup, maxInvocations } = this.#target;
    const values = CHOICES[knob].map((n) => (n === 0 ? subgroup : n));
    return [...new Set(values)].filter((n) => n > 0 && (knob !== "lanes" || n <= maxInvocations));
  }

  #dispatch(knobs: Knobs): Dispatch {
    return new Kernel(this.#device, this.#program, this.#target, knobs).prepare(this.#args);
  }

  async #candidate(knobs: Knobs, dispatch: Dispatch): Promise<Candidate> {
    await compileAll(this.#device, [dispatch.variant]);
    const plan = await Plan.make(this.#device, dispatch.variant.label, [dispatch]);
    this.#plans.push(plan);
    return { knobs, wgsl: shaderOf(dispatch), plan };
  }

  /** A candidate whose results are right and that was not tried before. */
  async #try(knobs: Knobs): Promise<Candidate | undefined> {
    this.#signal?.throwIfAborted();
    let wgsl: string | undefined;
    try {
      const dispatch = this.#dispatch(knobs);
      wgsl = shaderOf(dispatch);
      if (this.#seen.has(wgsl)) {
        this.#trials.push({ knobs, verdict: "same" });
        return undefined;
      }
      if (wgsl.length > LARGEST_SHADER) throw new Error(`a shader of ${wgsl.length} characters`);
      const made = await this.#candidate(knobs, dispatch);
      const difference = differenceOf(this.#reference, await this.#result(made), this.#written);
      this.#seen.set(wgsl, difference === undefined ? made : undefined);
      if (difference !== undefined) {
        this.#trials.push({ knobs, verdict: "wrong", why: difference });
        return undefined;
      }
      const times = Math.ceil(this.#times / 8);
      const us = (1000 * (await this.#elapsed(made, times))) / times;
      if (us < NO_MATCH * this.#ownUs) return made;
      this.#trials.push({ knobs, verdict: "timed", us });
    } catch (error) {
      // Only configurations may fail; a device that is gone takes everything with it.
      if (!this.#device.isOpen) throw error;
      if (wgsl !== undefined) this.#seen.set(wgsl, undefined);
      this.#trials.push({ knobs, verdict: "failed", why: (error as Error).message.split("\n", 1)[0] ?? "" });
    }
    return undefined;
  }

  /** What the kernel writes, from the saved state. */
  async #result(c: Candidate): Promise<readonly TensorValues[]> {
    this.#copy(this.#saved, this.#written);
    c.plan.run();
    return readMany(this.#device, this.#written);
  }

  /** How many dispatches make up one timing. */
  async #calibrate(own: Candidate): Promise<void> {
    for (;;) {
      const ms = await this.#elapsed(own);
      this.#ownUs = (1000 * ms) / this.#times;
      if (ms >= this.#milliseconds * 0.7 || this.#times >= 4096) return;
      this.#times = Math.min(
        4096,
        Math.ceil(this.#times * Math.min(10, (1.1 * this.#milliseconds) / Math.max(ms, 0.01))),
      );
    }
  }

  /**
   * Medians of the candidates, taking turns, the fastest first. The one to beat comes first in the list and stays first
   * unless it is beaten clearly.
   */
  async #race(
    candidates: readonly Candidate[],
    rounds = this.#rounds,
  ): Promise<{ candidate: Candidate; us: number }[]> {
    const [defender] = candidates;
    const taken = new Map(candidates.map((c) => [c, [] as number[]]));
    let running = [...taken.keys()];
    if (running.length < 2 && rounds === this.#rounds) return [];
    for (let round = 0; round < rounds; round++) {
      for (const c of running) {
        this.#signal?.throwIfAborted();
        taken.get(c)?.push((await this.#elapsed(c)) * (1000 / this.#times));
      }
      // By the best time of each so far: one bad moment is no reason to give up on a candidate.
      const least = (c: Candidate): number => Math.min(...(taken.get(c) ?? []));
      const bar = HOPELESS * Math.min(...running.map(least));
      running = running.filter((c) => c === defender || least(c) < bar);
    }
    const results = [...taken].map(([candidate, us]) => ({ candidate, us: median(us) }));
    for (const { candidate, us } of results)
      if (candidate !== defender) this.#trials.push({ knobs: candidate.knobs, verdict: "timed", us });
    const bar = WORTH * (results.find((r) => r.candidate === defender)?.us ?? 0);
    return results.sort((a, b) => rank(a) - rank(b));

    function rank(r: { candidate: Candidate; us: number }): number {
      if (r.candidate === defender) return bar;
      return r.us < bar ? r.us : Math.max(r.us, bar) + 1e-9;
    }
  }

  /** Milliseconds that so many dispatches take. */
  async #elapsed(c: Candidate, times: number = this.#times): Promise<number> {
    this.#copy(this.#saved, this.#written);
    await this.#done();
    const began = performance.now();
    c.plan.run(times);
    await this.#done();
    return performance.now() - began;
  }

  /** Under a new key each time: a wait that remembers how long the last one took would see that again. */
  async #done(): Promise<void> {
    await patiently(this.#device, `tune ${this.#waits++}`, () => this.#device.raw.queue.onSubmittedWorkDone());
    await this.#device.drain();
  }

  #copy(from: readonly DeviceTensor[], to: readonly DeviceTensor[]): void {
    const encoder = this.#device.raw.createCommandEncoder({ label: "tune" });
    for (const [i, source] of from.entries()) {
      const target = to[i];
      if (target === undefined) continue;
      encoder.copyBufferToBuffer(
        source.buffer,
        source.offset,
        target.buffer,
        target.offset,
        Math.ceil(source.bytes / 4) * 4,
      );
    }
    this.#device.raw.queue.submit([encoder.finish()]);
  }

  /** The knobs without those that make no difference. */
  #shortest({ knobs, wgsl }: Candidate): Knobs {
    let left: Knobs = knobs;
    for (const knob of Object.keys(knobs) as (keyof Knobs)[]) {
      const { [knob]: _, ...rest } = left;
      try {
        if (shaderOf(this.#dispatch(rest)) === wgsl) left = rest;
      } catch {
        // It is needed.
      }
    }
    return left;
  }
}

function shaderOf(d: Dispatch): string {
  const { wgsl, lanes } = d.variant.generated;
  return `${lanes.workgroups.join(" x ")}\n${wgsl}`;
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? (sorted[middle] ?? 0) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
}
