/**
 * The decoder: config -> weights -> state -> step -> tokens.
 *
 * A step is recorded once and then replayed: the state is fixed, so token 1,000,000 is the same work as the first. A
 * decoder of one sequence reads prompts and writes texts in the same state; one of several has a batch that decodes, in
 * which each row is a sequence of its own age, and a state beside it in which prompts are read before they join. Token
 * ids go to the GPU and token ids come back; logits only when asked for.
 */
import { type Gpu, type Plan, UserError } from "../../runtime/index.ts";
import { MOST_POSITIONS } from "../blocks/rope.ts";
import { checkAtOnce, dropsTokens, type PolicySpec } from "../cache/policy.ts";
import type { Sequence } from "../cache/sequence.ts";
import { keptPositions } from "../cache/state.ts";
import type { ModelSpec } from "../config/spec.ts";
import type { ModelSource } from "../weights/source.ts";
import { type BatchToken, eachOf, interleave } from "./interleave.ts";
import { Leavable, Leaving } from "./leave.ts";
import { type DecoderOptions, loadParts, type Parts } from "./load.ts";
import type { Contract } from "./memory.ts";
import type { Watch } from "./prefill.ts";
import { checkPrompt, Prompts } from "./prompts.ts";
import {
  checkOptions,
  type GenerateOptions,
  LogitsError,
  noiseWord,
  samplingSettings,
  signalOf,
  stopsOf,
  stopTokens,
} from "./sampling.ts";
import { Stream, type Track } from "./scheduler.ts";
import { allTaken, Leases } from "./turns.ts";
import { type Warmed, type WarmPart, warmUp } from "./warm.ts";

/** A model with a state on a GPU: prompts in, tokens out. Made by `Decoder.load`. */
export class Decoder {
  /** The GPU that it lives on. */
  readonly gpu: Gpu;
  /** What the model computes. */
  readonly config: ModelSpec;
  /** Bytes that it takes there, and slots of its state. */
  readonly contract: Contract;
  /** The state policy, as it was asked for. */
  readonly policy: PolicySpec;
  /** Sequences that are decoded together. */
  readonly batch: number;
  readonly #parts: Parts;
  readonly #prompts: Prompts;
  readonly #stream: Stream;
  /** Texts under way or ended, by row. */
  readonly #tracks: (Track | undefined)[];
  /** Rows that somebody uses. */
  readonly #leases: Leases;
  /** Readers of texts, who are told when the decoder is destroyed. */
  readonly #readers: Set<Leaving> = new Set();
  #live = true;

  private constructor(parts: Parts) {
    const { model, guest, rows, step } = parts;
    this.gpu = model.gpu;
    this.config = model.spec;
    this.policy = parts.policy;
    this.contract = parts.contract;
    this.batch = rows.state.sequences;
    this.#parts = parts;
    this.#prompts = new Prompts(model, guest, parts.policy);
    this.#stream = new Stream(step, rows, () => this.#assertLive());
    this.#leases = new Leases(this.batch);
    this.#tracks = new Array(this.batch).fill(undefined);
  }

  /**
   * Loads the weights of `source` to `gpu`, compiles the kernels and records the step, as `options` say.
   * @throws UserError for a state that is no policy or does not fit the adapter
   */
  static async load(gpu: Gpu, source: ModelSource, options: DecoderOptions = {}): Promise<Decoder> {
    return new Decoder(await loadParts(gpu, source, options));
  }

  /** Tokens that the first sequence has read since it began. */
  get seen(): number {
    return (this.#tracks[0]?.sequence ?? this.#prompts.sequence).seen;
  }

  /** Longest text that the state can take: bound only by the rotary tables for policies that drop tokens. */
  get positions(): number {
    return dropsTokens(this.policy) ? MOST_POSITIONS : Math.min(this.contract.kept, MOST_POSITIONS);
  }

  /** Ids from here on are none. Dawn's null backend computes nothing, so what it chooses is not looked at. */
  get #ids(): number {
    return this.gpu.device.origin === "null" ? Infinity : this.config.vocab;
  }

  /** Dispatches of one step. */
  get dispatches(): number {
    return this.#parts.step.length;
  }

  /** The recorded step, for those who measure it. */
  get plan(): Plan {
    this.#assertLive();
    return this.#parts.step;
  }

  /**
   * Goes back to an empty state.
   * @throws UserError while something is being read or written
   */
  reset(): void {
    this.#assertLive();
    this.#assertIdle();
    this.#prompts.assertUnread();
    this.#tracks.fill(undefined);
    for (const sequence of this.#parts.rows.state.rows) sequence.empty();
    this.#prompts.empty();
  }

  /**
   * Makes everything that `generate` can need and runs it once: the step, prompts in pieces of every size that this
   * adapter, model and state lead to, the choice, and joining a batch. Afterwards the state is empty and `generate`
   * compiles nothing any more, whatever the lengths of prompt and text. Left out are `oneshot` prompts, whose kernels
   * depend on the prompt's length, and the logits of `forward` and `predict`. `tell` hears of each part at its end.
   * @throws UserError while a text is being written
   */
  async warm(tell: (part: Warmed) => void = () => {}): Promise<readonly Warmed[]> {
    this.#assertLive();
    this.#assertIdle();
    return this.#alone(() => {
      const { step, join, guest, rows } = this.#parts;
      this.#tracks.fill(undefined);
      const run = (prompts: readonly WarmPart[]): Promise<readonly Warmed[]> => {
        const stepping = { name: "step", make: async () => step, run: () => step.run() };
        const joining = join === undefined ? [] : [join.part(guest, rows)];
        return warmUp(this.gpu, [...prompts, stepping, ...joining], tell);
      };
      return this.#prompts.warm(run, () => this.#assertLive());
    });
  }

  /**
   * Logits after each token of `ids`, [tokens, vocab], starting from an empty state.
   * @throws UserError for ids that the model does not have, and for more than the state can take
   */
  async forward(ids: readonly number[]): Promise<Float32Array> {
    const { vocab } = this.config;
    const out = new Float32Array(ids.length * vocab);
    await this.#watch(ids, { what: "logits", take: (part, at) => out.set(part, at * vocab) });
    return out;
  }

  /**
   * The most likely next token after each token of `ids`, [tokens], starting from an empty state.
   * @throws LogitsError where there is none
   */
  async predict(ids: readonly number[]): Promise<Uint32Array> {
    const out = new Uint32Array(ids.length);
    await this.#watch(ids, { what: "best", take: (part, at) => out.set(part, at) });
    const none = out.findIndex((id) => id >= this.#ids);
    if (none >= 0) throw new LogitsError(none + 1);
    return out;
  }

  /**
   * Continues `prompt` as `options` say, from an empty state or, with `resume`, from where the last text ended. Up to
   * `batch` texts may be under way at once; one more is refused, or waits with `whenBusy: "wait"`. When the text has
   * ended, the state is as its last token left it, whatever was computed ahead; when the reader stops early, it has
   * also read what was under way, and `seen` says how much that is. The reader may leave at any time, also while the
   * prompt is read: `return()` and an aborted `signal` are heard after each piece of it and after each burst.
   * @throws UserError for a prompt or options that do not fit, the reason of `signal`, and what went wrong with this
   * text on the GPU: after the tokens that came before, and whatever happens to others
   */
  generate(prompt: readonly number[], options: GenerateOptions): AsyncGenerator<number> {
    const leaving = new Leaving(signalOf(options), () => this.#assertLive());
    return new Leavable(this.#text(prompt, options, leaving), () => leaving.leave());
  }

  async *#text(
    prompt: readonly number[],
    options: GenerateOptions,
    leaving: Leaving,
  ): AsyncGenerator<number, undefined> {
    let [row, track]: [number?, Track?] = [];
    const release = (): void => {
      if (row !== undefined) this.#leases.release(row);
      row = undefined;
    };
    leaving.begin();
    this.#readers.add(leaving);
    try {
      this.#checkText(prompt, options);
      leaving.check();
      row = this.#leases.take() ?? (await this.#whenFree(options, leaving));
      track = await this.#begin(row, prompt, options, leaving);
      for (;;) {
        const id = await this.#stream.next(track);
        leaving.check();
        if (id === undefined) return undefined;
        // Who takes exactly as many tokens as come need not ask once more for the place to be free again.
        if (track.ended && track.waiting.length === 0) release();
        yield id;
        leaving.check();
      }
    } catch (error) {
      if (leaving.isLeave(error)) return undefined;
      throw leaving.isAbort(error) ? error : this.#explained(error);
    } finally {
      if (track !== undefined) await this.#stream.leave(track);
      release();
      this.#readers.delete(leaving);
      leaving.end();
    }
  }

  /**
   * Continues all `prompts`, as many at a time as the batch has rows, and gives their tokens as they come. The others
   * start as places fall free, which costs those under way no more than the time to read a prompt. `options` may differ
   * by sequence. Under one seed each draws on its own: prompt i as `sequence: i`, so the same texts come every time,
   * whatever rows they get. All is checked before the first text begins. A text that fails does not end the others.
   * @throws UserError naming the sequence whose prompt or options do not fit, before anything is read; the reason of
   * an aborted `signal` that all texts share, at once; and what went wrong with single texts, naming their sequences,
   * after all others have ended
   */
  generateAll(
    prompts: readonly (readonly number[])[],
    options: GenerateOptions | ((sequence: number) => GenerateOptions),
  ): AsyncGenerator<BatchToken> {
    const optionsOf = typeof options === "function" ? options : (): GenerateOptions => options;
    const all = prompts.map((prompt, sequence) => ({ prompt, options: { sequence, ...optionsOf(sequence) } }));
    const check = (): void => eachOf(all, (text) => this.#checkText(text.prompt, text.options));
    const texts = all.map((text) => this.generate(text.prompt, text.options));
    const signal = typeof options === "function" ? undefined : signalOf(options);
    return interleave(texts, { width: this.batch, check, signal });
  }

  /**
   * Positions kept in each layer, ascending, of row `row` of the batch, from 0. Texts take the lowest row that is free.
   * Waits for prompts that are being read; of a text under way it tells what its state keeps after all tokens that it
   * has read, also those that nobody has taken yet.
   * @throws UserError for a number that is no row, and what went wrong with the text in it
   */
  async kept(row = 0): Promise<number[][]> {
    this.#assertLive();
    if (!(Number.isInteger(row) && row >= 0 && row < this.batch))
      throw new UserError(`rows are numbered from 0 to ${this.batch - 1}, got ${row}`);
    return this.#alone(async () => {
      const track = this.#tracks[row];
      if (track === undefined) return this.#prompts.kept();
      const { state } = this.#parts.rows;
      const kept = await this.#stream.still(() => keptPositions(this.gpu, state, track.sequence.seen, row));
      if (track.failed !== undefined) throw track.failed;
      return kept;
    });
  }

  /**
   * Prepares a run over `ids` that is stepped by `advanceOne`. For a decoder of one sequence.
   * @throws UserError for a batch of several, for ids that do not fit, and while something is being read or written
   */
  start(ids: readonly number[]): void {
    this.#check(ids);
    if (this.batch > 1) throw new UserError(`a batch of ${this.batch} sequences cannot be stepped one by one`);
    this.#assertIdle();
    this.#prompts.assertUnread();
    this.#tracks[0] = undefined;
    this.#prompts.start(ids, this.#stream.tick);
  }

  /**
   * Runs the step on one token and says nothing: for those who watch the state in between. Call after `start`; past
   * its ids the choices go on.
   * @throws UserError beyond the positions that the state holds, and while something is being read or written
   */
  advanceOne(): void {
    this.#assertLive();
    this.#assertIdle();
    this.#prompts.assertUnread();
    if (this.#prompts.sequence.seen >= this.positions)
      throw new UserError(`state "${this.policy.text}" holds no more than ${this.positions} positions`);
    this.#prompts.advance(() => this.#parts.step.run());
  }

  /** Frees everything the decoder put on the GPU; whatever is asked of it afterwards is refused with a UserError. */
  destroy(): void {
    if (!this.#live) return;
    this.#live = false;
    for (const reader of this.#readers) reader.stir();
    this.#parts.step.destroy();
    this.#parts.join?.destroy();
    this.#prompts.destroy();
    this.#parts.arena.destroy();
  }

  /** Reads a prompt and lets its text join those under way. */
  #begin(row: number, prompt: readonly number[], options: GenerateOptions, leaving: Leaving): Promise<Track> {
    const { guest, join, rows } = this.#parts;
    const stop = stopsOf(options, this.config);
    return this.#alone(async () => {
      const resume = options.resume === true;
      const seen = resume ? this.#resumed() : 0;
      const { pending } = this.#prompts.sequence;
      const ids = resume && pending !== undefined ? [pending, ...prompt] : prompt;
      this.#check(ids, seen);
      this.#tracks[row] = undefined;
      const choose = await this.#prompts.read(ids, seen, options, stop, () => leaving.check());
      const read = seen + ids.length;
      const left = Math.min(options.tokens, this.positions - read + 1);
      const tick = join === undefined ? this.#stream.tick : 0;
      const end = Math.min(read + left - 1, MOST_POSITIONS);
      const sequence = rows.state.rows[row] as Sequence;
      const track: Track = { row, sequence, stop, vocab: this.#ids, left, waiting: [], ended: false, paused: false };
      const first = (): Promise<ArrayLike<number>> => {
        choose({ seen: read, tick, end, seed: noiseWord(options) });
        const picked = guest.own.picked.readRange(tick, 1);
        if (join !== undefined) {
          join.run(row, this.#stream.tick);
          sequence.empty();
          sequence.whole(read - 1);
          this.#prompts.sequence.empty();
        }
        return picked;
      };
      this.#tracks[row] = track;
      this.#stream.join(track, first, join === undefined);
      return track;
    }, leaving);
  }

  /** Tokens that the state has read, for a text that goes on. */
  #resumed(): number {
    if (this.batch > 1) throw new UserError("only a decoder of one sequence can go on with its text");
    this.#prompts.sequence.assertWhole(this.config.name);
    return this.seen;
  }

  async #watch(ids: readonly number[], watch: Watch): Promise<void> {
    this.#check(ids);
    if (this.batch === 1) this.#assertIdle();
    await this.#alone(() => {
      if (this.batch === 1) this.#tracks[0] = undefined;
      return this.#prompts.watch(ids, watch, () => this.#assertLive());
    });
  }

  /** Works with the prompts' state when nobody else does. */
  #alone<T>(work: () => Promise<T>, leaving?: Leaving): Promise<T> {
    return this.#prompts.take(async () => {
      this.#assertLive();
      try {
        const result = await work();
        this.#assertLive();
        return result;
      } catch (error) {
        throw this.#explained(error);
      }
    }, leaving);
  }

  #whenFree({ whenBusy }: GenerateOptions, leaving: Leaving): Promise<number> {
    if (whenBusy !== "wait") throw allTaken(this.batch, this.config.name);
    return this.#leases.wait(leaving);
  }

  #assertIdle(): void {
    if (this.#leases.taken > 0) throw allTaken(this.batch, this.config.name);
  }

  /** Throws a `UserError` for a prompt or options that do not fit. */
  #checkText(prompt: readonly number[], options: GenerateOptions): void {
    checkOptions(options);
    samplingSettings(options);
    stopTokens(stopsOf(options, this.config));
    if (options.prefill === "oneshot") checkAtOnce(this.policy);
    this.#assertLive();
    // What goes before the prompt of a text that goes on is known when its turn comes.
    if (options.resume !== true) this.#check(prompt);
  }

  #check(ids: readonly number[], seen = 0): void {
    this.#assertLive();
    checkPrompt(ids, seen, { vocab: this.config.vocab, most: this.positions, state: this.policy.text });
  }

  #assertLive(): void {
    if (!this.#live) throw new UserError(`the decoder of "${this.config.name}" was destroyed`);
  }

  /** What to throw for an error: work that the decoder was taken from under fails in ways of its own. */
  #explained(error: unknown): unknown {
    if (this.#live || !this.gpu.device.isOpen) return error;
    return new UserError(`the decoder of "${this.config.name}" was destroyed`, { cause: error });
  }
}
