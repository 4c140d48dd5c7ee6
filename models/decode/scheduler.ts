/**
 * Generation: steps for all sequences at once, in bursts, and each sequence's tokens to its reader.
 *
 * A burst is one submission of several steps; the next one is under way while its tokens are handed out. Bursts grow
 * until readers get tokens about every 50 ms, and further while nobody waits. What a sequence does not need of a burst
 * goes by without effect, since the sequence came to rest on the GPU. Nothing runs unless somebody reads.
 *
 * A burst that fails is the failure of each text in it, whoever waited for it, and of no other: a text has all its
 * tokens up to the burst, and then the error. Texts that were at rest meanwhile, or came later, go on: they are told
 * anew which step comes next when they do.
 */

import { owned } from "../../runtime/device/scopes.ts";
import { type Device, type Gpu, Pace, type Plan } from "../../runtime/index.ts";
import type { Sequence } from "../cache/sequence.ts";
import { FEED, POSITION, RESTS, TICK } from "../kernels/feed.ts";
import type { Rows } from "./record.ts";
import { LogitsError } from "./sampling.ts";
import { BURST, RING } from "./workspace.ts";

/** Time between two deliveries that a reader takes for a stream, and between two that nobody waits for. */
const SMOOTH_MS = 50;
const PATIENT_MS = 400;
/** Tokens that may wait for their reader before the sequence pauses. */
const MOST_WAITING = 64;

/** One text that is being written. */
export interface Track {
  readonly row: number;
  /** What is written on, in that row of the state. */
  readonly sequence: Sequence;
  readonly stop: ReadonlySet<number>;
  /** Ids from here on are none. */
  readonly vocab: number;
  /** Tokens that nobody has taken yet. */
  readonly waiting: number[];
  /** Tokens to come, at most. */
  left: number;
  ended: boolean;
  /** Why it ended before its end: thrown once the tokens before that are taken. */
  failed?: Error;
  /** At rest on the GPU because its reader is slow. */
  paused: boolean;
}

/**
 * Steps on their way, where the ids of each of them will lie, and how many there will be; rejected when anything went
 * wrong with them.
 */
interface Flight {
  readonly steps: number;
  readonly tracks: readonly Track[];
  readonly submitted: number;
  readonly picked: Promise<ArrayLike<number>>;
  readonly ids: number;
  readonly place: (step: number, track: Track) => number;
}

/** Bursts under way at once: one that is waited for, and one that keeps the adapter busy meanwhile. */
const BURSTS = 2;

/**
 * Makes the buffers that ids are read through, so that none is made later: for all bursts under way, of any size, and a
 * first token of each sequence.
 */
export function reserve({ device }: Pick<Gpu, "device">, sequences: number): void {
  const reads = new Array<number>(sequences).fill(4);
  for (let bytes = 4; bytes < 8 * BURST * sequences; bytes *= 2) reads.push(...new Array<number>(BURSTS).fill(bytes));
  const taken = reads.map((bytes) => device.takeStaging(bytes));
  for (const buffer of taken) device.returnStaging(buffer);
}

/**
 * Tokens that are read back, and what the GPU thinks of the work that chose them. Throws what went wrong with either.
 */
async function both(read: Promise<ArrayLike<number>>, verdict: Promise<Error | undefined>): Promise<ArrayLike<number>> {
  const [ids, failure] = await Promise.allSettled([read, verdict]);
  if (failure.status === "fulfilled" && failure.value !== undefined) throw failure.value;
  if (ids.status === "rejected") throw ids.reason;
  return ids.value;
}

export class Stream {
  readonly #device: Device;
  readonly #plan: Plan;
  readonly #rows: Rows;
  readonly #sequences: number;
  /** Throws when the decoder is no more. */
  readonly #assertLive: () => void;
  readonly #tracks: Set<Track> = new Set();
  readonly #flights: Flight[] = [];
  /** How long steps take. */
  readonly #steps: Pace = new Pace("followed");
  #turning: Promise<void> | undefined;
  /** Steps so far, as `choose` counts them. */
  #tick = 0;
  #burst = 1;
  /** When the last burst came in. */
  #last = 0;

  constructor(plan: Plan, rows: Rows, assertLive: () => void) {
    this.#device = rows.state.feed.device;
    this.#plan = plan;
    this.#rows = rows;
    this.#sequences = rows.state.sequences;
    this.#assertLive = assertLive;
  }

  get tick(): number {
    return this.#tick;
  }

  /**
   * A text joins: its prompt is read, and `begin` submits the choice of its first token and reads it. If that is chosen
   * on these very rows (`here`), it counts as a step. What goes wrong with it is the text's failure.
   */
  join(track: Track, begin: () => Promise<ArrayLike<number>>, here: boolean): void {
    const picked = this.#submit("the first token of a text", begin);
    if (here) this.#tick = (this.#tick + 1) % RING;
    this.#tracks.add(track);
    this.#burst = 1;
    this.#send({ steps: 1, tracks: [track], submitted: 0, picked, ids: 1, place: () => 0 });
  }

  /** Work that ends in a read. Whatever becomes of it is in the result. */
  async #submit(what: string, work: () => Promise<ArrayLike<number>>): Promise<ArrayLike<number>> {
    const { value, verdict } = owned(this.#device, what, work);
    return both(value, verdict);
  }

  /** Bursts under way; first tokens are none. */
  get #bursts(): number {
    return this.#flights.filter((f) => f.submitted > 0).length;
  }

  /** Sends off a burst if there is anything to do for it. */
  #push(): boolean {
    const awaited = (t: Track): number =>
      this.#flights.reduce((n, f) => n - (f.tracks.includes(t) ? f.steps : 0), t.left);
    for (const t of this.#tracks) this.#pace(t);
    const tracks = [...this.#tracks].filter((t) => !t.ended && !t.paused && awaited(t) > 0);
    const most = Math.max(0, ...tracks.map(awaited));
    const steps = Math.min(this.#burst, most, RING - this.#tick);
    if (steps <= 0) return false;
    const chain = { after: this.#flights.at(-1)?.picked, pace: this.#steps };
    const ids = steps * this.#sequences;
    const picked = this.#submit(`${steps} steps`, () => {
      this.#plan.run(steps);
      return this.#rows.own.picked.readRange(this.#tick * this.#sequences, ids, chain);
    });
    const place = (step: number, { row }: Track): number => step * this.#sequences + row;
    this.#send({ steps, tracks, submitted: performance.now(), picked, ids, place });
    this.#tick = (this.#tick + steps) % RING;
    return true;
  }

  #send(flight: Flight): void {
    // Whoever waits for it hears of a failure; nobody may be there any more.
    flight.picked.catch(() => {});
    this.#flights.push(flight);
  }

  /**
   * The next token of a text; undefined at its end. Throws a `LogitsError` where none could be chosen, and what else
   * ended the text early.
   */
  async next(track: Track): Promise<number | undefined> {
    while (track.waiting.length === 0 && !track.ended) {
      this.#assertLive();
      await this.#alone(async () => {
        for (let more = true; more; ) more = this.#bursts < BURSTS && this.#push();
        await this.#land();
      });
    }
    if (track.waiting.length === 0 && track.failed !== undefined) throw track.failed;
    return track.waiting.shift();
  }

  /** Bursts are waited for by one at a time; who comes in between waits for the same one. */
  #alone(work: () => Promise<void>): Promise<void> {
    this.#turning ??= work()
      // Bursts keep their failures to themselves: this is one of everybody's.
      .catch((error: Error) => this.#fail([...this.#tracks], error))
      .finally(() => {
        this.#turning = undefined;
      });
    return this.#turning;
  }

  /** Runs `look` while no step is under way, so that what the tracks say is what the state is. */
  async still<T>(look: () => Promise<T>): Promise<T> {
    while (this.#turning !== undefined) await this.#turning;
    let seen: Promise<T> | undefined;
    await this.#alone(async () => {
      while (this.#flights.length > 0) await this.#land();
      seen = look();
      await seen.catch(() => {});
    });
    return seen as Promise<T>;
  }

  /** These texts end here: nobody knows what their state has read. Other texts do not change. */
  #fail(tracks: readonly Track[], error: Error): void {
    for (const track of tracks) {
      if (track.ended) continue;
      track.failed = error;
      track.ended = true;
      track.sequence.fail(error);
      // On a device that is no more there is nothing to put to rest.
      if (!this.#device.isOpen || !this.#rows.state.feed.live) this.#tracks.delete(track);
      else {
        this.#tell(track, RESTS, 1);
        this.#retire(track);
      }
    }
  }

  /** Writes what the GPU knows of a text. If that goes wrong, the text does. */
  #tell(track: Track, column: number, value: number): void {
    try {
      const write = (): void => this.#rows.state.feed.write([value], track.row * FEED + column);
      const { verdict } = owned(this.#device, "the state of a text", write);
      verdict.then((failure) => (failure === undefined ? undefined : this.#fail([track], failure)));
    } catch (error) {
      this.#fail([track], error as Error);
    }
  }

  /** Takes the token that a step chose for a text. */
  #deliver(track: Track, id: number): void {
    const { sequence } = track;
    sequence.seen++;
    if (!(id < track.vocab)) {
      track.failed = new LogitsError(sequence.seen);
      track.ended = true;
      sequence.fail(track.failed);
    } else if (track.stop.has(id)) track.ended = true;
    else {
      track.waiting.push(id);
      track.left--;
      track.ended = track.left === 0;
      if (track.ended) sequence.pending = id;
    }
    if (track.ended) this.#retire(track);
  }

  /**
   * A text ends here, whether it was at its end or its reader has had enough: what is under way for it is waited for,
   * and counts as read.
   */
  async leave(track: Track): Promise<void> {
    if (!track.ended && this.#rows.state.feed.live) {
      track.sequence.cut();
      this.#rest(track);
      this.#retire(track);
    }
    while (this.#flights.some((f) => f.tracks.includes(track))) await this.#alone(() => this.#land());
    track.ended = true;
  }

  /** Waits for the oldest burst and hands out what it brings, which may be a failure. */
  async #land(): Promise<void> {
    const flight = this.#flights[0];
    if (flight === undefined) return;
    try {
      const ids = await flight.picked;
      if (ids.length !== flight.ids) throw new Error(`a read of ${flight.ids} tokens brought ${ids.length}`);
      this.#measure(flight);
      for (let step = 0; step < flight.steps; step++) {
        for (const track of flight.tracks) {
          if (!track.ended) this.#deliver(track, ids[flight.place(step, track)] as number);
        }
      }
    } catch (error) {
      this.#fail(flight.tracks, error as Error);
    } finally {
      this.#flights.shift();
    }
  }

  /** Learns how long a step takes, and chooses how many to take next. */
  #measure(flight: Flight): void {
    if (flight.submitted === 0) return;
    const now = performance.now();
    const each = (now - Math.max(this.#last, flight.submitted)) / flight.steps;
    this.#last = now;
    const patient = flight.tracks.every((t) => t.waiting.length > 0);
    const wanted = Math.round((patient ? PATIENT_MS : SMOOTH_MS) / Math.max(each, 0.01));
    this.#burst = Math.max(1, Math.min(BURST, wanted, 2 * this.#burst));
  }

  /** Pauses a text whose reader is behind, and goes on with it when he has caught up. */
  #pace(track: Track): void {
    const behind = track.waiting.length >= MOST_WAITING;
    if (behind && !track.paused) this.#rest(track);
    // Steps on their way may bring it to rest for good, so that must be known first.
    if (behind || !track.paused || this.#flights.some((f) => f.tracks.includes(track))) return;
    track.paused = false;
    // Steps that failed while it was at rest may not have been counted.
    this.#tell(track, TICK, this.#tick);
    this.#tell(track, RESTS, 0);
  }

  #rest(track: Track): void {
    track.paused = true;
    this.#tell(track, RESTS, 1);
  }

  /** A row that nobody uses looks at one slot only. */
  #retire(track: Track): void {
    this.#tracks.delete(track);
    if (this.#sequences > 1) this.#tell(track, POSITION, 0);
  }
}
