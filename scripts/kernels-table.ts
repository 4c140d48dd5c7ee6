/**
 * What is deterministic about speed, as a page: dispatches of a decode step, and for every built-in kernel the lines of
 * its WGSL and the operations of its lane program on six adapters. `npm run ship` writes the page and `npm run check`
 * compares it, so that a change of either shows where it is made.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { builtinKernels, programsOf } from "../cli/kernels/builtin.ts";
import { sizesOf, storageOf, TARGETS } from "../cli/kernels/targets.ts";
import { generate, type Target } from "../compiler/index.ts";
import type { Stmt } from "../compiler/ir/lane/program.ts";
import { Decoder, openModel } from "../models/index.ts";
import { open } from "../runtime/index.ts";

const PAGE: URL = new URL("../docs/kernels-table.md", import.meta.url);
/** The adapters of `kernels show`, and a GPU without subgroups, as browsers have it. */
const ADAPTERS: Readonly<Record<string, Target>> = {
  ...TARGETS,
  "gpu L0": { ...(TARGETS.gpu as Target), subgroup: 0, pinned: false, storageBuffers: 8 },
};
const STATES = ["full", "window:128", "tova:128"] as const;

/** Statements of a lane program, those of loops and branches included. */
function operations(body: readonly Stmt[]): number {
  return body.reduce((n, s) => {
    if (s.op === "for") return n + 1 + operations(s.body);
    return s.op === "if" ? n + 1 + operations(s.yes) + operations(s.no) : n + 1;
  }, 0);
}

async function kernelRows(): Promise<string[]> {
  const programs = [...(await programsOf(await builtinKernels()))].sort(([a], [b]) => (a < b ? -1 : 1));
  return programs.map(([name, program]) => {
    const binding = { sizes: sizesOf(program, {}), storage: storageOf(program, {}), cells: [] };
    const cells = Object.values(ADAPTERS).map((target) => {
      const { wgsl, lanes } = generate(program, binding, target);
      return `${wgsl.trimEnd().split("\n").length} / ${operations(lanes.body)}`;
    });
    return `| \`${name}\` | ${cells.join(" | ")} |`;
  });
}

/** Of the embedded model, on the backend that computes nothing. */
async function stepRows(): Promise<string[]> {
  const gpu = await open({ adapter: "null" });
  try {
    const source = await openModel("hearth");
    const rows: string[] = [];
    for (const state of STATES) {
      const decoder = await Decoder.load(gpu, source, { state });
      rows.push(`| \`${state}\` | ${decoder.plan.length} |`);
      decoder.destroy();
    }
    return rows;
  } finally {
    await gpu.close();
  }
}

/** The page as it is to be. */
export async function kernelsTable(): Promise<string> {
  const names = Object.keys(ADAPTERS);
  return [
    "# Kernels in numbers",
    "",
    "Written by `npm run ship` and compared by `npm run check`: what does not depend on the machine.",
    "",
    "Dispatches of a decode step of hearth:",
    "",
    "| state | dispatches |",
    "|---|---|",
    ...(await stepRows()),
    "",
    "Lines of WGSL / operations of the lane program of every built-in kernel, at hearth's sizes, on the adapters of",
    "`tilestate kernels show` and on a GPU without subgroups:",
    "",
    `| kernel | ${names.join(" | ")} |`,
    `|---|${names.map(() => "---|").join("")}`,
    ...(await kernelRows()),
    "",
  ].join("\n");
}

/** Writes the page. */
export async function writeKernelsTable(): Promise<void> {
  writeFileSync(PAGE, await kernelsTable());
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [wanted, there] = [(await kernelsTable()).split("\n"), readFileSync(PAGE, "utf8").split("\n")];
  const at = Math.max(wanted.length, there.length);
  for (let i = 0; i < at; i++)
    if (wanted[i] !== there[i]) {
      console.error(`docs/kernels-table.md:${i + 1} is not what kernels come to now (npm run ship writes it)`);
      console.error(`  expected ${wanted[i] ?? "nothing"}\n  got      ${there[i] ?? "nothing"}`);
      process.exitCode = 1;
      break;
    }
}
