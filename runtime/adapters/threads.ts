/**
 * Threads of Mesa's software adapter: two for each core of a small machine.
 *
 * lavapipe cuts a dispatch into as many equal parts as it has threads, one for each core unless told. A core that had
 * nothing to do wakes up late, 50 us and more on a virtual machine, as long as a kernel of a decode step takes: the
 * first thread is done with its half by then and does the other one too, and one core of two idles. With more parts
 * than cores whoever is awake takes more of them: measured on 2 cores, decoding is 15 to 28 % faster with 4 threads
 * than with 2, and 3, 6 and 8 are no better. Prompts, whose dispatches are long, lose a few percent. LP_NUM_THREADS,
 * Mesa's own variable, decides where the user has set it.
 *
 * The variable is the process's, and every library in it that loads Mesa's driver reads it. So nobody is given threads
 * who did not ask for them.
 */
import { env, onServer } from "../common/env.ts";
import { UserError } from "../common/errors.ts";
import { TRAITS } from "./traits.ts";

const VARIABLE = "LP_NUM_THREADS";
/** From so many cores on the parts are small anyway. */
const MANY_CORES = 8;

/** Threads to ask lavapipe for on a machine of so many cores; undefined to leave it at its own choice. */
export function softwareThreads(cores: number): number | undefined {
  return cores > 1 && cores < MANY_CORES ? TRAITS.lavapipe.threadsPerCore * cores : undefined;
}

/** Threads for Mesa's software adapter: a number, or "auto" for what decoding is fastest with. */
export type Threads = number | "auto";

const MOST_THREADS = 256;

/** What this process has asked the driver for. */
let asked: string | undefined;

/**
 * Asks for threads; to be called before Mesa's driver is loaded, which looks once. Gives a sentence for the user where
 * it cannot be done.
 * @throws UserError for what is no number of threads.
 */
export async function chooseSoftwareThreads(threads: Threads | undefined): Promise<string | undefined> {
  if (threads === undefined || !onServer()) return undefined;
  if (threads !== "auto" && !(Number.isInteger(threads) && threads >= 1 && threads <= MOST_THREADS))
    throw new UserError(`threads must be "auto" or a whole number from 1 to ${MOST_THREADS}, got ${String(threads)}`);
  const { availableParallelism } = process.getBuiltinModule("node:os");
  const count = threads === "auto" ? softwareThreads(availableParallelism()) : threads;
  if (count === undefined) return undefined;
  const wanted = `${count}`;
  const set = env(VARIABLE);
  // What the user set counts, and what was asked for before has been read.
  if (set !== undefined) return set === asked && set !== wanted ? late(wanted, set) : undefined;
  const problem = await request(wanted);
  if (problem === undefined) {
    asked = wanted;
    return undefined;
  }
  return `The software adapter was not asked for ${wanted} threads: ${problem}. Start the program with ${VARIABLE}=${wanted}.`;
}

function late(wanted: string, before: string): string {
  return `The software adapter keeps the ${before} threads that it was first asked for; ${wanted} would need a new process.`;
}

/** Sets the variable for this process and its libraries; what is in the way, if anything is. */
async function request(count: string): Promise<string | undefined> {
  // Other threads may be reading the environment.
  if (!process.getBuiltinModule("node:worker_threads").isMainThread) return "a worker does not change the environment";
  try {
    process.env[VARIABLE] = count;
    if (process.versions.bun !== undefined) await setForLibraries(VARIABLE, count);
    return undefined;
  } catch (error) {
    try {
      delete process.env[VARIABLE];
    } catch {
      // Then it was never set.
    }
    return `the environment cannot be changed here (${(error as Error).message.split("\n", 1)[0]})`;
  }
}

/** The C library by the names that it has with glibc and with musl. */
const C_LIBRARIES: readonly string[] = ["libc.so.6", "libc.so", "libc.musl-x86_64.so.1", "libc.musl-aarch64.so.1"];

/**
 * Bun keeps changes of the environment to itself, so the C library has to be told where drivers ask. Throws where it
 * cannot be.
 */
async function setForLibraries(name: string, value: string): Promise<void> {
  // A variable, so that bundlers and other runtimes do not follow the import.
  const specifier = "bun:ffi";
  const { dlopen } = (await import(/* @vite-ignore */ specifier)) as typeof import("bun:ffi");
  const text = (s: string): Uint8Array => new TextEncoder().encode(`${s}\0`);
  let problem: unknown;
  for (const library of C_LIBRARIES) {
    try {
      const { symbols, close } = dlopen(library, { setenv: { args: ["buffer", "buffer", "i32"], returns: "i32" } });
      const failed = symbols.setenv(text(name), text(value), 1);
      close();
      if (failed === 0) return;
      problem = new Error(`setenv gave ${failed}`);
    } catch (error) {
      problem ??= error;
    }
  }
  throw problem;
}
