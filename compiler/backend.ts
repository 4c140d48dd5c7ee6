/**
 * The back half of the compiler: tile program, sizes and adapter in; WGSL out.
 *
 * Runs when a kernel is bound to real tensors, without TypeScript or the source at hand. The passes are listed here in their order.
 */

import type { TileProgram } from "./ir.ts";
import type { LaneProgram } from "./lane.ts";
import { lowerLanes } from "./lanes.ts";
import { hoistPartials } from "./partial.ts";
import { type Knobs, type Schedule, schedule, type Target, withPartials } from "./schedule.ts";
import { showGenerated } from "./show.ts";
import { type Binding, type Specialised, specialise } from "./specialise.ts";
import { sweep } from "./sweep.ts";
import { tiledSchedule } from "./tiles.ts";
import { verify } from "./verify.ts";
import { verifyLanes } from "./verify-lanes.ts";
import { walkWhole } from "./walk.ts";
import { printWgsl } from "./wgsl.ts";

export interface Generated {
  readonly specialised: Specialised;
  readonly schedule: Schedule;
  readonly lanes: LaneProgram;
  readonly wgsl: string;
}

/** Generates the shader of one kernel for one binding of its tensors on one adapter. */
export function generate(program: TileProgram, binding: Binding, target: Target, knobs: Knobs = {}): Generated {
  const fixed = specialise(program, binding);
  verify(fixed, "specialise");
  const { source, plan } = planned(fixed, target, knobs);
  const { program: hoisted, made } = hoistPartials(source, (axis) => plan.axes[axis]?.spread === true);
  verify(hoisted, "partial sums");
  const full = withPartials(plan, made);
  const lowered = lowerLanes(hoisted, full, target);
  const lanes = verifyLanes({ ...lowered, body: sweep(lowered.body) }, "sweep");
  const generated: Generated = { specialised: hoisted, schedule: full, lanes, wgsl: printWgsl(lanes) };
  showGenerated(generated);
  return generated;
}

/** Tiles of workgroup memory where the adapter wants them and the kernel allows them, else the schedule for all kernels. */
function planned(fixed: Specialised, target: Target, knobs: Knobs): { source: Specialised; plan: Schedule } {
  if (target.profile === "gpu") {
    const source = verify(walkWhole(fixed), "walk");
    const plan = tiledSchedule(source, target, knobs);
    if (plan !== undefined) return { source, plan };
  }
  return { source: fixed, plan: schedule(fixed, target, knobs) };
}
