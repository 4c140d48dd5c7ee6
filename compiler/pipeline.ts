/**
 * The back half of the compiler: tile program, sizes and adapter in; WGSL out.
 *
 * Runs when a kernel is bound to real tensors, without TypeScript or the source at hand. The passes are listed here in their order.
 */

import { pack } from "./bindings/merge.ts";
import { part } from "./bindings/split.ts";
import { showGenerated } from "./debug/dump.ts";
import type { Binding } from "./ir/binding.ts";
import { verifyLanes } from "./ir/lane/verify.ts";
import type { Specialised, TileProgram } from "./ir/tile/program.ts";
import { verify } from "./ir/tile/verify.ts";
import { sweep } from "./lane-passes/dead-code.ts";
import { loadsFirst } from "./lane-passes/hoist-loads.ts";
import { mergeGuards } from "./lane-passes/merge-branches.ts";
import { countUnits } from "./lane-passes/strength-reduction.ts";
import { lowerLanes } from "./lower/index.ts";
import { deal } from "./passes/distribute.ts";
import { hoistPartials } from "./passes/hoist-reductions.ts";
import { walkWhole } from "./passes/loopify-reduction.ts";
import { specialise } from "./passes/specialise.ts";
import type { Generated } from "./pipeline-types.ts";
import { schedule, withPartials, withTwin } from "./schedule/default.ts";
import { tiledSchedule } from "./schedule/matmul-gpu.ts";
import type { Knobs, Target } from "./schedule/target.ts";
import type { Schedule } from "./schedule/types.ts";
import { printWgsl } from "./wgsl/print.ts";

/**
 * Generates the shader of one kernel for one binding of its tensors on one adapter.
 * @param program the kernel, sizes still symbolic
 * @param binding sizes, storage and shared bindings
 * @param target the adapter, as far as code depends on it
 * @param knobs choices of the schedule that are made already
 * @throws KernelError where the kernel cannot be had with these sizes and formats
 */
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
  const early = verifyLanes(loadsFirst(merged, target.traits.vectorRegisters), "loads first");
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
