/**
 * Two checkouts measured against each other: a process each, which take turns on the same adapter, the other one
 * stopped meanwhile.
 *
 * What counts are the rounds' own ratios, so that whatever else the machine does hits both sides of one alike. Each
 * round starts new processes: two processes of the same code are not equally fast, where their memory happens to lie
 * being one reason, and turns of one process would all repeat that. See docs/benchmark.md.
 */
import { rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { UserError } from "../../runtime/common/errors.ts";
import { differenceLine, differences, type Fact, type Facts } from "../facts.ts";
import { type Load, LoadWatch } from "../surroundings.ts";
import { Checkout } from "./checkout.ts";
import { AskError, Client, closing } from "./client.ts";
import { ColdStarts } from "./cold.ts";
import { type CaseReport, caseReports, overall, sameFromStart, sumsDiffer, type Verdict } from "./judge.ts";
import { copySources } from "./kernel-sources.ts";
import type { AskedJob, ColdJob, Job, Opened, PairExchanges, Prepared, Turn } from "./protocol.ts";
import { inTurn, type Pair } from "./turns.ts";

export interface PairsOptions {
  /** Folders of the two checkouts; ratios are the first one's times over the second one's. */
  readonly here: string;
  readonly there: string;
  readonly jobs: readonly Job[];
  readonly adapter?: string | undefined;
  readonly rounds: number;
  /** The ratio beyond which things are worse. */
  readonly worse: number;
  readonly stop?: () => boolean;
  /** Hears once what is measured, before it is. */
  readonly opened?: (sides: Sides) => void;
  /** Hears the number of rounds that are done. */
  readonly done?: (rounds: number) => void;
}

/** What is known of both sides before anything is measured. */
export interface Sides {
  readonly this: Facts;
  readonly other: Facts;
  /** Equal on both sides. */
  readonly settings: Facts;
  readonly notes: readonly string[];
}

export interface PairsReport extends Sides {
  readonly cases: readonly CaseReport[];
  /** Cases that one side cannot run, with the reason. */
  readonly left_out: readonly { readonly title: string; readonly reason: string }[];
  readonly verdict: Verdict;
  readonly load: Load;
}

const DRIVER: string = fileURLToPath(new URL("./driver.ts", import.meta.url));
const NAMES = ["this checkout", "the other checkout"] as const;
/** The same within a sentence about what differs. */
const [HERE, THERE] = ["here", "there"];

/** One checkout, for the whole run. */
interface Side {
  readonly name: string;
  readonly checkout: Checkout;
  /** The kernels' sources, for this checkout's compiler. */
  readonly sources: string;
}

/** And the process that measures it in one round. */
interface Seat extends Side {
  readonly client: Client<PairExchanges>;
}

/**
 * Measures the jobs.
 * @throws UserError when the sides have different settings, when a folder is no checkout, and when nothing could be
 *   measured.
 */
export async function runPairs(options: PairsOptions): Promise<PairsReport> {
  const checkouts: Pair<Checkout> = [new Checkout(options.here), new Checkout(options.there)];
  for (const checkout of checkouts) checkout.checkInstalled();
  const sides = checkouts.map((checkout, i) => {
    return { name: NAMES[i] ?? "", checkout, sources: copySources(checkout.root) };
  }) as unknown as Pair<Side>;
  try {
    return await new Match(sides, options).play();
  } finally {
    for (const { sources } of sides) rmSync(sources, { recursive: true });
  }
}

class Match {
  readonly #sides: Pair<Side>;
  readonly #options: PairsOptions;
  readonly #notes = new Set<string>();
  readonly #settings: Record<string, Fact> = {};
  readonly #leftOut: { title: string; reason: string }[] = [];
  /** What the rounds gave, by job. */
  readonly #pairs = new Map<Job, Pair<Turn>[]>();
  /** Runs that make a batch of a kernel, found in the first round. */
  readonly #times = new Map<Job, number>();
  readonly #cold: ColdStarts;
  /** CPU milliseconds of the processes that measured. */
  #cpu = 0;

  constructor(sides: Pair<Side>, options: PairsOptions) {
    this.#sides = sides;
    this.#options = options;
    this.#cold = new ColdStarts([sides[0].checkout, sides[1].checkout], options.adapter);
  }

  async play(): Promise<PairsReport> {
    const { jobs, rounds, worse, done, stop = () => false } = this.#options;
    const [a, b] = this.#sides;
    this.#note(a.checkout.facts(), b.checkout.facts());
    const watch = await LoadWatch.begin();
    let facts: Pair<Facts> = [{}, {}];
    try {
      for (let round = 0; round < rounds && !stop(); round++) {
        facts = await this.#round(round, facts);
        done?.(round + 1);
      }
    } finally {
      this.#cold.end();
    }
    const load = watch.end(this.#cpu + this.#cold.cpu_ms);
    const cases = jobs.flatMap((job) => caseReports(job.title, this.#pairs.get(job) ?? [], worse));
    if (cases.length === 0 && !stop()) {
      const reasons = this.#leftOut.map(({ title, reason }) => `${title}: ${reason}`);
      throw new UserError(`nothing could be measured: ${reasons.join("; ")}`);
    }
    const verdict = overall(cases.map((c) => c.verdict));
    return { ...this.#known(facts), cases, left_out: this.#leftOut, verdict, load };
  }

  #known([here, there]: Pair<Facts>): Sides {
    return { this: here, other: there, settings: this.#settings, notes: [...this.#notes] };
  }

  /**
   * One turn of each side in every job, in new processes; gives what is known of both, which was known from the second
   * round on.
   */
  async #round(round: number, known: Pair<Facts>): Promise<Pair<Facts>> {
    const { jobs } = this.#options;
    if (round > 0 && jobs.every((j) => j.kind === "cold")) {
      // These start processes of their own; the first round has asked for the adapter's name.
      for (const job of jobs) await this.#play(job, undefined, round);
      return known;
    }
    const seats = this.#sides.map((side): Seat => {
      return { ...side, client: new Client<PairExchanges>(side.name, DRIVER, { cwd: side.checkout.root }) };
    }) as unknown as Pair<Seat>;
    return closing(
      seats.map((s) => s.client),
      async () => {
        const { adapter, opened: heard } = this.#options;
        const where = jobs.every((j) => j.kind === "host") ? "null" : adapter;
        const opened = await inTurn(seats, round, ({ name, checkout, sources, client }) => {
          const request = { root: checkout.root, sources, ...(where === undefined ? {} : { adapter: where }) };
          return this.#said(name, "opening", client.ask("open", request));
        });
        this.#agree(opened);
        const facts = seats.map((s, i) => ({ ...s.checkout.facts(), ...opened[i]?.environment }));
        const both = facts as unknown as Pair<Facts>;
        if (round === 0) heard?.(this.#known(both));
        for (const job of jobs) await this.#play(job, seats, round);
        const ended = await inTurn(seats, round, ({ name, client }) =>
          this.#said(name, "ending", client.ask("free", {})),
        );
        for (const { cpu_ms } of ended) this.#cpu += cpu_ms;
        return both;
      },
    );
  }

  /** A turn of each side in one job, unless a side lacks it. */
  async #play(job: Job, seats: Pair<Seat> | undefined, round: number): Promise<void> {
    if (this.#options.stop?.() || this.#leftOut.some((l) => l.title === job.title)) return;
    let pair: Pair<Turn> | undefined;
    if (job.kind === "cold") pair = await this.#start(job, round);
    else if (seats !== undefined) pair = await this.#turn(job, seats, round);
    if (pair === undefined) return;
    const before = this.#pairs.get(job) ?? [];
    if (before.length === 0) this.#compareResults(job, pair);
    this.#pairs.set(job, [...before, pair]);
  }

  async #turn(job: AskedJob, seats: Pair<Seat>, round: number): Promise<Pair<Turn> | undefined> {
    const ask = <T>(question: (client: Client<PairExchanges>) => Promise<T>): Promise<Pair<T>> =>
      inTurn(seats, round, ({ name, client }) => this.#said(name, job.title, question(client)));
    const known = this.#times.get(job);
    const asked = known === undefined ? job : { ...job, times: known };
    const prepared = await ask((client) => client.ask("prepare", { job: asked }));
    const lacks = prepared.findIndex((p) => p.missing !== undefined);
    let pair: Pair<Turn> | undefined;
    if (lacks >= 0) {
      this.#leftOut.push({ title: job.title, reason: `${NAMES[lacks]}: ${prepared[lacks]?.missing}` });
    } else {
      this.#agree(prepared, job.title);
      // As many runs on both sides.
      const times = known ?? Math.max(...prepared.map((p) => p.times ?? 1));
      this.#times.set(job, times);
      pair = await ask((client) => client.ask("turn", { times }));
    }
    await ask((client) => client.ask("free", {}));
    return pair;
  }

  async #start(job: ColdJob, round: number): Promise<Pair<Turn> | undefined> {
    const without = this.#sides.find((s) => s.checkout.command() === undefined);
    if (without !== undefined) {
      this.#leftOut.push({ title: job.title, reason: `${without.name}: it has no command` });
      return undefined;
    }
    for (const note of this.#cold.notes) this.#notes.add(note);
    return this.#cold.pair(round);
  }

  /** What a side says that it cannot do is the user's to know, in its own words. */
  async #said<T>(name: string, what: string, asked: Promise<T>): Promise<T> {
    try {
      return await asked;
    } catch (error) {
      if (error instanceof AskError) throw new UserError(`${name}: ${what}: ${error.said}`, { cause: error });
      throw error;
    }
  }

  /** Different settings are refused, different surroundings are noted. */
  #agree([here, there]: Pair<Opened | Prepared>, title?: string): void {
    const unlike = differences(here.settings, there.settings).map((d) => differenceLine(d, HERE, THERE));
    if (unlike.length > 0) {
      const of = title === undefined ? "" : `${title}: `;
      throw new UserError(`${of}different settings cannot be compared: ${unlike.join("; ")}`);
    }
    if (title === undefined) Object.assign(this.#settings, here.settings);
    this.#note(here.environment, there.environment, title);
  }

  #note(here: Facts, there: Facts, title?: string): void {
    const of = title === undefined ? "" : `${title}: `;
    for (const d of differences(here, there)) this.#notes.add(`${of}${differenceLine(d, HERE, THERE)}`);
  }

  #compareResults(job: Job, [here, there]: Pair<Turn>): void {
    const [a, b] = [here.result, there.result];
    if (job.kind === "decoder") {
      const same = sameFromStart(a, b);
      if (same < a.length) this.#notes.add(`${job.title}: the texts part after ${same} of ${a.length} tokens`);
    } else if (sumsDiffer(a, b)) this.#notes.add(`${job.title}: the results differ`);
  }
}
