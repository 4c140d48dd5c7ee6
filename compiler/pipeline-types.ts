/**
 * What the back half of the compiler makes of a kernel for one binding on one adapter.
 */

import type { LaneProgram } from "./ir/lane/program.ts";
import type { Specialised } from "./ir/tile/program.ts";
import type { Schedule } from "./schedule/types.ts";

export interface Generated {
  /** The kernel's text with its sizes, before any choice of the schedule: what work.ts counts. */
  readonly fixed: Specialised;
  readonly specialised: Specialised;
  readonly schedule: Schedule;
  readonly lanes: LaneProgram;
  readonly wgsl: string;
}
