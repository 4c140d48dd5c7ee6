/**
 * Sleeping in this thread: precisely with `Atomics.wait`, roughly with timers, and one turn of the event loop at a
 * time. What a sleep does to whatever else the program serves on the event loop is the caller's choice (`Waiting`).
 */

/** Sleeps below this are not worth a call. */
const SHORTEST_MS = 0.05;
/** Timers are late by up to this; the rest is slept precisely. */
const TIMER_SLACK_MS = 1.5;

/**
 * What a wait does to the event loop: sleeps as long as it suits, or lets others have it at least once a millisecond.
 */
export type Waiting = "block" | "yield";

/**
 * Milliseconds that an event loop which serves others is blocked in one turn: a sleep may be a little longer than asked
 * for.
 */
const YIELDING_MS = 0.8;

const idle: Int32Array | undefined =
  typeof SharedArrayBuffer === "undefined" ? undefined : new Int32Array(new SharedArrayBuffer(4));

/** Milliseconds that devices which yield have slept in this turn of the event loop, all together. */
let slept = 0;

/** Blocks this thread, precisely; where it serves others, not for long in any turn of the event loop. */
export function doze(ms: number, waiting: Waiting): void {
  if (idle === undefined) return;
  const least = waiting === "block" ? ms : Math.min(ms, YIELDING_MS - slept);
  if (least < SHORTEST_MS) return;
  if (waiting === "yield") slept += least;
  Atomics.wait(idle, 0, 0, least);
}

/** Sleeps `ms`: with a timer as far as timers are exact enough, then blocked. Who yields asks early instead. */
export async function rest(ms: number, waiting: Waiting): Promise<void> {
  const until = performance.now() + ms;
  if (ms > 2 * TIMER_SLACK_MS) await new Promise((wake) => setTimeout(wake, ms - TIMER_SLACK_MS));
  const left = until - performance.now();
  if (left > SHORTEST_MS) doze(left, waiting);
}

let next: Promise<void> | undefined;

/** One turn of the event loop, in which Dawn delivers what is ready. All who wait for one wake up in the same. */
export function turn(): Promise<void> {
  next ??= new Promise((wake) => {
    const now = (): void => {
      next = undefined;
      slept = 0;
      wake();
    };
    if (typeof setImmediate === "function") setImmediate(now);
    else setTimeout(now);
  });
  return next;
}
