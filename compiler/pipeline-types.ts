/**
 * What goes through the back half of the compiler, what a pass of it is, and what comes out at its end.
 */

import type { LaneProgram } from "./ir/lane/program.ts";
import type { Specialised } from "./ir/tile/program.ts";
import type { Knobs, Target } from "./schedule/target.ts";
import type { Schedule } from "./schedule/types.ts";

/** A kernel on its way from tile IR to WGSL, as the last pass left it. */
export interface Work {
  readonly target: Target;
  readonly knobs: Knobs;
  /** The kernel's text with its sizes, before any choice of the schedule: what debug/cost.ts counts. */
  readonly fixed: Specialised;
  readonly program: Specialised;
  /** There once it is decided who does what. */
  readonly schedule?: Schedule;
  /** There once the kernel is lowered; passes behind that leave `program` alone. */
  readonly lanes?: LaneProgram;
  readonly wgsl?: string;
}

/** One step of the way. */
export interface Pass {
  /** What it is called in messages, by `--after`, and in TILESTATE_SHOW=passes. */
  readonly name: string;
  /** Left out where it applies to every kernel on every adapter. */
  readonly when?: (work: Work) => boolean;
  /** What it changes. */
  readonly run: (work: Work) => Partial<Work>;
}

/** Two passes of which the first must run before the second, and why. */
export type Order = readonly [before: string, after: string, why: string];

/** What a pass took, in milliseconds: its own work, and the verification behind it. */
export interface PassTime {
  readonly pass: string;
  readonly run: number;
  readonly verify: number;
}

/** The stages of one kernel for one binding on one adapter, from the tile program to its shader. */
export interface Generated {
  /** The kernel's text with its sizes, before any choice of the schedule: what debug/cost.ts counts. */
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
