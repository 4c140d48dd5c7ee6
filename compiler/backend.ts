/**
 * The back half of the compiler: tile program, sizes and adapter in; WGSL out.
 *
 * Runs when a kernel is bound to real tensors, without TypeScript or the source at hand. The passes are listed here in their order.
 */

import { countUnits } from "./counters.ts";
import { deal } from "./deal.ts";
import { loadsFirst } from "./early.ts";
import { mergeGuards } from "./guards.ts";
import type { TileProgram } from "./ir.ts";
import type { LaneProgram } from "./lane.ts";
import { lowerLanes } from "./lanes.ts";
import { pack } from "./pack.ts";
import { part } from "./part.ts";
import { hoistPartials } from "./partial.ts";
import { type Knobs, type Schedule, schedule, type Target, withPartials, withTwin } from "./schedule.ts";
import { showGenerated } from "./show.ts";
import { type Binding, type Specialised, specialise } from "./specialise.ts";
import { sweep } from "./sweep.ts";
import { tiledSchedule } from "./tiles.ts";
import { verify } from "./verify.ts";
import { verifyLanes } from "./verify-lanes.ts";
import { walkWhole } from "./walk.ts";
import { printWgsl } from "./wgsl.ts";

export interface Generated {
  /** The kernel's text with its sizes, before any choice of the schedule: what work.ts counts. */
  readonly fixed: Specialised;
  readonly specialised: Specialised;
  readonly schedule: Schedule;
  readonly lanes: LaneProgram;
  readonly wgsl: string;
}

/** Generates the shader of one kernel for one binding of its tensors on one adapter. */
export function generate(program: TileProgram, binding: Binding, target: Target, knobs: Knobs = {}): Generated {
  const fixed = specialise(program, binding);
  verify(fixed, "specialise");
  const { source, first } = planned(fixed, target, knobs);
  const spread = (axis: number): boolean => first.axes[axis]?.spread === true;
  const shared = first.dealt === undefined ? undefined : deal(source, first.dealt.axis, spread);
  const plan = shared === undefined ? first : withTwin(first, shared.twin);
  const dealt = verify(shared?.program ?? source, "dealing");
  const { program: hoisted, made } = hoistPartials(dealt, (axis) => plan.axes[axis]?.spread === true);
  verify(hoisted, "partial sums");
  const full = withPartials(plan, made);
  const lowered = lowerLanes(hoisted, full, target);
  const swept = verifyLanes({ ...lowered, body: sweep(lowered.body) }, "sweep");
  const counted =
    target.profile === "software" ? verifyLanes({ ...swept, body: countUnits(swept.body) }, "counters") : swept;
  const merged = target.profile === "software" ? verifyLanes(mergeGuards(counted), "guards") : counted;
  const early = verifyLanes(loadsFirst(merged), "loads first");
  const packed = pack(part(early, binding.packing), binding.packing);
  const lanes = packed === early ? early : verifyLanes(packed, "packing");
  const generated: Generated = { fixed, specialised: hoisted, schedule: full, lanes, wgsl: printWgsl(lanes) };
  showGenerated(generated);
  return generated;
}

/** Tiles of workgroup memory where the adapter wants them and the kernel allows them, else the schedule for all kernels. */
function planned(fixed: Specialised, target: Target, knobs: Knobs): { source: Specialised; first: Schedule } {
  if (target.profile === "gpu") {
    const source = verify(walkWhole(fixed), "walk");
    const first = tiledSchedule(source, target, knobs);
    if (first !== undefined) return { source, first };
  }
  return { source: fixed, first: schedule(fixed, target, knobs) };
}
