/**
 * What the host pays for a dispatch: a recorded step replayed on Dawn's null backend, which takes commands and computes
 * nothing, so that all CPU time that passes is the host's own. Encoding, submitting and (once a batch) asking whether
 * the work is done are in it; what a driver would add is not.
 */
import { Decoder, type ModelSource } from "../models/index.ts";
import { type Gpu, open, UserError } from "../runtime/index.ts";
import { finished } from "./harness.ts";
import { type Measure, measureOf } from "./stats.ts";
import { threadCpu } from "./surroundings.ts";

export interface HostResult {
  readonly host_us_per_dispatch: number;
  readonly dispatches_per_token: number;
  readonly steps_per_submission: number;
  readonly measures: readonly Measure[];
}

/** Steps in one submission, as in a decoder that has found its pace. */
const STEPS = 32;
/** Submissions of one round. */
const SUBMISSIONS = 20;

/**
 * Measures the step of this model, which is loaded onto the null backend. That one holds 512 MiB, so take a small
 * model: what a dispatch costs does not depend on its size.
 * @throws UserError where a thread's CPU time cannot be read.
 */
export async function measureHost(source: ModelSource, state: string, rounds: number): Promise<HostResult> {
  if (threadCpu() === undefined) throw new UserError("this system does not tell how much CPU time a thread used");
  const gpu: Gpu = await open({ adapter: "null" });
  try {
    const { plan } = await Decoder.load(gpu, source, { state });
    const batch = async (): Promise<number> => {
      const began = threadCpu() ?? Number.NaN;
      for (let i = 0; i < SUBMISSIONS; i++) plan.run(STEPS);
      await finished(gpu);
      return (1000 * ((threadCpu() ?? Number.NaN) - began)) / (SUBMISSIONS * STEPS * plan.length);
    };
    for (let i = 0; i < 3; i++) await batch();
    const values: number[] = [];
    for (let i = 0; i < rounds; i++) values.push(await batch());
    const host = measureOf("host on the null backend", "us/dispatch", "lower", values);
    return {
      host_us_per_dispatch: host.median,
      dispatches_per_token: plan.length,
      steps_per_submission: STEPS,
      measures: [host],
    };
  } finally {
    await gpu.close();
  }
}
