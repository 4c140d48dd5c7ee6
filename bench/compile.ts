/**
 * How long one kernel file of a hundred lines takes to compile from nothing: `bun bench/compile.ts [ROUNDS]`, and the
 * same with node (through tsx) or deno.
 *
 * Each round is a process of its own without the artefact cache, since what matters is the first run after an edit. The
 * time of the process is told apart from loading ts-morph (with all of TypeScript in it) and from the compiler proper:
 * reading, checking, lowering and verifying. The back half, from a tile program to WGSL, is timed cold as well.
 */

import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { TRAITS } from "../runtime/adapters/traits.ts";

const FILE = fileURLToPath(new URL("./kernels/hundred.ts", import.meta.url));
const SELF = fileURLToPath(import.meta.url);
const KERNELS: readonly string[] = ["attend", "gated", "likeliest", "normed", "product"];

interface Round {
  readonly parser_ms: number;
  readonly compile_ms: number;
  /**
   * Of the thread that compiles where the runtime can tell, else of all; compare this one on a machine that does other
   * things as well.
   */
  readonly compile_cpu_ms: number;
  readonly generate_ms: number;
  readonly process_ms: number;
}

/** In a process of its own: the parts of one cold compilation. */
async function once(): Promise<Omit<Round, "process_ms">> {
  const start = performance.now();
  await import("ts-morph");
  const loaded = performance.now();
  const { compileFile } = await import("../compiler/frontend/index.ts");
  const { generate } = await import("../compiler/index.ts");
  const ready = performance.now();
  const usage = (process.threadCpuUsage ?? process.cpuUsage).bind(process);
  const before = usage();
  const { programs } = compileFile(FILE, KERNELS);
  const compiled = performance.now();
  const cpu = usage(before);
  const sizes = { rows: 64, k: 64, heads: 4, groups: 2, dim: 64, slots: 128, vocab: 1000 };
  for (const p of programs) {
    const tensors = p.params.flatMap((q) => (q.kind === "tensor" ? [[q.name, q.storage[0] ?? "f32"] as const] : []));
    generate(
      p,
      { sizes, storage: Object.fromEntries(tensors), cells: [] },
      {
        profile: "software",
        subgroup: 8,
        pinned: false,
        maxInvocations: 1024,
        storageBuffers: 16,
        traits: TRAITS.lavapipe,
      },
    );
  }
  const generated = performance.now();
  return {
    parser_ms: loaded - start,
    compile_ms: compiled - ready,
    compile_cpu_ms: (cpu.user + cpu.system) / 1000,
    generate_ms: generated - compiled,
  };
}

function runtimeArguments(): string[] {
  if ("Deno" in globalThis) return ["run", "-A"];
  return "Bun" in globalThis ? [] : ["--import", "tsx"];
}

function round(): Round {
  const start = performance.now();
  const child = spawnSync(process.execPath, [...runtimeArguments(), SELF, "--once"], { encoding: "utf8" });
  const process_ms = performance.now() - start;
  if (child.status !== 0) throw new Error(child.stderr);
  return { ...(JSON.parse(child.stdout) as Omit<Round, "process_ms">), process_ms };
}

function median(x: readonly number[]): number {
  return [...x].sort((a, b) => a - b)[x.length >> 1] ?? Number.NaN;
}

if (process.argv[2] === "--once") console.log(JSON.stringify(await once()));
else {
  const rounds = Number(process.argv[2] ?? 7);
  const lines = readFileSync(FILE, "utf8").split("\n").length - 1;
  const all = Array.from({ length: rounds }, round);
  const say = (what: string, of: (r: Round) => number): void => {
    const x = all.map(of);
    console.log(
      `${what.padEnd(44)} ${median(x).toFixed(0).padStart(6)} ms  (${Math.min(...x).toFixed(0)} to ${Math.max(...x).toFixed(0)})`,
    );
  };
  console.log(`${KERNELS.length} kernels in ${lines} lines, ${rounds} cold processes, medians`);
  say("the whole process", (r) => r.process_ms);
  say("  loading ts-morph", (r) => r.parser_ms);
  say("  the compiler proper, source to tile programs", (r) => r.compile_ms);
  say("    the same in CPU time", (r) => r.compile_cpu_ms);
  say("  tile programs to WGSL, all kernels once", (r) => r.generate_ms);
}
