/**
 * Pace: an estimate of how long work of one kind takes, learnt from the waits for it. In go the durations that were
 * seen, out come milliseconds to rest before the first poll and between two.
 *
 * "Last time" is the shortest of the last three: who sleeps too long because something else once kept the machine busy
 * leaves the GPU without work, and who looks too early only pays for a few polls. Drivers compile when a kernel first
 * runs, so a wait says nothing of the next one if pipelines were made since the same work was last waited for.
 */

const FIRST_STEP_MS = 0.1;
/** Longest rest, before the time was seen a few times and after: the first may have been spent on compiling. */
const MOST_REST_MS = { new: 25, known: 400 } as const;
const REMEMBERED = 3;

/**
 * What matters when waiting: to be there soon, or to ask seldom. `rest` is the share of the foreseen time that nobody
 * asks in, `early` what a wait without any poll counts for, and a sleep between two polls is `share` of what was
 * waited, and at most `most` milliseconds.
 */
const MANNERS = {
  /** Nothing else is under way: whoever is late leaves the adapter idle. */
  alone: { rest: 0.9, early: 0.7, share: 0.02, most: 1 },
  /** Work that was submitted later keeps the adapter busy meanwhile. */
  followed: { rest: 1, early: 0.85, share: 0.08, most: 4 },
} as const;

/** Whether other work comes after what is waited for. */
export type Company = "alone" | "followed";

/**
 * How long work of one kind takes, learnt from doing it. Amounts are in any unit; work takes time in proportion to its
 * amount.
 */
export class Pace {
  /** Milliseconds for one unit that the last waits should have taken, newest first. */
  #recent: readonly number[] = [];
  /** Pipelines that the device had made when such work was last waited for. */
  #pipelines = 0;
  readonly #company: Company;

  /**
   * Starts without any memory.
   * @param company whether other work follows what is waited for
   */
  constructor(company: Company = "alone") {
    this.#company = company;
  }

  /**
   * Milliseconds to rest before asking.
   * @param amount units of the work
   */
  rest(amount = 1): number {
    if (this.#recent.length === 0) return 0;
    const most = this.#recent.length < REMEMBERED ? MOST_REST_MS.new : MOST_REST_MS.known;
    return Math.min(MANNERS[this.#company].rest * Math.min(...this.#recent) * amount, most);
  }

  /**
   * Learns from a wait.
   * @param elapsed milliseconds from the start of the wait to its end
   * @param polls sleeps that were needed after the rest
   * @param amount units of the work
   */
  observe(elapsed: number, polls: number, amount = 1): void {
    // Without a single poll the work was done before we looked, so how early is unknown: look earlier next time.
    const took = polls === 0 ? elapsed * MANNERS[this.#company].early : elapsed;
    this.#recent = [took / amount, ...this.#recent].slice(0, REMEMBERED);
  }

  /**
   * Has nothing been compiled since such work was last waited for?
   * @param pipelines pipelines made on the device so far
   */
  isSettled(pipelines: number): boolean {
    const settled = pipelines === this.#pipelines;
    this.#pipelines = pipelines;
    return settled;
  }

  /**
   * Milliseconds to sleep between two polls: short against what has been waited already.
   * @param waited milliseconds since the wait began
   */
  step(waited: number): number {
    const { share, most } = MANNERS[this.#company];
    return Math.min(most, Math.max(FIRST_STEP_MS, waited * share));
  }
}
