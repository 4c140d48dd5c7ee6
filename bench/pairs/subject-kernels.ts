/**
 * Generated kernels of a checkout, on the benchmark's own cases.
 *
 * The kernels' sources are this checkout's, copied to where their imports lead into the measured one: the same source,
 * two compilers. Where the other compiler does not take them, the language having changed, its own source of the same
 * kernel is measured instead, which is said.
 */
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Gpu } from "../../runtime/index.ts";
import { Bench, CASES, type Case, type Library, matvecCase } from "../cases.ts";
import { finished, machineOf, runsOf } from "../finished.ts";
import type { Machine } from "../handwritten/shader.ts";
import type { Kernels } from "../kernels/index.ts";
import { processCpu } from "../surroundings.ts";
import { type Checkout, Missing, need } from "./checkout.ts";
import type { KernelJob, Part } from "./protocol.ts";
import type { Subject } from "./subject.ts";

/**
 * For adapters without subgroups of one size, where the hand-written shaders, which are not run here, are of no use.
 */
const ANY: Machine = { kind: "gpu", subgroup: 32, pinned: false };
/** The kernel of each kind of case. */
const KERNEL_OF: Readonly<Record<string, keyof Kernels>> = {
  matvec: "matvec",
  weights: "matvec",
  matmul: "matmul",
  attend: "attend",
  rmsnorm: "norm",
};

interface Loaded {
  readonly launch: Kernels[keyof Kernels];
  readonly source: string;
}

/** Kernels that were loaded in this process, by name. */
const loaded = new Map<string, Promise<Loaded>>();

function load(checkout: Checkout, sources: string, gpu: Gpu, name: keyof Kernels): Promise<Loaded> {
  const known = loaded.get(name);
  if (known !== undefined) return known;
  const loading = loadCopy(checkout, sources, gpu, name).catch(async (error: Error) => {
    const own = await checkout
      .file<typeof import("../kernels/index.ts")>("bench/kernels/index.ts")
      .catch(() => undefined);
    if (own === undefined && error instanceof Missing) throw error;
    const reason = error.message.split("\n").find((line) => line.trim() !== "") ?? "";
    if (own === undefined) throw new Missing(`its compiler does not take the kernel ${name}: ${reason}`);
    need(own, "bench/kernels", "loadKernels");
    const launch = (await own.loadKernels(gpu))[name];
    if (launch === undefined) throw new Missing(`its benchmark has no kernel ${name}`);
    return { launch, source: "the checkout's own" };
  });
  loaded.set(name, loading);
  return loading;
}

async function loadCopy(checkout: Checkout, folder: string, gpu: Gpu, name: keyof Kernels): Promise<Loaded> {
  const file = name === "attend" ? join(checkout.root, "models/kernels/attend.ts") : join(folder, `${name}.ts`);
  const functions = (await import(/* @vite-ignore */ pathToFileURL(file).href)) as Record<string, () => void>;
  need(functions, `kernel file ${name}.ts`, name);
  const from = { url: pathToFileURL(join(folder, "index.ts")).href };
  const launches = await gpu.kernels(from, { [name]: functions[name] as () => void });
  return { launch: launches[name] as Loaded["launch"], source: "the same" };
}

async function libraryFor(
  checkout: Checkout,
  sources: string,
  gpu: Gpu,
  c: Case,
): Promise<{ library: Library; source: string }> {
  const name = KERNEL_OF[c.name];
  if (name === undefined) throw new Error(`no kernel is known for the case ${c.name}`);
  const { launch, source } = await load(checkout, sources, gpu, name);
  let panelOn: Library["panelOn"] = () => 1;
  if (c.name === "weights") {
    const file = await checkout.file<Pick<Library, "panelOn">>("models/weights/load.ts", "models/llama/weights.ts");
    need(file, "models/weights/load.ts", "panelOn");
    panelOn = file.panelOn;
  }
  return { library: { kernels: { [name]: launch } as unknown as Kernels, panelOn }, source };
}

function caseOf({ title, matrix }: KernelJob): Case {
  if (matrix !== undefined) return matvecCase(matrix.format, matrix.rows, matrix.k, true);
  const found = CASES.find((c) => `${c.name} ${c.dtype} ${c.shape}` === title);
  if (found === undefined) throw new Error(`no case "${title}"`);
  return found;
}

/**
 * Tensors, a recorded call and as many runs as make a batch; what the kernel wrote is summed up, so that both sides can
 * be seen to compute the same.
 */
export async function prepareKernel(checkout: Checkout, sources: string, gpu: Gpu, job: KernelJob): Promise<Subject> {
  need(gpu, "Gpu", "kernels", "tensor", "record", "read");
  const c = caseOf(job);
  // An older GPU may not tell its target.
  const machine = (gpu.target === undefined ? undefined : machineOf(gpu)) ?? ANY;
  if (job.on !== undefined && job.on !== machine.kind) throw new Missing(`it means something on ${job.on} only`);
  const { library, source } = await libraryFor(checkout, sources, gpu, c);
  const bench = new Bench(gpu, machine, library);
  const duel = c.duel(bench);
  let plan: Awaited<ReturnType<Gpu["record"]>>;
  try {
    plan = await gpu.record(job.title, duel.ours);
  } catch (error) {
    bench.free();
    throw new Missing(`its kernel ${c.name} does not take this case: ${(error as Error).message.split("\n")[0]}`);
  }
  const batch = async (times: number): Promise<Part> => {
    const [clock, cpu] = [performance.now(), processCpu()];
    plan.run(times);
    await finished(gpu);
    return { clock_ms: (performance.now() - clock) / times, cpu_ms: (processCpu() - cpu) / times };
  };
  // The first run compiles; the first guess contains the step of the wait, and the second is made on a batch that is
  // long against it.
  await batch(1);
  let times = job.times ?? 1;
  if (job.times !== undefined) await batch(times);
  else for (let i = 0; i < 2; i++) times = runsOf(job.batch_ms / (await batch(times)).clock_ms);
  const result: number[] = [];
  for (const values of await gpu.read(duel.outputs)) {
    let [sum, size] = [0, 0];
    for (const x of values as Float32Array) [sum, size] = [sum + x, size + Math.abs(x)];
    result.push(sum, size);
  }
  return {
    settings: { kernel: `${c.name} ${c.dtype} ${c.shape}` },
    environment: { "source of the kernel": source },
    times,
    turn: async (runs) => ({ parts: { time: await batch(runs) }, result }),
    free() {
      plan.destroy();
      bench.free();
    },
  };
}
