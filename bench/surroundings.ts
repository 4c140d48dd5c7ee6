/**
 * Where a measurement was made, and what else went on there meanwhile: a figure without its adapter, runtime and load
 * is a rumour.
 */
import { readFileSync } from "node:fs";
import { arch, cpus, loadavg, platform, totalmem } from "node:os";
import type { Gpu } from "../runtime/index.ts";
import type { Facts } from "./facts.ts";

export interface Adapter {
  readonly name: string;
  readonly vendor: string;
  readonly architecture: string;
  /** What the driver says of itself. */
  readonly driver: string;
  readonly kind: string;
  readonly featureLevel: string;
  /** system, embedded, null, native or given. */
  readonly origin: string;
  readonly subgroups: { readonly min: number; readonly max: number } | null;
  readonly f16: boolean;
  readonly timestamps: boolean;
  readonly limits: Readonly<Record<string, number>>;
}

export interface Surroundings {
  readonly adapter: Adapter;
  readonly runtime: { readonly name: string; readonly version: string };
  readonly machine: {
    readonly os: string;
    readonly cpu: string;
    readonly cores: number;
    readonly memory_bytes: number;
  };
  readonly date: string;
}

/** What other programs did: cores they kept busy. Undefined where the system does not say. */
export interface Load {
  /** The system's load averages over 1, 5 and 15 minutes when the measurement began. */
  readonly averages_before: readonly number[];
  readonly others_before: number | undefined;
  readonly others_during: number | undefined;
}

export function surroundings(gpu: Gpu): Surroundings {
  const c = gpu.capabilities;
  const processors = cpus();
  return {
    adapter: {
      name: c.name,
      vendor: c.vendor,
      architecture: c.architecture,
      driver: c.description,
      kind: c.kind,
      featureLevel: c.featureLevel,
      origin: gpu.device.origin,
      subgroups: c.subgroups ?? null,
      f16: c.f16,
      timestamps: c.timestamps,
      limits: { ...c.limits },
    },
    runtime: runtime(),
    machine: {
      os: `${platform()} ${arch()}`,
      cpu: processors[0]?.model.trim() ?? "unknown",
      cores: processors.length,
      memory_bytes: totalmem(),
    },
    date: new Date().toISOString(),
  };
}

/** The JavaScript runtime and its version. */
export function runtime(): { readonly name: string; readonly version: string } {
  for (const name of ["bun", "deno"]) {
    const version = process.versions[name];
    if (version !== undefined) return { name, version };
  }
  return { name: "node", version: process.versions.node };
}

/** Variables that say how fast things are. */
const VARIABLES = /^(TILESTATE_|LP_|MESA_|GALLIUM_|VK_|DAWN_|NODE_OPTIONS$|UV_THREADPOOL_SIZE$|BUN_|DENO_V8_FLAGS$)/;

/** Those that are set here, among them what the runtime set when it opened the GPU. */
export function variables(): Facts {
  const set = Object.entries(process.env).filter(([name]) => VARIABLES.test(name));
  return Object.fromEntries(set.map(([name, value]) => [name, value ?? ""]));
}

/** CPU milliseconds that this thread has used, also in native code; undefined where nobody tells. */
export function threadCpu(): number | undefined {
  try {
    // Nanoseconds, where the kernel keeps scheduling statistics; reading happens on the thread that asks.
    return Number(readFileSync("/proc/thread-self/schedstat", "utf8").split(" ")[0]) / 1e6;
  } catch {
    const usage = (process as { threadCpuUsage?: () => { user: number; system: number } }).threadCpuUsage?.();
    return usage === undefined ? undefined : (usage.user + usage.system) / 1000;
  }
}

/** CPU milliseconds of all threads of this process. */
export function processCpu(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** Milliseconds that all cores together were busy, with whatever program; undefined where there is no /proc. */
export function busyTime(stat?: string): number | undefined {
  let text: string;
  try {
    text = stat ?? readFileSync("/proc/stat", "utf8");
  } catch {
    return undefined;
  }
  // cpu user nice system idle iowait irq softirq steal; in ticks of 10 ms.
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = (text.split("\n")[0] ?? "")
    .trim()
    .split(/\s+/)
    .slice(1)
    .map(Number);
  return (user + nice + system + irq + softirq + steal) * 10;
}

interface Look {
  readonly at: number;
  readonly busy: number | undefined;
  readonly own: number;
}

/** Watches what other programs take. */
export class LoadWatch {
  readonly #averages: readonly number[] = loadavg();
  #before: number | undefined;
  #start: Look = look();

  /** Looks at an idle stretch first, so that what was there before can be told from what came. */
  static async begin(milliseconds = 200): Promise<LoadWatch> {
    const watch = new LoadWatch();
    await new Promise((done) => setTimeout(done, milliseconds));
    watch.#before = others(watch.#start, look());
    watch.#start = look();
    return watch;
  }

  /** `more` are CPU milliseconds of other processes that are not others': those that took part in the measurement. */
  end(more = 0): Load {
    const now = look();
    return {
      averages_before: this.#averages,
      others_before: this.#before,
      others_during: others(this.#start, { ...now, own: now.own + more }),
    };
  }
}

function look(): Look {
  return { at: performance.now(), busy: busyTime(), own: processCpu() };
}

/** Cores that others kept busy between two looks. */
function others(a: Look, b: Look): number | undefined {
  if (a.busy === undefined || b.busy === undefined || b.at <= a.at) return undefined;
  return Math.max(0, (b.busy - a.busy - (b.own - a.own)) / (b.at - a.at));
}
