/**
 * Threads of Mesa's software adapter: two for each core of a small machine.
 *
 * lavapipe cuts a dispatch into as many equal parts as it has threads, one for each core unless told. A core that had nothing to do wakes up late, 50 us and
 * more on a virtual machine, as long as a kernel of a decode step takes: the first thread is done with its half by then and does the other one too, and one core
 * of two idles. With more parts than cores whoever is awake takes more of them: measured on 2 cores, decoding is 15 to 28 % faster with 4 threads than with 2,
 * and 3, 6 and 8 are no better. Prompts, whose dispatches are long, lose a few percent. LP_NUM_THREADS, Mesa's own variable, decides where the user has set it.
 */
import { env, onServer } from "./env.ts";

const VARIABLE = "LP_NUM_THREADS";
/** From so many cores on the parts are small anyway. */
const MANY_CORES = 8;

/** Threads to ask lavapipe for on a machine of so many cores; undefined to leave it at its own choice. */
export function softwareThreads(cores: number): number | undefined {
  return cores > 1 && cores < MANY_CORES ? 2 * cores : undefined;
}

/** To be called before Mesa's driver is loaded: it looks at the variable once. Workers leave the environment alone, which other threads may be reading. */
export async function chooseSoftwareThreads(): Promise<void> {
  if (!onServer() || process.platform !== "linux" || env(VARIABLE) !== undefined) return;
  if (!process.getBuiltinModule("node:worker_threads").isMainThread) return;
  const threads = softwareThreads(process.getBuiltinModule("node:os").availableParallelism());
  if (threads === undefined) return;
  try {
    process.env[VARIABLE] = `${threads}`;
    if (process.versions.bun !== undefined) await setForLibraries(VARIABLE, `${threads}`);
  } catch {
    // Not allowed to here: everything works with the driver's own choice.
  }
}

/** Bun keeps changes of the environment to itself, so the C library has to be told where drivers ask. */
async function setForLibraries(name: string, value: string): Promise<void> {
  // A variable, so that bundlers and other runtimes do not follow the import.
  const specifier = "bun:ffi";
  const { dlopen } = (await import(/* @vite-ignore */ specifier)) as typeof import("bun:ffi");
  const { symbols, close } = dlopen("libc.so.6", { setenv: { args: ["buffer", "buffer", "i32"], returns: "i32" } });
  const text = (s: string): Uint8Array => new TextEncoder().encode(`${s}\0`);
  symbols.setenv(text(name), text(value), 1);
  close();
}
