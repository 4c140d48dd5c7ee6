/**
 * The back half of the compiler: tile program, sizes and adapter in; WGSL out.
 *
 * Runs when a kernel is bound to real tensors, without TypeScript or the source at hand. The passes are an array, in
 * the order in which they run: passes on tile IR, lowering, passes on lane IR, bindings, print. The driver verifies
 * after each. The form is that of Go's cmd/compile: named passes, and the order that they need as pairs, which are
 * checked when the module is loaded.
 */

import { pack } from "./bindings/merge.ts";
import { part } from "./bindings/split.ts";
import { showGenerated, showTimes } from "./debug/dump.ts";
import { timing } from "./host/show-requests.ts";
import type { Binding } from "./ir/binding.ts";
import type { LaneProgram } from "./ir/lane/program.ts";
import { verifyLanes } from "./ir/lane/verify.ts";
import type { TileProgram } from "./ir/tile/program.ts";
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
import type { Generated, Order, Pass, PassTime, Work } from "./pipeline-types.ts";
import { schedule, withPartials, withTwin } from "./schedule/default.ts";
import { tiledSchedule } from "./schedule/matmul-gpu.ts";
import type { Knobs, Target } from "./schedule/target.ts";
import type { Schedule } from "./schedule/types.ts";
import { printWgsl } from "./wgsl/print.ts";

/** Every pass, in the order in which they run. */
export const PASSES: readonly Pass[] = [
  { name: "specialise", run: specialised },
  { name: "loopify-reduction", when: onGpu, run: (w) => ({ program: walkWhole(w.program) }) },
  { name: "schedule", run: scheduled },
  { name: "distribute", when: (w) => w.schedule?.dealt !== undefined, run: distributed },
  { name: "hoist-reductions", run: hoisted },
  { name: "lower", run: (w) => ({ lanes: lowerLanes(w.program, scheduleOf(w), w.target) }) },
  { name: "dead-code", run: onLanes((l) => ({ ...l, body: sweep(l.body) })) },
  { name: "strength-reduction", when: onSoftware, run: onLanes((l) => ({ ...l, body: countUnits(l.body) })) },
  { name: "merge-branches", when: onSoftware, run: onLanes(mergeGuards) },
  { name: "hoist-loads", run: onLanes((l, w) => loadsFirst(l, w.target.traits.vectorRegisters)) },
  { name: "split-bindings", when: isPacked, run: onLanes((l, w) => part(l, w.program.binding.packing)) },
  { name: "merge-bindings", when: isPacked, run: onLanes((l, w) => pack(l, w.program.binding.packing)) },
  { name: "print", run: (w) => ({ wgsl: printWgsl(lanesOf(w)) }) },
];

/** The order that passes need. Where none is said, none is needed. */
export const ORDER: readonly Order[] = [
  ["specialise", "schedule", "who does what depends on sizes"],
  ["loopify-reduction", "schedule", "tiles of workgroup memory are planned for loops"],
  ["schedule", "distribute", "the schedule says what is shared out"],
  ["distribute", "hoist-reductions", "what was shared out is reduced over lanes, too"],
  ["hoist-reductions", "lower", "lowering makes registers of what is left of an axis"],
  ["lower", "dead-code", "lowering makes values on speculation"],
  ["dead-code", "strength-reduction", "what nobody reads would keep a loop counting elements"],
  ["strength-reduction", "hoist-loads", "loads move with the addresses that they have in the end"],
  ["merge-branches", "hoist-loads", "a branch ends the run that loads are moved to the start of"],
  ["hoist-loads", "split-bindings", "a load from windows is several, and a choice among them"],
  ["split-bindings", "merge-bindings", "windows are bound alone"],
  ["merge-bindings", "print", "the text names the bindings"],
];
checkOrder(PASSES, ORDER);

/**
 * Generates the shader of one kernel for one binding of its tensors on one adapter.
 * @param program the kernel, sizes still symbolic
 * @param binding sizes, storage and shared bindings
 * @param target the adapter, as far as code depends on it
 * @param knobs choices of the schedule that are made already
 * @throws KernelError where the kernel cannot be had with these sizes and formats; Error where a pass breaks a rule of
 *   an intermediate language, naming the pass
 */
export function generate(program: TileProgram, binding: Binding, target: Target, knobs: Knobs = {}): Generated {
  const times: PassTime[] | undefined = timing(program.name) ? [] : undefined;
  const work = runPasses(PASSES, workOf(program, binding, target, knobs), times);
  const generated: Generated = {
    fixed: work.fixed,
    specialised: work.program,
    schedule: scheduleOf(work),
    lanes: lanesOf(work),
    wgsl: work.wgsl as string,
  };
  showGenerated(generated);
  if (times !== undefined) showTimes(generated, times);
  return generated;
}

/**
 * What a kernel is once the pass of this name has had its turn; `applied`: whether it applies to this kernel on this
 * adapter.
 *
 * @throws Error listing the passes where there is none of this name
 */
export function generateUntil(
  after: string,
  program: TileProgram,
  binding: Binding,
  target: Target,
  knobs: Knobs = {},
): { readonly work: Work; readonly applied: boolean } {
  const at = PASSES.findIndex((pass) => pass.name === after);
  if (at < 0) throw new Error(`there is no pass "${after}"; there are: ${PASSES.map((p) => p.name).join(", ")}`);
  const before = runPasses(PASSES.slice(0, at), workOf(program, binding, target, knobs));
  const last = PASSES[at] as Pass;
  return { work: runPasses([last], before), applied: last.when?.(before) !== false };
}

/** What goes into the first pass. */
export function workOf(program: TileProgram, binding: Binding, target: Target, knobs: Knobs = {}): Work {
  const bound = { ...program, binding };
  return { target, knobs, fixed: bound, program: bound };
}

/** Runs passes one after the other, and verifies what each of them changed. Their times are added to `times`. */
export function runPasses(passes: readonly Pass[], start: Work, times?: PassTime[]): Work {
  let work = start;
  for (const pass of passes) {
    if (pass.when?.(work) === false) continue;
    const began = times === undefined ? 0 : performance.now();
    const next = { ...work, ...pass.run(work) };
    const ran = times === undefined ? 0 : performance.now();
    // A pass may go back to the kernel as it was specialised, which is verified already.
    if (next.program !== work.program && next.program !== work.fixed) verify(next.program, pass.name);
    if (next.lanes !== undefined && next.lanes !== work.lanes) verifyLanes(next.lanes, pass.name);
    times?.push({ pass: pass.name, run: ran - began, verify: performance.now() - ran });
    work = next;
  }
  return work;
}

/** Throws an Error where passes are not in the order that they need, or have one name. */
export function checkOrder(passes: readonly Pass[], order: readonly Order[]): void {
  const names = passes.map((pass) => pass.name);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw new Error(`pipeline: two passes are called "${twice}"`);
  for (const [before, after, why] of order) {
    for (const name of [before, after])
      if (!names.includes(name)) throw new Error(`pipeline: the order names "${name}", and no pass is called that`);
    if (names.indexOf(before) > names.indexOf(after))
      throw new Error(`pipeline: "${before}" must run before "${after}": ${why}`);
  }
}

function specialised(w: Work): Partial<Work> {
  const fixed = specialise(w.program, w.program.binding);
  return { fixed, program: fixed };
}

/**
 * Tiles of workgroup memory where the adapter wants them and the kernel allows them, else the schedule for all kernels,
 * of the kernel as it was.
 */
function scheduled(w: Work): Partial<Work> {
  const tiled = onGpu(w) ? tiledSchedule(w.program, w.target, w.knobs) : undefined;
  return tiled === undefined
    ? { program: w.fixed, schedule: schedule(w.fixed, w.target, w.knobs) }
    : { schedule: tiled };
}

function distributed(w: Work): Partial<Work> {
  const plan = scheduleOf(w);
  const made = plan.dealt === undefined ? undefined : deal(w.program, plan.dealt.axis, isSpread(plan));
  return made === undefined ? {} : { program: made.program, schedule: withTwin(plan, made.twin) };
}

function hoisted(w: Work): Partial<Work> {
  const plan = scheduleOf(w);
  const { program, made } = hoistPartials(w.program, isSpread(plan));
  return { program, schedule: withPartials(plan, made) };
}

function isSpread(plan: Schedule): (axis: number) => boolean {
  return (axis) => plan.axes[axis]?.spread === true;
}

function onGpu(w: Work): boolean {
  return w.target.profile === "gpu";
}

function onSoftware(w: Work): boolean {
  return w.target.profile === "software";
}

function isPacked(w: Work): boolean {
  return w.program.binding.packing !== undefined;
}

function onLanes(run: (lanes: LaneProgram, work: Work) => LaneProgram): Pass["run"] {
  return (w) => ({ lanes: run(lanesOf(w), w) });
}

function lanesOf({ program, lanes }: Work): LaneProgram {
  if (lanes === undefined) throw new Error(`kernel ${program.name}: a pass on lane IR runs before it is lowered`);
  return lanes;
}

function scheduleOf({ program, schedule: plan }: Work): Schedule {
  if (plan === undefined)
    throw new Error(`kernel ${program.name}: a pass that needs a schedule runs before there is one`);
  return plan;
}
