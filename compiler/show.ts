/**
 * Seeing what the compiler does: every stage of a kernel as text, for `tilestate kernels show`, and on the way by as TILESTATE_SHOW asks for it.
 *
 *     TILESTATE_SHOW=stages          every stage of every kernel
 *     TILESTATE_SHOW=matvec          every stage of the kernel of that name
 *     TILESTATE_SHOW=matvec,wgsl     one stage of one kernel; several of either are separated by commas
 *
 * One variable for everything, as tinygrad's DEBUG is.
 */
import type { Generated } from "./backend.ts";
import { printBindings, printLanes, printLayout, printSchedule } from "./print-lanes.ts";
import { printTileProgram } from "./print-tile.ts";

export { type Place, placeOf, printBindings, printLanes, printLayout, printSchedule } from "./print-lanes.ts";
export {
  axisName,
  operationCount,
  paramText,
  paramUse,
  printSyntax,
  printTileProgram,
  signature,
} from "./print-tile.ts";

/** The stages in their order, and what each shows. `syntax` and `tile` are seen once a kernel, the others for every binding. */
export const STAGES = {
  syntax: "syntax, names resolved",
  tile: "tile IR (the number on the right is the source line)",
  specialised: "tile IR with sizes fixed and partial sums behind their loops",
  schedule: "schedule",
  layout: "layout: which lane holds what",
  lanes: "lane IR: what one invocation does",
  wgsl: "WGSL",
  bindings: "bindings, workgroups and memory",
} as const;

export type Stage = keyof typeof STAGES;

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

/** What TILESTATE_SHOW asks for; undefined means all. */
interface Wish {
  readonly stages: ReadonlySet<string> | undefined;
  readonly kernels: ReadonlySet<string> | undefined;
}

function wish(): Wish | undefined {
  let text: string | undefined;
  try {
    text = globalThis.process?.env?.TILESTATE_SHOW;
  } catch {
    // Deno without the permission to read the environment.
  }
  const words = (text ?? "").split(",").flatMap((w) => w.trim() || []);
  if (words.length === 0 || words.includes("off")) return undefined;
  const stages = words.filter((w) => Object.hasOwn(STAGES, w));
  const kernels = words.filter((w) => w !== "stages" && !Object.hasOwn(STAGES, w));
  return {
    stages: stages.length > 0 ? new Set(stages) : undefined,
    kernels: kernels.length > 0 ? new Set(kernels) : undefined,
  };
}

/** True when something of one of these kernels is to be shown. */
export function showing(kernels: readonly string[]): boolean {
  const w = wish();
  return w !== undefined && kernels.some((k) => w.kernels?.has(k) ?? true);
}

/** Prints a stage to standard error, if it is wished for. */
export function show(stage: Stage, kernel: string, text: () => string, about = ""): void {
  const w = wish();
  if (w === undefined || !(w.kernels?.has(kernel) ?? true) || !(w.stages?.has(stage) ?? true)) return;
  console.error(`---- ${kernel}${about}: ${STAGES[stage]}\n${text()}\n`);
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
