/**
 * Waiting for the GPU without burning a core.
 *
 * While one of Dawn's promises is pending, its Node binding asks for events in every turn of the event loop, which
 * keeps a whole core busy: on a software adapter that core is taken from the kernels. So nothing is asked for until
 * most of the time that the same work took last time has passed (timers run, the event loop stays free), and then the
 * promise is polled in short sleeps with one turn of the loop between. Browsers and given devices just await.
 *
 * Sleeping blocks the event loop, and whatever else the program serves on it. A device that was opened with
 * `waiting: "yield"` sleeps less than a millisecond in each turn of the loop, whoever waits for what, and leaves the
 * rest to timers.
 *
 * Polls are not free: for each of them the binding makes a function whose memory, outside of the JavaScript heap too,
 * comes back only with a collection of old objects, and in Node that is rare enough for a process to grow by 25 MiB. So
 * there are few where being late costs nothing, because other work follows.
 */
import type { Ear, Failures, Verdict } from "./failures.ts";
import type { Pace } from "./pace.ts";
import { doze, rest, turn, type Waiting } from "./sleep.ts";

/** What waiting needs to know of a device. */
export interface Waitable {
  readonly raw: Pick<GPUDevice, "queue">;
  readonly failures: Failures;
  /** False where promises may simply be awaited. */
  readonly paced: boolean;
  readonly waiting: Waiting;
  readonly isOpen: boolean;
  /** Compute pipelines made so far. */
  readonly pipelines: number;
  assertOpen(): void;
  isGone(): Promise<boolean>;
  owe<T>(promise: Promise<T>): Promise<T>;
  pace(key: string): Pace;
}

/** Work whose pace its waiter keeps, and how much of it there is. */
export interface Paced {
  readonly pace: Pace;
  readonly amount: number;
}

/**
 * Awaits what `start` returns, at the pace of such work: the given one, or the one that the device keeps under a name.
 * `start` is called late, when the work should nearly be done, so it must only ask for a result (`onSubmittedWorkDone`,
 * `mapAsync`) and not begin the work.
 */
export async function patiently<T>(device: Waitable, work: string | Paced, start: () => Promise<T>): Promise<T> {
  if (!device.paced) return device.owe(start());
  const { pace, amount } = typeof work === "string" ? { pace: device.pace(work), amount: 1 } : work;
  const telling = pace.isSettled(device.pipelines);
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
  if (telling) pace.observe(performance.now() - begun, polls, amount);
  return promise;
}

/**
 * Waits until all submitted work is done. Work of different lengths waits best under different keys.
 * @param verdict what the GPU thinks of the work that is waited for, where that is known: then only its failure is
 *   thrown.
 * @throws that failure, or else what nobody has heard of yet; what belongs to everybody; and when the device was lost.
 */
export async function settle(device: Waitable, key = "settle", verdict?: Verdict): Promise<void> {
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
 * Throws the cause of a failed wait: that of the work itself says more than "mapping failed", and a loss explains
 * whatever came of it.
 */
export async function blame(device: Waitable, ear: Ear, thrown: unknown, failure: () => Verdict): Promise<void> {
  const own = await failure();
  if (thrown !== undefined || own !== undefined) await device.isGone();
  if (own !== undefined && device.isOpen) throw own;
  device.assertOpen();
  const [shared] = ear.errors;
  if (shared !== undefined) throw shared;
  if (thrown !== undefined) throw thrown;
}
