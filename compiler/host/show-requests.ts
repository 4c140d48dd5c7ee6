/**
 * What TILESTATE_SHOW asks for, and printing it. Apart from show.ts, so that the front half of the compiler prints
 * without a word of the back half.
 *
 *     TILESTATE_SHOW=stages          every stage of every kernel
 *     TILESTATE_SHOW=matvec          every stage of the kernel of that name
 *     TILESTATE_SHOW=matvec,wgsl     one stage of one kernel; several of either are separated by commas
 *     TILESTATE_SHOW=passes          milliseconds that each pass took, for every kernel (matvec,passes: for one)
 *
 * One variable for everything, as tinygrad's DEBUG is.
 */
import { env } from "./env.ts";

/**
 * The stages in their order, and what each shows. `syntax` and `tile` are seen once a kernel, the others for every
 * binding.
 */
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

/** Times are no stage of a kernel: they are shown where they are asked for, and not with all stages. */
const TIMES = "passes";

function isStage(word: string): boolean {
  return Object.hasOwn(STAGES, word) || word === TIMES;
}

/** What TILESTATE_SHOW asks for; undefined means all. */
interface Wish {
  readonly stages: ReadonlySet<string> | undefined;
  readonly kernels: ReadonlySet<string> | undefined;
}

function wish(): Wish | undefined {
  const words = (env("TILESTATE_SHOW") ?? "").split(",").flatMap((w) => w.trim() || []);
  if (words.length === 0 || words.includes("off")) return undefined;
  const stages = words.filter(isStage);
  const kernels = words.filter((w) => w !== "stages" && !isStage(w));
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

/** True when times of this kernel are to be shown. */
export function timing(kernel: string): boolean {
  const w = wish();
  return w?.stages?.has(TIMES) === true && (w.kernels?.has(kernel) ?? true);
}

/** Prints a stage to standard error, if it is wished for. */
export function show(stage: Stage, kernel: string, text: () => string, about = ""): void {
  const w = wish();
  if (w === undefined || !(w.kernels?.has(kernel) ?? true) || !(w.stages?.has(stage) ?? true)) return;
  console.error(`---- ${kernel}${about}: ${STAGES[stage]}\n${text()}\n`);
}
