/**
 * The state that prompts are read in, and whose turn it is to work with it.
 *
 * A decoder of one sequence writes its text in the same state, one of several copies it into a row. What was read last
 * can be gone on with only if it came to its end: a prompt that was left in the middle, or failed, leaves a state that
 * nobody may rely on until it is emptied (cache/sequence.ts).
 */
import { describe } from "../../runtime/common/describe.ts";
import { guarded } from "../../runtime/device/scopes.ts";
import { type Gpu, UserError } from "../../runtime/index.ts";
import { MOST_POSITIONS } from "../blocks/rope.ts";
import { dropsTokens, type PolicySpec } from "../cache/policy.ts";
import type { Sequence } from "../cache/sequence.ts";
import { fewestSlots, keptPositions, writeFree } from "../cache/state.ts";
import { ID } from "../kernels/feed.ts";
import type { Leaving } from "./leave.ts";
import { readAtOnce } from "./oneshot.ts";
import { type Choice, Prefill, type Watch } from "./prefill.ts";
import type { Model, Rows } from "./record.ts";
import { type Sampling, samplingSettings, stopTokens } from "./sampling.ts";
import { Turns } from "./turns.ts";
import type { WarmPart } from "./warm.ts";

const NOTHING: ReadonlySet<number> = new Set();

export class Prompts {
  readonly #gpu: Gpu;
  readonly #model: Model;
  readonly #guest: Rows;
  readonly #policy: PolicySpec;
  readonly #prefill: Prefill;
  readonly #turns: Turns = new Turns();
  /** The tokens of `start`, while nothing else was read. */
  #given: readonly number[] | undefined;

  constructor(model: Model, guest: Rows, policy: PolicySpec) {
    this.#gpu = model.gpu;
    this.#model = model;
    this.#guest = guest;
    this.#policy = policy;
    this.#prefill = new Prefill(model, guest);
  }

  /** The sequence that the state is of. */
  get sequence(): Sequence {
    return this.#guest.state.rows[0] as Sequence;
  }

  /** Does `work` when nobody else works with the state; who leaves before that throws what `leaving` throws. */
  take<T>(work: () => Promise<T>, leaving?: Leaving): Promise<T> {
    return this.#turns.take(work, leaving);
  }

  /** Back to an empty state, at once. */
  empty(): void {
    writeFree(this.#guest.state, 0);
    this.sequence.empty();
    this.#given = undefined;
  }

  /** Prepares to step over `ids` with the greedy choice. */
  start(ids: readonly number[], tick: number): void {
    this.empty();
    this.#given = [...ids];
    this.#choosing({}, NOTHING);
    this.#guest.state.feed.write([0, 0, 0, 0, tick, MOST_POSITIONS, 0, 0]);
  }

  /**
   * One token more: `step` reads the next one of `start`, or what was chosen last. Throws a `UserError` when something
   * else was read since.
   */
  advance(step: () => void): void {
    if (this.#given === undefined)
      throw new UserError(
        "there is nothing to step over: since start, the state was emptied or has read something else",
      );
    const { sequence } = this;
    const id = this.#given[sequence.seen];
    if (id !== undefined) this.#guest.state.feed.write([id], ID);
    step();
    sequence.seen++;
  }

  /** Reads `ids` into the empty state and hands over what is wanted of their logits. In a turn. */
  async watch(ids: readonly number[], watch: Watch, halt: () => void): Promise<void> {
    await this.#prepare({}, NOTHING, false);
    await this.#prefill.read(ids, 0, { halt, watch });
    this.sequence.whole(ids.length);
  }

  /**
   * Reads `ids`, behind the `seen` tokens that the state has read or into the empty state. The result submits the
   * choice of what follows, for which the row of the residual stream is filled in; after that the state is the text's.
   * In a turn.
   */
  async read(
    ids: readonly number[],
    seen: number,
    options: Sampling & { readonly prefill?: "recurrent" | "oneshot" },
    stop: ReadonlySet<number>,
    halt: () => void,
  ): Promise<(choice: Omit<Choice, "row">) => void> {
    await this.#prepare(options, stop, seen > 0);
    const atOnce = options.prefill === "oneshot" && dropsTokens(this.#policy) && seen === 0;
    let row = 0;
    if (atOnce && ids.length >= fewestSlots(this.#guest.state))
      await readAtOnce(this.#model, this.#guest, ids, this.#policy, halt);
    else row = await this.#prefill.read(ids, seen, { halt });
    const choose = await this.#prefill.chooser();
    halt();
    return (choice) => {
      choose({ ...choice, row });
      // The last of them is what the choice reads.
      this.sequence.whole(choice.seen - 1);
    };
  }

  /** All that prompts of any length can need, in an emptied state which `work` may use as it likes. In a turn. */
  async warm<T>(work: (parts: readonly WarmPart[]) => Promise<T>, halt: () => void): Promise<T> {
    await this.#prepare({}, NOTHING, false);
    const result = await work(this.#prefill.parts(dropsTokens(this.#policy)));
    halt();
    this.empty();
    return result;
  }

  /** Positions that are kept of what was read last. In a turn. */
  async kept(): Promise<number[][]> {
    this.sequence.assertWhole(this.#model.config.name);
    return keptPositions(this.#gpu, this.#guest.state, this.sequence.seen);
  }

  /** Throws a `UserError` while somebody works with the state. */
  assertUnread(): void {
    if (!this.#turns.busy) return;
    throw new UserError(
      `the decoder of "${this.#model.config.name}" is reading already, and has a state for one prompt`,
      {
        hint: "wait for what forward, predict, warm or kept returned",
      },
    );
  }

  destroy(): void {
    this.#prefill.destroy();
  }

  /**
   * How tokens are chosen, in an empty state unless a text goes on. From here on the state is that of a prompt in the
   * middle.
   */
  async #prepare(sampling: Sampling, stop: ReadonlySet<number>, goesOn: boolean): Promise<void> {
    await guarded(this.#gpu.device, "the options of a text", () => {
      if (!goesOn) this.empty();
      this.#given = undefined;
      this.sequence.reading();
      this.#choosing(sampling, stop);
    });
  }

  #choosing(sampling: Sampling, stop: ReadonlySet<number>): void {
    const { settings, stops } = this.#guest.state;
    settings.write(samplingSettings(sampling));
    stops.write(stopTokens(stop));
  }
}

/** What a prompt must fit: ids below `vocab`, and `most` positions that the state takes. */
export interface Limits {
  readonly vocab: number;
  readonly most: number;
  /** The state as it is written, to name it. */
  readonly state: string;
}

/** Throws a `UserError` when `ids` cannot be read behind `seen` tokens. */
export function checkPrompt(ids: readonly number[], seen: number, { vocab, most, state }: Limits): void {
  if (!(Array.isArray(ids) || ArrayBuffer.isView(ids)))
    throw new UserError(`a prompt is a list of token ids, got ${describe(ids)}`, {
      hint: typeof ids === "string" ? "encode the text first: (await model.tokenizer()).encode(text)" : undefined,
    });
  if (ids.length === 0) throw new UserError("no tokens to read: the prompt is empty");
  for (const [i, id] of ids.entries()) {
    if (!Number.isInteger(id) || id < 0 || id >= vocab)
      throw new UserError(`token id ${id} (number ${i + 1}) is outside the vocabulary of ${vocab}`);
  }
  if (seen + ids.length <= most) return;
  const what = seen === 0 ? "the prompt has" : "the text and the prompt have";
  throw new UserError(`${what} ${seen + ids.length} tokens, more than the ${most} positions of state "${state}"`, {
    hint: "use a state that drops tokens, such as tova:128",
  });
}
