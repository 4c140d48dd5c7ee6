/**
 * Seeing what the compiler does: every stage of a kernel as text, for `tilestate kernels show`, and on the way by as
 * TILESTATE_SHOW asks for it (showing.ts).
 */

import { STAGES, type Stage, show, showing } from "../host/show-requests.ts";
import { printTileProgram } from "../ir/tile/print.ts";
import type { Generated, PassTime, Work } from "../pipeline-types.ts";
import { printBindings, printLanes, printLayout, printSchedule } from "./print-lanes.ts";

export { STAGES, type Stage, show, showing } from "../host/show-requests.ts";
export { operationCount, printTileProgram, signature } from "../ir/tile/print.ts";

/** The stages that depend on sizes and adapter. */
export type BoundStage = Exclude<Stage, "syntax" | "tile">;

/** Text of a stage of what was generated. */
export function stageText(stage: BoundStage, g: Generated): string {
  switch (stage) {
    case "specialised":
      return printTileProgram(g.specialised);
    case "schedule":
      return printSchedule(g.specialised, g.schedule);
    case "layout":
      return printLayout(g.specialised, g.schedule);
    case "lanes":
      return printLanes(g.lanes);
    case "wgsl":
      return g.wgsl.trimEnd();
    case "bindings":
      return printBindings(g.lanes, g.wgsl);
  }
}

/**
 * What a kernel is at some point of its way, in the language that it has got to, and the schedule where that is the
 * newest thing about it.
 */
export function workText({ program, schedule, lanes, wgsl }: Work, after: string): string {
  if (wgsl !== undefined) return wgsl.trimEnd();
  if (lanes !== undefined) return printLanes(lanes);
  const text = printTileProgram(program);
  return after === "schedule" && schedule !== undefined ? `${printSchedule(program, schedule)}\n\n${text}` : text;
}

/** Prints what each pass took, and all of them. */
export function showTimes(g: Generated, times: readonly PassTime[]): void {
  const row = (name: string, run: number, verify: number): string =>
    `${name.padEnd(20)}${run.toFixed(2).padStart(9)}${verify.toFixed(2).padStart(9)}`;
  const sum = (of: (t: PassTime) => number): number => times.reduce((n, t) => n + of(t), 0);
  const lines = times.map((t) => row(t.pass, t.run, t.verify));
  const total = row(
    "all",
    sum((t) => t.run),
    sum((t) => t.verify),
  );
  console.error(`---- ${g.specialised.name}${aboutOf(g)}: milliseconds a pass, and of its verification`);
  console.error(`${[...lines, total].join("\n")}\n`);
}

/** Sizes and formats of a binding, in brackets. */
function aboutOf({ specialised: { binding } }: Generated): string {
  const sizes = Object.entries(binding.sizes).map(([dim, n]) => `${dim}=${n}`);
  const storage = Object.entries(binding.storage).flatMap(([p, s]) => (s === "f32" ? [] : [`${p} ${s}`]));
  return ` (${[...sizes, ...storage].join(", ")})`;
}

/** Prints the stages of one binding that are wished for. */
export function showGenerated(g: Generated): void {
  const { name } = g.specialised;
  if (!showing([name])) return;
  const about = aboutOf(g);
  for (const stage of Object.keys(STAGES) as Stage[])
    if (stage !== "syntax" && stage !== "tile") show(stage, name, () => stageText(stage, g), about);
}

export { printSyntax } from "../frontend/print-syntax.ts";
