/**
 * Warming up: everything that a run can need is made and run once, so that nothing is compiled while somebody waits for
 * a token.
 *
 * Making a plan is half of it at most: lavapipe, for one, compiles a kernel when it is first dispatched. So each part
 * also runs, on an empty state that nobody looks at. A part is named, made and run by those who know it; this file
 * counts and times.
 */

import { owned } from "../../runtime/device/scopes.ts";
import { settle } from "../../runtime/device/wait.ts";
import type { Gpu, Plan } from "../../runtime/index.ts";

/** Something that runs need: how it is made, and one run of it that harms nobody. */
export interface WarmPart {
  readonly name: string;
  readonly make: () => Promise<Plan>;
  readonly run: (plan: Plan) => void;
}

/** What warming up one part took. */
export interface Warmed {
  /** As in "prompt: 16 tokens, evicting". */
  readonly name: string;
  /** Dispatches of one run, with repeated parts done once. */
  readonly dispatches: number;
  /** Pipelines that had to be made for it; those of an earlier part are not made again. */
  readonly pipelines: number;
  /** Milliseconds to generate and make those pipelines. */
  readonly making: number;
  /** Milliseconds of the first run, in which some drivers compile. */
  readonly running: number;
}

/**
 * Makes and runs the parts one after the other, and tells of each when it is done. Throws what the GPU has to say about
 * any of them.
 */
export async function warmUp(gpu: Gpu, parts: readonly WarmPart[], tell: (part: Warmed) => void): Promise<Warmed[]> {
  const done: Warmed[] = [];
  for (const { name, make, run } of parts) {
    const [before, began] = [gpu.device.pipelines, performance.now()];
    const plan = await make();
    const [pipelines, made] = [gpu.device.pipelines - before, performance.now()];
    const { verdict } = owned(gpu.device, `warming ${name}`, () => run(plan));
    await settle(gpu.device, `warming ${name}`, verdict);
    const { length: dispatches } = plan;
    const part = { name, dispatches, pipelines, making: made - began, running: performance.now() - made };
    done.push(part);
    tell(part);
  }
  return done;
}
