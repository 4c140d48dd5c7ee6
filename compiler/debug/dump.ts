/** Seeing what the compiler does: every stage of a kernel as text, for `tilestate kernels show`, and on the way by as TILESTATE_SHOW asks for it (showing.ts). */

import { STAGES, type Stage, show, showing } from "../host/show-requests.ts";
import { printTileProgram } from "../ir/tile/print.ts";
import type { Generated } from "../pipeline-types.ts";
import { printBindings, printLanes, printLayout, printSchedule } from "./print-lanes.ts";

export { STAGES, type Stage, show, showing } from "../host/show-requests.ts";
export {
  axisName,
  operationCount,
  paramText,
  paramUse,
  printTileProgram,
  signature,
} from "../ir/tile/print.ts";
export { type Place, placeOf, printBindings, printLanes, printLayout, printSchedule } from "./print-lanes.ts";

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

/** Prints the stages of one binding that are wished for. */
export function showGenerated(g: Generated): void {
  const { name, binding } = g.specialised;
  if (!showing([name])) return;
  const sizes = Object.entries(binding.sizes).map(([dim, n]) => `${dim}=${n}`);
  const storage = Object.entries(binding.storage).flatMap(([p, s]) => (s === "f32" ? [] : [`${p} ${s}`]));
  const about = ` (${[...sizes, ...storage].join(", ")})`;
  for (const stage of Object.keys(STAGES) as Stage[])
    if (stage !== "syntax" && stage !== "tile") show(stage, name, () => stageText(stage, g), about);
}

export { printSyntax } from "../frontend/print-syntax.ts";
