/**
 * Whether a fixed state is as fast and as small at token 100,000 as at token 1,000.
 *
 * One decoder reads on until the late step. Then a second one, fresh and read to the early step, is measured against it, burst by burst in turn: what the machine
 * does meanwhile hits both alike, which looking at the clock twice, many minutes apart, would not give. Resident memory is that of the process with the first
 * decoder alone, early and late.
 */
import { Decoder, type DecoderOptions, type ModelSource } from "../models/index.ts";
import { type Gpu, UserError } from "../runtime/index.ts";
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
  readonly resident_early: number;
  readonly resident_late: number;
  readonly resident_ratio: number;
  readonly measures: readonly Measure[];
}

export interface FlatOptions extends DecoderOptions {
  readonly early: number;
  readonly late: number;
  /** Pairs of bursts that are compared. */
  readonly rounds: number;
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
  const { early, late, rounds, progress, ...decoding } = options;
  if (late <= early) throw new UserError(`the late step (${late}) must come after the early one (${early})`);
  const long = await Walk.begin(gpu, source, decoding, late + 2 * (rounds + 1) * BURST);
  try {
    await long.to(early);
    const residentEarly = resident();
    await long.to(late, progress);
    const residentLate = resident();
    const short = await Walk.begin(gpu, source, decoding, early + 2 * (rounds + 1) * BURST);
    try {
      await short.to(early);
      const [was, is, ratios, byCpu]: [number[], number[], number[], number[]] = [[], [], [], []];
      for (const walk of [short, long]) await walk.burst();
      for (let i = 0; i < rounds; i++) {
        const pair = i % 2 === 0 ? [short, long] : [long, short];
        const times = new Map<Walk, Burst>();
        for (const walk of pair) times.set(walk, await walk.burst());
        const [a, b] = [times.get(short) as Burst, times.get(long) as Burst];
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
        resident_early: residentEarly,
        resident_late: residentLate,
        resident_ratio: residentLate / residentEarly,
        measures,
      };
    } finally {
      await short.end();
    }
  } finally {
    await long.end();
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

  /** Times one step, over a burst. What the generator computes ahead is done when it ends, so that it does not run on the other side's time. */
  async burst(): Promise<Burst> {
    const [cpu, began] = [processCpu(), performance.now()];
    for (let i = 0; i < BURST; i++) await this.#next();
    await this.#decoder.gpu.wait();
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

/** Resident bytes after collecting garbage, where the runtime lets us. */
function resident(): number {
  const { Bun, gc } = globalThis as { Bun?: { gc(force: boolean): void }; gc?: () => void };
  Bun?.gc(true);
  gc?.();
  return process.memoryUsage.rss();
}
