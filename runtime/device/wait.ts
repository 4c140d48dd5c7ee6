/**
 * Waiting for the GPU without burning a core.
 *
 * While one of Dawn's promises is pending, its Node binding asks for events in every turn of the event loop, which keeps a whole core busy: on a software
 * adapter that core is taken from the kernels. So nothing is asked for until most of the time that the same work took last time has passed (timers run, the
 * event loop stays free), and then the promise is polled in short sleeps with one turn of the loop between. Browsers and given devices just await.
 *
 * "Last time" is the shortest of the last three: who sleeps too long because something else once kept the machine busy leaves the GPU without work, and who looks
 * too early only pays for a few polls.
 *
 * Sleeping blocks the event loop, and whatever else the program serves on it. A device that was opened with `waiting: "yield"` sleeps less than a millisecond in
 * each turn of the loop, whoever waits for what, and leaves the rest to timers.
 *
 * Polls are not free: for each of them the binding makes a function whose memory, outside of the JavaScript heap too, comes back only with a collection of old
 * objects, and in Node that is rare enough for a process to grow by 25 MiB. So there are few where being late costs nothing, because other work follows.
 */
import type { Device } from "./device.ts";
import type { Ear, Verdict } from "./failures.ts";
import { owned } from "./scopes.ts";

/** Sleeps below this are not worth a call. */
const SHORTEST_MS = 0.05;
const FIRST_STEP_MS = 0.1;
/** Longest rest, before the time was seen a few times and after: the first may have been spent on compiling. */
const MOST_REST_MS = { new: 25, known: 400 } as const;
const REMEMBERED = 3;
/** Timers are late by up to this; the rest is slept precisely. */
const TIMER_SLACK_MS = 1.5;

/**
 * What matters when waiting: to be there soon, or to ask seldom. `rest` is the share of the foreseen time that nobody asks in, `early` what a wait without any
 * poll counts for, and a sleep between two polls is `share` of what was waited, and at most `most` milliseconds.
 */
const MANNERS = {
  /** Nothing else is under way: whoever is late leaves the adapter idle. */
  alone: { rest: 0.9, early: 0.7, share: 0.02, most: 1 },
  /** Work that was submitted later keeps the adapter busy meanwhile. */
  followed: { rest: 1, early: 0.85, share: 0.08, most: 4 },
} as const;

/** What a wait does to the event loop: sleeps as long as it suits, or lets others have it at least once a millisecond. */
export type Waiting = "block" | "yield";

/** Milliseconds that an event loop which serves others is blocked in one turn: a sleep may be a little longer than asked for. */
const YIELDING_MS = 0.8;

/** Whether other work comes after what is waited for. */
export type Company = keyof typeof MANNERS;

/** How long work of one kind takes, learnt from doing it. Amounts are in any unit; work takes time in proportion to its amount. */
export class Pace {
  /** Milliseconds for one unit that the last waits should have taken, newest first. */
  #recent: readonly number[] = [];
  readonly #company: Company;

  constructor(company: Company = "alone") {
    this.#company = company;
  }

  /** Milliseconds to rest before asking. */
  rest(amount = 1): number {
    if (this.#recent.length === 0) return 0;
    const most = this.#recent.length < REMEMBERED ? MOST_REST_MS.new : MOST_REST_MS.known;
    return Math.min(MANNERS[this.#company].rest * Math.min(...this.#recent) * amount, most);
  }

  /** @param elapsed milliseconds from the start of the wait to its end. @param polls sleeps that were needed after the rest. */
  observe(elapsed: number, polls: number, amount = 1): void {
    // Without a single poll the work was done before we looked, so how early is unknown: look earlier next time.
    const took = polls === 0 ? elapsed * MANNERS[this.#company].early : elapsed;
    this.#recent = [took / amount, ...this.#recent].slice(0, REMEMBERED);
  }

  /** Milliseconds to sleep between two polls: short against what has been waited already. */
  step(waited: number): number {
    const { share, most } = MANNERS[this.#company];
    return Math.min(most, Math.max(FIRST_STEP_MS, waited * share));
  }
}

/** Work whose pace its waiter keeps, and how much of it there is. */
export interface Paced {
  readonly pace: Pace;
  readonly amount: number;
}

/**
 * Awaits what `start` returns, at the pace of such work: the given one, or the one that the device keeps under a name. `start` is called late, when the work should
 * nearly be done, so it must only ask for a result (`onSubmittedWorkDone`, `mapAsync`) and not begin the work.
 */
export async function patiently<T>(device: Device, work: string | Paced, start: () => Promise<T>): Promise<T> {
  if (!device.paced) return device.owe(start());
  const { pace, amount } = typeof work === "string" ? { pace: device.pace(work), amount: 1 } : work;
  const begun = performance.now();
  await rest(pace.rest(amount), device.waiting);
  device.assertOpen();
  let settled = false;
  const mark = (): void => {
    settled = true;
  };
  const promise = device.owe(start());
  promise.then(mark, mark);
  let polls = 0;
  await turn();
  while (!settled) {
    doze(pace.step(performance.now() - begun), device.waiting);
    polls++;
    await turn();
  }
  pace.observe(performance.now() - begun, polls, amount);
  return promise;
}

/**
 * Waits until all submitted work is done. Work of different lengths waits best under different keys.
 * @param verdict what the GPU thinks of the work that is waited for, where that is known: then only its failure is thrown.
 * @throws that failure, or else what nobody has heard of yet; what belongs to everybody; and when the device was lost.
 */
export async function settle(device: Device, key = "settle", verdict?: Verdict): Promise<void> {
  device.assertOpen();
  await device.failures.listening(async (ear) => {
    const done = patiently(device, key, () => device.raw.queue.onSubmittedWorkDone());
    const [outcome] = await Promise.allSettled([done]);
    await blame(device, ear, outcome.status === "rejected" ? outcome.reason : undefined, async () => {
      if (verdict !== undefined) return verdict;
      await device.failures.settled();
      return device.failures.unheard();
    });
  });
}

/**
 * Copies `bytes` (a multiple of 4) out of a MAP_READ buffer into which submitted work writes, and leaves the buffer unmapped.
 * @param failure looks for what went wrong with that work. Nobody else's failure is thrown.
 * @throws that failure, what belongs to everybody, and when the device was lost.
 */
export async function readBack(
  device: Device,
  staging: GPUBuffer,
  bytes: number,
  work: string | Paced = "readBack",
  failure: () => Verdict = async () => undefined,
): Promise<ArrayBuffer> {
  device.assertOpen();
  return device.failures.listening(async (ear) => {
    let mapping: Verdict = Promise.resolve(undefined);
    const read = async (): Promise<ArrayBuffer> => {
      await patiently(device, work, () => {
        const { value, verdict } = owned(device, "mapping a buffer", () => staging.mapAsync(MAP_READ, 0, bytes));
        mapping = verdict;
        return value;
      });
      const copy = staging.getMappedRange(0, bytes).slice(0);
      staging.unmap();
      return copy;
    };
    const [outcome] = await Promise.allSettled([read()]);
    await blame(
      device,
      ear,
      outcome.status === "rejected" ? outcome.reason : undefined,
      async () => (await failure()) ?? mapping,
    );
    return (outcome as PromiseFulfilledResult<ArrayBuffer>).value;
  });
}

/** Throws the cause of a failed wait: that of the work itself says more than "mapping failed", and a loss explains whatever came of it. */
async function blame(device: Device, ear: Ear, thrown: unknown, failure: () => Verdict): Promise<void> {
  const own = await failure();
  if (thrown !== undefined || own !== undefined) await device.isGone();
  if (own !== undefined && device.isOpen) throw own;
  device.assertOpen();
  const [shared] = ear.errors;
  if (shared !== undefined) throw shared;
  if (thrown !== undefined) throw thrown;
}

const MAP_READ = 1;
const idle: Int32Array | undefined =
  typeof SharedArrayBuffer === "undefined" ? undefined : new Int32Array(new SharedArrayBuffer(4));

/** Milliseconds that devices which yield have slept in this turn of the event loop, all together. */
let slept = 0;

/** Blocks this thread, precisely; where it serves others, not for long in any turn of the event loop. */
function doze(ms: number, waiting: Waiting): void {
  if (idle === undefined) return;
  const least = waiting === "block" ? ms : Math.min(ms, YIELDING_MS - slept);
  if (least < SHORTEST_MS) return;
  if (waiting === "yield") slept += least;
  Atomics.wait(idle, 0, 0, least);
}

/** Sleeps `ms`: with a timer as far as timers are exact enough, then blocked. Who yields asks early instead. */
async function rest(ms: number, waiting: Waiting): Promise<void> {
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
