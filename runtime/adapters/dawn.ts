/**
 * Finds a WebGPU adapter: Dawn through npm `webgpu` on servers, `navigator.gpu` in browsers.
 *
 * The object that Dawn's `create()` returns must outlive everything made from it, and Bun and Deno crash when it is
 * collected while the process still works; so each set of options gets one instance, kept for the life of the process
 * on a global registry. A kept instance does not hold the process. Without an adapter of the system's, the embedded
 * software one steps in (swiftshader.ts).
 */

import { env, onServer } from "../common/env.ts";
import { UserError } from "../common/errors.ts";
import { isNullBackend, isSoftware, nameOf } from "./capabilities.ts";
import { type DawnModule, importDawn, NoDawn } from "./dawn-module.ts";
import { hushing } from "./hush.ts";
import { loadEmbeddedDawn } from "./swiftshader.ts";
import { chooseSoftwareThreads, type Threads } from "./threads.ts";
import { familyOf } from "./traits.ts";

/** Where an adapter comes from; "given" is for devices that the caller made. */
export type Origin = "system" | "embedded" | "null" | "native" | "given";

/** What to open. */
export interface DawnRequest {
  /**
   * "auto" (the default), "swiftshader", "null", "native", or a part of the wanted adapter's name, vendor or
   * description. Left out, the variable TILESTATE_ADAPTER decides.
   */
  readonly adapter?: string | undefined;
  /** Dawn toggles to switch on; with a leading "-", off. */
  readonly toggles?: readonly string[] | undefined;
  /**
   * Use the matrix units of a GPU that has some (feature level L4). Dawn offers them among its unsafe APIs only, which
   * are off otherwise: turn this on for kernels that you trust. Left out, TILESTATE_FEATURE_LEVEL=L4 turns it on.
   */
  readonly matrixUnits?: boolean | undefined;
  /**
   * Threads of Mesa's software adapter (lavapipe): a number, or "auto" for two a core on machines of 2 to 7 cores, with
   * which decoding is a fifth faster. They are asked for with LP_NUM_THREADS, a variable of the whole process, unless
   * that is set; the first device of a process decides. Left out, nothing is changed.
   */
  readonly threads?: Threads | undefined;
  /**
   * Dawn's module itself, for programs packed into one file, where no package is found (docs/bundles.md). It takes the
   * place of npm `webgpu`.
   */
  readonly dawn?: DawnModule | undefined;
}

/** An open adapter. It can make one device. */
export interface Dawn {
  readonly adapter: GPUAdapter;
  readonly gpu: GPU;
  readonly origin: Origin;
  /** Sentences for the user, such as how to get a faster adapter. */
  readonly notes: string[];
  /** Tells that the adapter is no longer needed. The instance behind it stays, see above. */
  release(): void;
}

const INSTALL =
  "install a GPU driver with Vulkan, or mesa-vulkan-drivers 23 or newer (Debian 12: from bookworm-backports)";
/** Timestamps in nanoseconds instead of steps of 65 us. */
const BASE_TOGGLES: readonly string[] = ["-timestamp_quantization"];
/** What real GPUs need before they offer f16 (NVIDIA). */
const GPU_TOGGLES: readonly string[] = ["vulkan_enable_f16_on_nvidia"];
/**
 * What they need before they offer their matrix units, an experiment of Dawn's: so kernels can reach other experiments,
 * too, and that is to be asked for.
 */
const MATRIX_TOGGLES: readonly string[] = ["allow_unsafe_apis", "use_vulkan_memory_model"];
const NO_SUCH_ADAPTER = "tilestate lists adapters";
const ALIASES: Readonly<Record<string, string>> = { lavapipe: "llvmpipe", software: "swiftshader" };

/**
 * Opens an adapter.
 * @throws UserError when there is none, or none of the wanted name; the message lists what was tried or found.
 */
export async function openDawn(request: DawnRequest = {}): Promise<Dawn> {
  const note = await chooseSoftwareThreads(request.threads);
  const dawn = await openWanted(request);
  if (note !== undefined && familyOf(dawn.adapter.info) === "lavapipe") dawn.notes.push(note);
  return dawn;
}

async function openWanted(request: DawnRequest): Promise<Dawn> {
  const wish = (request.adapter ?? env("TILESTATE_ADAPTER") ?? "auto").trim().toLowerCase();
  const name = ALIASES[wish] ?? (wish || "auto");
  const { dawn } = request;
  const matrixUnits = request.matrixUnits ?? env("TILESTATE_FEATURE_LEVEL")?.toUpperCase() === "L4";
  const toggles: Toggles = {
    always: request.toggles ?? [],
    onGpus: [...GPU_TOGGLES, ...(matrixUnits ? MATRIX_TOGGLES : [])],
  };
  if (name === "native" || (name === "auto" && !onServer())) return openNative();
  if (name === "null") return openNull(toggles, dawn);
  if (name === "swiftshader") return openEmbedded(toggles, []);
  return name === "auto" ? openAuto(toggles, dawn) : openNamed(name, toggles, dawn);
}

/** Toggles of the request, and those that only real GPUs get. */
interface Toggles {
  readonly always: readonly string[];
  readonly onGpus: readonly string[];
}

async function openAuto(toggles: Toggles, given: DawnModule | undefined): Promise<Dawn> {
  const tried: string[] = [];
  try {
    const opened = await openSystem([], toggles, given);
    if (opened !== undefined) return opened;
    tried.push("the system's GPU drivers (Dawn found no adapter)");
  } catch (error) {
    // The embedded adapter is reached through the same binary.
    if (error instanceof NoDawn) throw error;
    tried.push(`the system's GPU drivers (${firstLine(error)})`);
  }
  let hint = INSTALL;
  try {
    return await openEmbedded(toggles, [
      `No GPU driver was found: using the embedded software adapter; for a faster one ${INSTALL}.`,
    ]);
  } catch (error) {
    tried.push(`the embedded software adapter (${firstLine(error)})`);
    if (error instanceof UserError && error.hint !== undefined) hint += `; or, for the embedded one, ${error.hint}`;
  }
  throw new UserError(`no WebGPU adapter: tried ${tried.join(", then ")}`, { hint });
}

/** Dawn on the system's drivers; undefined when it has no adapter. */
async function openSystem(
  options: readonly string[],
  toggles: Toggles,
  given: DawnModule | undefined,
): Promise<Dawn | undefined> {
  const [source, dawn] = await systemDawn(given);
  const open = async (all: readonly string[]): Promise<Dawn | undefined> => {
    const gpu = pinned(source, dawn, [...options, ...toggleOptions(all)]);
    const adapter = await requestAdapter(gpu, { powerPreference: "high-performance" });
    return adapter === null ? undefined : opened(adapter, gpu, isNullBackend(adapter.info) ? "null" : "system", []);
  };
  const plain = await open([...BASE_TOGGLES, ...toggles.always]);
  if (plain === undefined || isSoftware(plain.adapter.info) || plain.origin === "null") return plain;
  // Only now is it known to be real hardware. Software adapters are left without these: they gain nothing from them.
  return (await open([...BASE_TOGGLES, ...toggles.onGpus, ...toggles.always]).catch(() => undefined)) ?? plain;
}

async function openNull(toggles: Toggles, given: DawnModule | undefined): Promise<Dawn> {
  // It runs nothing, so nothing is unsafe: all feature levels can be compiled there.
  const all = { ...toggles, always: ["allow_unsafe_apis", ...toggles.always] };
  const found = await openSystem(["backend=null"], all, given);
  if (found === undefined) throw new UserError("Dawn's null backend gave no adapter");
  return found;
}

async function openEmbedded(toggles: Toggles, notes: string[]): Promise<Dawn> {
  if (!onServer()) throw new UserError("the embedded software adapter needs Node, Bun or Deno");
  const gpu = pinned("embedded", loadEmbeddedDawn(), toggleOptions([...BASE_TOGGLES, ...toggles.always]));
  const adapter = await requestAdapter(gpu);
  if (adapter === null) throw new UserError("the embedded software adapter could not be started");
  return opened(adapter, gpu, "embedded", notes);
}

async function openNative(): Promise<Dawn> {
  const gpu = globalThis.navigator?.gpu;
  const hint = onServer()
    ? "of the runtimes without a screen only Deno has it; leave the adapter out to use Dawn"
    : "use a browser with WebGPU, and a page served over https or from localhost";
  if (gpu === undefined) throw new UserError("no WebGPU adapter: navigator.gpu does not exist here", { hint });
  const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
  if (adapter === null) throw new UserError("no WebGPU adapter: navigator.gpu has none to give", { hint });
  return opened(adapter, gpu, "native", []);
}

/** The system's adapter whose name, vendor, architecture or description contains `word`. */
async function openNamed(word: string, toggles: Toggles, given: DawnModule | undefined): Promise<Dawn> {
  const names = await adapterNames(given);
  const byName = names.find((name) => name.toLowerCase().includes(word));
  for (const name of byName === undefined ? names : [byName]) {
    const found = await openSystem([`adapter=${name}`], toggles, given);
    if (found === undefined) continue;
    const { vendor, architecture, device, description } = found.adapter.info;
    const said = [name, vendor, architecture, device, nameOf(found.adapter.info), description].join("\n").toLowerCase();
    if (said.includes(word)) return found;
  }
  const list = names.length === 0 ? "none on this system" : names.map((name) => `"${name}"`).join(", ");
  throw new UserError(`no adapter matches "${word}"; found: ${list}`, {
    hint: 'besides a part of those names, "auto", "swiftshader", "null" and "native" can be asked for',
  });
}

/** Dawn has no call that lists adapters, but names them all when asked for one that does not exist. */
export async function adapterNames(given: DawnModule | undefined): Promise<string[]> {
  const gpu = pinned(...(await systemDawn(given)), [`adapter=${NO_SUCH_ADAPTER}`]);
  try {
    await requestAdapter(gpu);
    return [];
  } catch (error) {
    const names = [...String((error as Error).message).matchAll(/name: '(.*)'$/gm)].map((match) => match[1] ?? "");
    return [...new Set(names)].filter((name) => name !== "");
  }
}

/** Asks Dawn for an adapter, without what it and the drivers print on the way. */
async function requestAdapter(gpu: GPU, options?: GPURequestAdapterOptions): Promise<GPUAdapter | null> {
  const hush = await hushing();
  return hush(() => gpu.requestAdapter(options));
}

/** Dawn on the system's drivers, with the name under which its instances are kept. */
async function systemDawn(given: DawnModule | undefined): Promise<[string, DawnModule]> {
  return given === undefined ? ["system", await importDawn()] : ["given", given];
}

/** One instance for each source and set of options, never collected. */
function pinned(source: string, dawn: DawnModule, options: readonly string[]): GPU {
  const registry = globalThis as { [INSTANCES]?: Map<string, GPU> };
  registry[INSTANCES] ??= new Map();
  const key = [source, ...options].join("\n");
  let gpu = registry[INSTANCES].get(key);
  if (gpu === undefined) {
    gpu = dawn.create([...options]);
    registry[INSTANCES].set(key, gpu);
  }
  return gpu;
}

const INSTANCES: unique symbol = Symbol.for("tilestate.dawn.instances") as typeof INSTANCES;

function toggleOptions(toggles: readonly string[]): string[] {
  const off = toggles.filter((toggle) => toggle.startsWith("-")).map((toggle) => toggle.slice(1));
  const on = toggles.filter((toggle) => !toggle.startsWith("-"));
  return [
    ...(on.length === 0 ? [] : [`enable-dawn-features=${[...new Set(on)].join(",")}`]),
    ...(off.length === 0 ? [] : [`disable-dawn-features=${[...new Set(off)].join(",")}`]),
  ];
}

function opened(adapter: GPUAdapter, gpu: GPU, origin: Origin, notes: string[]): Dawn {
  return { adapter, gpu, origin, notes, release: () => {} };
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split("\n", 1)[0] ?? "";
}
