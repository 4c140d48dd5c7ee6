/**
 * Runs generated kernels in the interpreter, on the lane simulator and on GPUs, and says where they differ.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { compileFile } from "../../compiler/frontend/index.ts";
import { type HostTensor, interpret, KernelError, type Target, type TileProgram } from "../../compiler/index.ts";
import { type DeviceTensor, type Gpu, Kernel } from "../../runtime/index.ts";
import { bindGroupOf } from "../../runtime/kernels/bind-groups.ts";
import { compileAll } from "../../runtime/kernels/variants.ts";
import { panelProblem } from "../../runtime/memory/panels.ts";
import { dequantise, quantise } from "../../runtime/memory/quantise.ts";
import { LANE_TARGETS, nameOf, simulated } from "../support/lanes.ts";
import { Choices } from "./choices.ts";
import { generate, type KernelPlan, type TensorPlan } from "./generate.ts";

const WORDS =
  "abs, amax, amin, argmax, argmin, block, cast, dot, emptyTopk, every, exp, floor, idiv, log, max, min, over, program, range, round, select, size, sqrt, sum, tanh, topk";
const DSL = fileURLToPath(new URL("../../dsl/index.ts", import.meta.url));

export interface Difference {
  readonly plan: KernelPlan;
  readonly where: string;
  readonly what: string;
}

/** Those of the plans that compile, and how many were refused because of the order of their accesses. */
export function orderly(plans: readonly KernelPlan[]): { taken: KernelPlan[]; refused: number } {
  const taken = plans.filter((plan) => {
    try {
      return compilePlans([plan]).size === 1;
    } catch (error) {
      if (error instanceof KernelError && error.diagnostics.every((d) => d.code === "TS-220")) return false;
      throw error;
    }
  });
  return { taken, refused: plans.length - taken.length };
}

/** Writes the kernels into one file and compiles it. */
export function compilePlans(plans: readonly KernelPlan[]): ReadonlyMap<string, TileProgram> {
  const folder = mkdtempSync(join(tmpdir(), "tilestate-fuzz-"));
  try {
    const file = join(folder, "kernels.ts");
    const head = `import { ${WORDS}, type bf16, type f16, type f32, type i32, type q4, type q8, type Scalar, type Tensor, type u32 } from ${JSON.stringify(relativeTo(folder))};\n`;
    writeFileSync(file, head + plans.map((p) => p.source).join("\n"));
    return new Map(
      compileFile(
        file,
        plans.map((p) => p.name),
      ).programs.map((p) => [p.name, p]),
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function relativeTo(folder: string): string {
  const up = folder
    .split("/")
    .filter(Boolean)
    .map(() => "..");
  return `${up.join("/")}${DSL}`;
}

const POISON = 12345;

function input(c: Choices, t: TensorPlan, sizes: Readonly<Record<string, number>>): HostTensor {
  const shape = t.dims.map((d) => sizes[d] ?? 1);
  const n = shape.reduce((a, b) => a * b, 1);
  const poison = t.output && t.fill === undefined;
  if (t.fill === "permutation") return { shape, storage: "u32", data: permutations(c, n, shape.at(-1) ?? 1) };
  if (t.storage === "u32")
    return { shape, storage: t.storage, data: Uint32Array.from({ length: n }, () => (poison ? POISON : c.below(9))) };
  if (t.storage === "i32")
    return {
      shape,
      storage: t.storage,
      data: Int32Array.from({ length: n }, () => (poison ? POISON : c.below(17) - 8)),
    };
  const values = Float32Array.from({ length: n }, () => (poison ? POISON : (c.below(33) - 16) / 4));
  if (t.storage === "q8" || t.storage === "q4") {
    // Exact in the format: one element of every block fixes the scale.
    const steps = t.storage === "q8" ? 127 : -8;
    for (let i = 0; i < n; i += 32) values[i] = steps / 4;
    for (let i = 0; i < n; i++) values[i] = Math.max(-2, Math.min(1.75, (values[i] ?? 0) % 2));
    for (let i = 0; i < n; i += 32) values[i] = steps / 4;
    return { shape, storage: t.storage, data: dequantise(quantise(values, t.storage), n, t.storage) };
  }
  return { shape, storage: t.storage, data: values, ...panelOf(c, t, shape) };
}

/** For each row of `width` elements, its places in some order. */
function permutations(c: Choices, n: number, width: number): Uint32Array<ArrayBuffer> {
  const data = Uint32Array.from({ length: n }, (_, i) => i % width);
  for (let i = 0; i < n; i++) {
    const other = i - (i % width) + c.below((i % width) + 1);
    [data[i], data[other]] = [data[other] ?? 0, data[i] ?? 0];
  }
  return data;
}

/** Half of the matrices that are only read and can lie in panels do. */
function panelOf(c: Choices, t: TensorPlan, shape: readonly number[]): Pick<HostTensor, "panel"> {
  const fit = [2, 4, 8].filter((panel) => panelProblem(shape, t.storage, panel) === undefined);
  return t.output || fit.length === 0 || c.chance(50) ? {} : { panel: c.of(fit) };
}

function expected(
  plan: KernelPlan,
  program: TileProgram,
  seed: number,
): { tensors: Record<string, HostTensor>; before: Record<string, HostTensor> } {
  const c = new Choices(seed);
  const tensors = Object.fromEntries(plan.tensors.map((t) => [t.name, input(c, t, plan.sizes)]));
  const before = Object.fromEntries(Object.entries(tensors).map(([k, t]) => [k, { ...t, data: t.data.slice() }]));
  interpret(program, tensors, plan.limit === undefined ? {} : { limit: plan.limit });
  return { tensors, before };
}

/** What runs the compiled kernels: an adapter, or the simulator for targets that no adapter here has. */
export type Runner = Gpu | "simulator";

/**
 * The first differing element of each plan's outputs, on this runner with each of the targets. Tests of this function
 * give the runner other programs. One program in `oneIn` runs on the slower feature level, too.
 */
export async function compare(
  gpu: Runner,
  plans: readonly KernelPlan[],
  programs: ReadonlyMap<string, TileProgram>,
  seed: number,
  onGpu: ReadonlyMap<string, TileProgram> = programs,
  oneIn = 4,
): Promise<Difference[]> {
  if (gpu === "simulator") return compareSimulated(plans, programs, seed, onGpu);
  const found: Difference[] = [];
  const targets = [gpu.target, { ...gpu.target, subgroup: 0 }];
  for (const [which, target] of targets.entries()) {
    const where = `${gpu.capabilities.name}${which === 1 ? " at L0" : ""}`;
    const jobs = plans.flatMap((plan, i) => {
      // The slower feature level is sampled.
      if (which === 1 && i % oneIn !== seed % oneIn) return [];
      const program = programs.get(plan.name);
      if (program === undefined) return [];
      const want = expected(plan, program, seed + i);
      const on: Record<string, DeviceTensor> = {};
      const places = new Choices(seed + i);
      let textures = gpu.capabilities.limits.storageTextures;
      for (const t of plan.tensors) {
        const { shape, data, panel } = want.before[t.name] as HostTensor;
        // Half of what is only read lies in textures.
        const texture = !t.output && textures > 0 && places.chance(50);
        if (texture) textures--;
        on[t.name] = gpu.tensor(shape, t.storage, { label: t.name, data, panel, texture });
      }
      const args = program.params.map((p) => (p.kind === "scalar" ? (plan.limit ?? 0) : on[p.name]));
      return [
        { plan, want, on, dispatch: new Kernel(gpu.device, onGpu.get(plan.name) ?? program, target).prepare(args) },
      ];
    });
    await compileAll(
      gpu.device,
      jobs.map((j) => j.dispatch.variant),
    );
    const encoder = gpu.device.raw.createCommandEncoder();
    const pass = encoder.beginComputePass();
    for (const j of jobs) {
      pass.setPipeline(j.dispatch.variant.pipeline as GPUComputePipeline);
      pass.setBindGroup(0, bindGroupOf(gpu.device, j.dispatch).group);
      pass.dispatchWorkgroups(...j.dispatch.variant.generated.lanes.workgroups);
    }
    pass.end();
    gpu.device.raw.queue.submit([encoder.finish()]);
    const outputs = jobs.flatMap((j) =>
      j.plan.tensors.filter((t) => t.output).map((t) => ({ j, t, tensor: j.on[t.name] as DeviceTensor })),
    );
    const got = await gpu.read(outputs.map((o) => o.tensor));
    for (const [i, o] of outputs.entries()) {
      const what = differenceOf(o.j.plan, o.t.name, o.j.want.tensors[o.t.name]?.data ?? [], got[i] ?? []);
      if (what !== undefined) found.push({ plan: o.j.plan, where, what });
    }
    for (const j of jobs) for (const t of Object.values(j.on)) t.destroy();
  }
  return found;
}

/**
 * The first differing element of each plan's outputs on the lane simulator; by default for 32 lanes, which no software
 * adapter has, and another target in turn.
 */
export function compareSimulated(
  plans: readonly KernelPlan[],
  programs: ReadonlyMap<string, TileProgram>,
  seed: number,
  onLanes: ReadonlyMap<string, TileProgram> = programs,
  targetsOf: (number: number) => readonly Target[] = inTurn,
): Difference[] {
  return plans.flatMap((plan, i) => {
    const program = programs.get(plan.name);
    if (program === undefined) return [];
    const want = expected(plan, program, seed + i);
    const scalars: Record<string, number> = plan.limit === undefined ? {} : { limit: plan.limit };
    return targetsOf(seed + i).flatMap((target): Difference[] => {
      const difference = (what: string): Difference => ({ plan, where: nameOf(target), what });
      try {
        const got = simulated(onLanes.get(plan.name) ?? program, target, want.before, scalars);
        return plan.tensors
          .filter((t) => t.output)
          .flatMap((t) => differenceOf(plan, t.name, want.tensors[t.name]?.data ?? [], got[t.name]?.data ?? []) ?? [])
          .map(difference);
      } catch (error) {
        return [difference((error as Error).message)];
      }
    });
  });
}

function inTurn(number: number): readonly Target[] {
  const turn = LANE_TARGETS[number % LANE_TARGETS.length] as Target;
  return [...new Set([...LANE_TARGETS.filter((t) => t.subgroup === 32), turn])];
}

function differenceOf(
  plan: KernelPlan,
  name: string,
  want: HostTensor["data"] | readonly number[],
  got: ArrayLike<number>,
): string | undefined {
  const bad = [...want].findIndex((w, at) => !same(w, got[at] ?? Number.NaN, plan.inexact));
  return bad < 0 ? undefined : `${name}[${bad}]: expected ${want[bad]}, got ${got[bad]}`;
}

function same(want: number, got: number, inexact: boolean): boolean {
  if (Object.is(want, got) || want === got) return true;
  if (Number.isNaN(want)) return Number.isNaN(got);
  return inexact && Math.abs(want - got) <= 1e-5 + 2e-5 * Math.abs(want);
}

/** The kernel that a list of choices (or a seed) makes. */
export function planOf(
  seed: number,
  name: string,
  given?: readonly number[],
  make: (c: Choices, name: string) => KernelPlan = generate,
): { plan: KernelPlan; choices: readonly number[] } {
  const c = new Choices(seed, given);
  const plan = make(c, name);
  return { plan, choices: c.taken };
}
