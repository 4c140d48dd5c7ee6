/**
 * What TILESTATE_SHOW asks for, and printing it. Apart from show.ts, so that the front half of the compiler prints without a word of the back half.
 *
 *     TILESTATE_SHOW=stages          every stage of every kernel
 *     TILESTATE_SHOW=matvec          every stage of the kernel of that name
 *     TILESTATE_SHOW=matvec,wgsl     one stage of one kernel; several of either are separated by commas
 *
 * One variable for everything, as tinygrad's DEBUG is.
 */
import { env } from "./env.ts";

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

/** What TILESTATE_SHOW asks for; undefined means all. */
interface Wish {
  readonly stages: ReadonlySet<string> | undefined;
  readonly kernels: ReadonlySet<string> | undefined;
}

function wish(): Wish | undefined {
  const words = (env("TILESTATE_SHOW") ?? "").split(",").flatMap((w) => w.trim() || []);
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
