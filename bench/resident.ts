/**
 * What a process keeps in memory: its resident bytes after the runtime was told that memory is scarce.
 *
 * Engines keep room for garbage to come, pages that were in use once, and code that loading ran; how much depends on
 * when they last collected. V8 alone was seen to hold 17 to 47 MiB for the same 13 of live objects. Whether a program
 * grows shows only without that, looked at in the same way each time.
 */
import type { Session } from "node:inspector";

/** Resident bytes: as the process stood, and what it kept when asked to give back. */
export interface Resident {
  readonly standing: number;
  readonly kept: number;
}

/** Milliseconds between two looks. */
const LOOK_MS = 250;
/** Falls by less than this share are noise. */
const FALL = 0.002;
/** Looks at most, however it falls. */
const MOST_LOOKS = 480;

/**
 * Asks the runtime to give back, and looks until memory has not fallen for `settle` seconds. Engines give back when
 * they are idle, allocators some time later, and threads that the runtime keeps for itself (Node's loader of modules is
 * one) later still: 14 seconds after loading were seen.
 */
export async function resident(settle: number): Promise<Resident> {
  const standing = process.memoryUsage.rss();
  let kept = standing;
  let quiet = 0;
  for (let i = 0; i < MOST_LOOKS && quiet * LOOK_MS < settle * 1000; i++) {
    await giveBack(i);
    await new Promise((next) => setTimeout(next, LOOK_MS));
    const now = process.memoryUsage.rss();
    quiet = now < kept * (1 - FALL) ? 0 : quiet + 1;
    kept = Math.min(kept, now);
  }
  return { standing, kept };
}

/** Asks the runtime once more. */
async function giveBack(times: number): Promise<void> {
  const { Bun } = globalThis as { Bun?: { gc(force: boolean): void; shrink(): void } };
  if (Bun !== undefined) {
    // The one drops code, once idle, and the other returns pages; each leaves something to the other.
    if (times % 2 === 0) Bun.shrink();
    else Bun.gc(true);
    return;
  }
  // V8's answer to low memory. `gc` would need a flag, and leaves the room for young objects as it is.
  v8 ??= await openSession();
  // Nobody waits for the answer: Deno ends a program that waits for nothing else.
  v8.post("HeapProfiler.collectGarbage");
}

let v8: Session | undefined;

async function openSession(): Promise<Session> {
  const session = new (await import("node:inspector")).Session();
  session.connect();
  return session;
}
