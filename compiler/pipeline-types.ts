/**
 * What the back half of the compiler makes of a kernel for one binding on one adapter.
 */

import type { LaneProgram } from "./ir/lane/program.ts";
import type { Specialised } from "./ir/tile/program.ts";
import type { Schedule } from "./schedule/types.ts";

/** The stages of one kernel for one binding on one adapter, from the tile program to its shader. */
export interface Generated {
  /** The kernel's text with its sizes, before any choice of the schedule: what work.ts counts. */
  readonly fixed: Specialised;
  /** The program as it was lowered: with the reductions and twins that the schedule asked for. */
  readonly specialised: Specialised;
  /** Which lanes do what. */
  readonly schedule: Schedule;
  /** What one invocation does. */
  readonly lanes: LaneProgram;
  /** Text of the shader. */
  readonly wgsl: string;
}
