/**
 * Whether a fixed state is as fast and as small at token 100,000 as at token 1,000.
 *
 * A decoder writes on until the late step; resident memory is looked at early and late. Then its recorded step is timed
 * as the early one and as the late one, in turn, by telling it where it is: the same buffers and the same stretch of
 * time, so that neither what the machine does meanwhile nor where memory happens to lie (two decoders of one model were
 * seen to differ by 8 %) is taken for an effect of the step's number.
 */
import { Decoder, type DecoderOptions, type ModelSource } from "../models/index.ts";
import { type Gpu, UserError } from "../runtime/index.ts";
import { resident } from "./resident.ts";
import { type Measure, measureOf, median } from "./stats.ts";
import { processCpu } from "./surroundings.ts";

export interface FlatResult {
  readonly early_step: number;
  readonly late_step: number;
  /** p50 of a step, in milliseconds, both in one stretch of time. */
  readonly early_ms: number;
  readonly late_ms: number;
  /** Median of the ratios late / early of neighbouring bursts. */
  readonly ratio: number;
  /** The same by CPU time of the process, which on software adapters is the work itself; null on others. */
  readonly cpu_ratio: number | null;
  /**
   * What the process kept, in bytes, once its runtime had given back what it could (see resident.ts), and what it had
   * before it was asked to.
   */
  readonly resident_early: number;
  readonly resident_late: number;
  readonly resident_ratio: number;
  readonly standing_early: number;
  readonly standing_late: number;
  readonly measures: readonly Measure[];
}

export interface FlatOptions extends DecoderOptions {
  readonly early: number;
  readonly late: number;
  /** Pairs of bursts that are compared. */
  readonly rounds: number;
  /** Seconds without a fall after which memory has settled. */
  readonly settle: number;
  /** Told how far the long run is. */
  readonly progress?: (step: number) => void;
}

/** Steps of one burst. */
const BURST = 32;

/** Milliseconds of one step. */
interface Burst {
  readonly wall: number;
  readonly cpu: number;
}

/** @throws UserError when the late step is not after the early one, or the state cannot take so many. */
export async function measureFlat(gpu: Gpu, source: ModelSource, options: FlatOptions): Promise<FlatResult> {
  const { early, late, rounds, settle, progress, ...decoding } = options;
  if (late <= early) throw new UserError(`the late step (${late}) must come after the early one (${early})`);
  const walk = await Walk.begin(gpu, source, decoding, late);
  try {
    await walk.to(early);
    const memoryEarly = await resident(settle);
    await walk.to(late, progress);
    const memoryLate = await resident(settle);
    await walk.rest();
    const [was, is, ratios, byCpu]: [number[], number[], number[], number[]] = [[], [], [], []];
    for (const step of [early, late]) await walk.burst(step);
    for (let i = 0; i < rounds; i++) {
      const times = new Map<number, Burst>();
      for (const step of i % 2 === 0 ? [early, late] : [late, early]) times.set(step, await walk.burst(step));
      const [a, b] = [times.get(early) as Burst, times.get(late) as Burst];
      was.push(a.wall);
      is.push(b.wall);
      ratios.push(b.wall / a.wall);
      byCpu.push(b.cpu / a.cpu);
    }
    const measures = [
      measureOf(`flat: step ${early}`, "ms", "lower", was),
      measureOf(`flat: step ${late}`, "ms", "lower", is),
      measureOf("flat: late / early", "ratio", "lower", ratios),
    ] as const;
    return {
      early_step: early,
      late_step: late,
      early_ms: measures[0].median,
      late_ms: measures[1].median,
      ratio: median(ratios),
      cpu_ratio: gpu.capabilities.kind === "software" ? median(byCpu) : null,
      resident_early: memoryEarly.kept,
      resident_late: memoryLate.kept,
      resident_ratio: memoryLate.kept / memoryEarly.kept,
      standing_early: memoryEarly.standing,
      standing_late: memoryLate.standing,
      measures,
    };
  } finally {
    await walk.end();
  }
}

/** A decoder that goes on writing, one burst at a time. */
class Walk {
  readonly #decoder: Decoder;
  readonly #ids: AsyncGenerator<number>;
  #made = 0;

  private constructor(decoder: Decoder, tokens: number) {
    this.#decoder = decoder;
    this.#ids = decoder.generate([1], { tokens, stop: [] });
  }

  static async begin(gpu: Gpu, source: ModelSource, options: DecoderOptions, tokens: number): Promise<Walk> {
    return new Walk(await Decoder.load(gpu, source, options), tokens);
  }

  async to(step: number, progress?: (step: number) => void): Promise<void> {
    while (this.#made < step) {
      await this.#next();
      if (this.#made % 1000 === 0) progress?.(this.#made);
    }
  }

  /** Ends the text, with nothing under way any more. */
  async rest(): Promise<void> {
    await this.#ids.return(undefined);
    await this.#decoder.gpu.wait();
  }

  /** Times one step, over a burst that begins at this one. All slots are taken by now, so that both look at as many. */
  async burst(step: number): Promise<Burst> {
    const { plan, gpu } = this.#decoder;
    const feed = plan.dispatches[0]?.tensors.get("feed");
    if (feed === undefined) throw new Error("the step does not begin with a kernel that reads the feed");
    // Position, sequence, row, token, tick, end, seed, rests: as the greedy text of one sequence has them.
    feed.write([step, 0, 0, 1, 0, step + 2 * BURST, 0, 0]);
    const [cpu, began] = [processCpu(), performance.now()];
    plan.run(BURST);
    await gpu.wait("burst");
    return { wall: (performance.now() - began) / BURST, cpu: (processCpu() - cpu) / BURST };
  }

  async #next(): Promise<void> {
    const { done } = await this.#ids.next();
    if (done === true)
      throw new UserError(`state "${this.#decoder.policy.text}" took no more than ${this.#made} tokens`, {
        hint: "use a state that drops tokens, such as tova:128",
      });
    this.#made++;
  }

  async end(): Promise<void> {
    await this.#ids.return(undefined);
    this.#decoder.destroy();
  }
}
