/**
 * Keeps what native code prints from the user's terminal.
 *
 * Dawn warns on standard error whenever it looks at adapters: about limits that it lowers, which concerns nobody who
 * uses it, and about a Vulkan that is not there, where we say so ourselves and go on with the embedded adapter. It has
 * no switch for that, and drivers print as they like. So while such a call runs (it does not return before it has
 * printed) the process's standard error is a place where nothing is kept. TILESTATE_DRIVER_LOG=on leaves it as it is.
 */
import { env, onServer } from "../common/env.ts";

/** Calls a function whose native code may print. */
export type Hush = <T>(call: () => T) => T;

/** The C library's functions; a Node without koffi has none. */
interface Descriptors {
  dup(fd: number): number;
  dup2(from: number, to: number): number;
  close(fd: number): number;
}

const STANDARD_ERROR = 2;
const openly: Hush = (call) => call();
let made: Promise<Hush> | undefined;

/** What to make calls through that look at adapters. Where the system cannot be asked, it calls them openly. */
export async function hushing(): Promise<Hush> {
  if (!onServer() || process.platform === "win32" || env("TILESTATE_DRIVER_LOG") === "on") return openly;
  made ??= descriptors().then((found) => (found === undefined ? openly : throughNothing(found)));
  return made;
}

function throughNothing({ dup, dup2, close }: Descriptors): Hush {
  const { openSync, closeSync } = process.getBuiltinModule("node:fs");
  return (call) => {
    let nothing: number;
    try {
      nothing = openSync("/dev/null", "w");
    } catch {
      return call();
    }
    const kept = dup(STANDARD_ERROR);
    try {
      // A process may have been started without a standard error: then there is nothing to keep from it, and nothing to
      // put back.
      if (kept >= 0) dup2(nothing, STANDARD_ERROR);
      return call();
    } finally {
      if (kept >= 0) {
        dup2(kept, STANDARD_ERROR);
        close(kept);
      }
      closeSync(nothing);
    }
  };
}

async function descriptors(): Promise<Descriptors | undefined> {
  // A variable, so that bundlers do not follow the import.
  const specifier = "koffi";
  try {
    const { default: koffi } = (await import(/* @vite-ignore */ specifier)) as typeof import("koffi");
    // The process itself: it has a C library, whatever its name is.
    const library = koffi.load(null);
    return {
      dup: library.func("int dup(int)") as Descriptors["dup"],
      dup2: library.func("int dup2(int, int)") as Descriptors["dup2"],
      close: library.func("int close(int)") as Descriptors["close"],
    };
  } catch {
    return undefined;
  }
}
