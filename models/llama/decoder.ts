/**
 * The decoder: config -> weights -> state -> step -> tokens.
 *
 * A step is recorded once and then replayed: the state is fixed, so token 1,000,000 is the same work as the first. A decoder of one sequence reads prompts and
 * writes texts in the same state; one of several has a batch that decodes, in which each row is a sequence of its own age, and a state beside it in which prompts
 * are read before they join. Token ids go to the GPU and token ids come back; logits only when asked for.
 */
import { type Gpu, type Plan, UserError } from "../../runtime/index.ts";
import type { ModelSource } from "../formats/weights.ts";
import { ID } from "../kernels/feed.ts";
import { POLICIES, type PolicySpec } from "../state/policy.ts";
import { keptPositions } from "../state/state.ts";
import type { LlamaConfig } from "./config.ts";
import { type BatchToken, interleave } from "./interleave.ts";
import { type DecoderOptions, loadParts, type Parts } from "./load.ts";
import type { Contract } from "./memory.ts";
import { readAtOnce } from "./oneshot.ts";
import { Prefill, type Watch } from "./prefill.ts";
import { MOST_POSITIONS } from "./rope.ts";
import {
  checkTokens,
  type GenerateOptions,
  LogitsError,
  noiseWord,
  type Sampling,
  samplingSettings,
  stopTokens,
} from "./sampling.ts";
import { Stream, type Track } from "./stream.ts";
import { type Warmed, warmUp } from "./warm.ts";

export class Decoder {
  readonly gpu: Gpu;
  readonly config: LlamaConfig;
  readonly contract: Contract;
  readonly policy: PolicySpec;
  /** Sequences that are decoded together. */
  readonly batch: number;
  readonly #parts: Parts;
  readonly #prefill: Prefill;
  readonly #stream: Stream;
  /** Texts under way or ended, by row. */
  readonly #tracks: (Track | undefined)[];
  /** Rows that somebody uses. */
  readonly #leased: Set<number> = new Set();
  /** Tokens that the prompt's state has read, for those who step or read without generating. */
  #seen = 0;
  /** Tokens of `start` that have not been read. */
  #given: readonly number[] = [];
  #reading: Promise<unknown> = Promise.resolve();
  #live = true;

  private constructor(parts: Parts) {
    const { model, guest, rows, step } = parts;
    this.gpu = model.gpu;
    this.config = model.config;
    this.policy = parts.policy;
    this.contract = parts.contract;
    this.batch = rows.state.sequences;
    this.#parts = parts;
    this.#prefill = new Prefill(model, guest);
    this.#stream = new Stream(step, rows.own, this.batch);
    this.#tracks = new Array(this.batch).fill(undefined);
  }

  /** Loads weights, compiles the kernels and records the step. Throws a `UserError` for a state that is no policy or does not fit the adapter. */
  static async load(gpu: Gpu, source: ModelSource, options: DecoderOptions = {}): Promise<Decoder> {
    return new Decoder(await loadParts(gpu, source, options));
  }

  /** Tokens that the first sequence has read since it began. */
  get seen(): number {
    return this.#tracks[0]?.seen ?? this.#seen;
  }

  /** Longest text that the state can take: bound only by the rotary tables for policies that drop tokens. */
  get positions(): number {
    return this.#bounded ? MOST_POSITIONS : Math.min(this.contract.kept, MOST_POSITIONS);
  }

  /** Ids from here on are none. Dawn's null backend computes nothing, so what it chooses is not looked at. */
  get #ids(): number {
    return this.gpu.device.origin === "null" ? Infinity : this.config.vocab;
  }

  /** Does the state drop tokens? */
  get #bounded(): boolean {
    return POLICIES[this.policy.name]?.unbounded !== true;
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

  /** Back to an empty state. */
  reset(): void {
    this.#assertLive();
    this.#assertIdle();
    this.#tracks.fill(undefined);
    this.#empty();
  }

  /**
   * Makes everything that `generate` can need and runs it once: the step, prompts in pieces of every size that this adapter, model and state lead to, the choice,
   * and joining a batch. Afterwards the state is empty and `generate` compiles nothing any more, whatever the lengths of prompt and text. Left out are `oneshot`
   * prompts, whose kernels depend on the prompt's length, and the logits of `forward` and `predict`. `tell` hears of each part when it is done. Throws a
   * `UserError` while a text is being written.
   */
  async warm(tell: (part: Warmed) => void = () => {}): Promise<readonly Warmed[]> {
    this.#assertLive();
    this.#assertIdle();
    return this.#alone(async () => {
      this.#assertLive();
      const { step, join, guest, rows } = this.#parts;
      this.#tracks.fill(undefined);
      this.#empty();
      this.#prepare({});
      const parts = [
        ...this.#prefill.parts(this.#bounded),
        { name: "step", make: async () => step, run: () => step.run() },
        ...(join === undefined ? [] : [join.part(guest, rows)]),
      ];
      const done = await warmUp(this.gpu, parts, tell);
      this.#empty();
      return done;
    });
  }

  /** Logits after each token, [tokens, vocab], starting from an empty state. */
  async forward(ids: readonly number[]): Promise<Float32Array> {
    const { vocab } = this.config;
    const out = new Float32Array(ids.length * vocab);
    await this.#watch(ids, { what: "logits", take: (part, at) => out.set(part, at * vocab) });
    return out;
  }

  /** The most likely next token after each token of `ids`, starting from an empty state. Throws a `LogitsError` where there is none. */
  async predict(ids: readonly number[]): Promise<Uint32Array> {
    const out = new Uint32Array(ids.length);
    await this.#watch(ids, { what: "best", take: (part, at) => out.set(part, at) });
    const none = out.findIndex((id) => id >= this.#ids);
    if (none >= 0) throw new LogitsError(none + 1);
    return out;
  }

  /**
   * Continues `prompt`, from an empty state or, with `resume`, from where the last text ended. Up to `batch` texts may be under way at once; one more is refused. When the text has ended, the state is as its last
   * token left it, whatever was computed ahead; when the reader stops early, it has also read what was under way, and `seen` says how much that is.
   */
  async *generate(prompt: readonly number[], options: GenerateOptions): AsyncGenerator<number> {
    checkTokens(options.tokens);
    samplingSettings(options);
    const stop = new Set(options.stop ?? this.config.eos);
    stopTokens(stop);
    const seen = options.resume === true ? this.#resumed() : 0;
    const ids = options.resume === true ? [...this.#unread(), ...prompt] : prompt;
    this.#check(ids, seen);
    const row = this.#lease();
    let leased = true;
    const release = (): void => {
      if (leased) this.#leased.delete(row);
      leased = false;
    };
    let track: Track | undefined;
    try {
      track = await this.#begin({ row, ids, seen }, options, stop);
      for (;;) {
        const id = await this.#stream.next(track);
        this.#assertLive();
        if (id === undefined) return;
        // Who takes exactly as many tokens as come need not ask once more for the place to be free again.
        if (track.ended && track.waiting.length === 0) release();
        yield id;
        this.#assertLive();
      }
    } finally {
      if (track !== undefined) await this.#stream.leave(track);
      release();
    }
  }

  /**
   * Continues all `prompts`, as many at a time as the batch has rows, and gives their tokens as they come. The others start as places fall free, which costs
   * those under way no more than the time to read a prompt. Options may differ by sequence. Under one seed each draws on its own: prompt i as `sequence: i`, so
   * the same texts come every time, whatever rows they get.
   */
  generateAll(
    prompts: readonly (readonly number[])[],
    options: GenerateOptions | ((sequence: number) => GenerateOptions),
  ): AsyncGenerator<BatchToken> {
    const optionsOf = typeof options === "function" ? options : (): GenerateOptions => options;
    const texts = prompts.map((prompt, sequence) => this.generate(prompt, { sequence, ...optionsOf(sequence) }));
    return interleave(texts, this.batch);
  }

  /** Positions kept in each layer, ascending, of the first sequence or of another row of the batch. Texts take the lowest row that is free. */
  async kept(row = 0): Promise<number[][]> {
    this.#assertLive();
    const track = this.#tracks[row];
    const { rows, guest } = this.#parts;
    if (track !== undefined) return keptPositions(this.gpu, rows.state, track.seen, row);
    return keptPositions(this.gpu, guest.state, this.#seen);
  }

  /** Prepares a run over `ids` that is stepped by `advanceOne`. For a decoder of one sequence. */
  start(ids: readonly number[]): void {
    this.#check(ids);
    if (this.batch > 1) throw new UserError(`a batch of ${this.batch} sequences cannot be stepped one by one`);
    this.#assertIdle();
    this.#empty();
    this.#given = [...ids];
    this.#prepare({});
    this.#parts.guest.own.feed.write([0, 0, 0, 0, this.#stream.tick, MOST_POSITIONS, 0, 0]);
  }

  /** Runs the step on one token and says nothing: for those who watch the state in between. Call after `start`; past its ids the choices go on. */
  advanceOne(): void {
    this.#assertLive();
    this.#assertIdle();
    if (this.#seen >= this.positions)
      throw new UserError(`state "${this.policy.text}" holds no more than ${this.positions} positions`);
    const id = this.#given[this.#seen];
    if (id !== undefined) this.#parts.guest.own.feed.write([id], ID);
    this.#parts.step.run();
    this.#seen++;
  }

  /** Frees everything the decoder put on the GPU; whatever is asked of it afterwards throws a `UserError`. */
  destroy(): void {
    if (!this.#live) return;
    this.#live = false;
    this.#parts.step.destroy();
    this.#parts.join?.destroy();
    this.#prefill.destroy();
    this.#parts.arena.destroy();
  }

  /** Reads a prompt and lets its text join those under way. */
  async #begin(
    { row, ids, seen }: { readonly row: number; readonly ids: readonly number[]; readonly seen: number },
    options: GenerateOptions,
    stop: ReadonlySet<number>,
  ): Promise<Track> {
    const { guest, join } = this.#parts;
    return this.#alone(async () => {
      this.#assertLive();
      if (options.resume !== true) this.#empty();
      this.#prepare(options, stop);
      const last = await this.#read(ids, seen, options.prefill ?? "recurrent");
      this.#assertLive();
      const read = seen + ids.length;
      const left = Math.min(options.tokens, this.positions - read + 1);
      const tick = join === undefined ? this.#stream.tick : 0;
      const end = Math.min(read + left - 1, MOST_POSITIONS);
      await this.#prefill.choose({ seen: read, row: last, tick, end, seed: noiseWord(options) });
      const first = guest.own.picked.readRange(tick, 1);
      join?.run(row, this.#stream.tick);
      const fresh = { waiting: [], pending: undefined, ended: false, cut: false, paused: false };
      const track: Track = { row, stop, vocab: this.#ids, left, seen: read - 1, ...fresh };
      this.#tracks[row] = track;
      this.#stream.join(track, first, join === undefined);
      return track;
    });
  }

  async #read(ids: readonly number[], seen: number, prefill: "recurrent" | "oneshot"): Promise<number> {
    const { model, guest } = this.#parts;
    const whole = prefill === "oneshot" && this.#bounded && seen === 0 && ids.length >= guest.state.slots;
    if (!whole) return this.#prefill.read(ids, seen);
    await readAtOnce(model, guest, ids, this.policy);
    return 0;
  }

  /** Tokens that the state has read, for a text that goes on. */
  #resumed(): number {
    if (this.batch > 1) throw new UserError("only a decoder of one sequence can go on with its text");
    if (this.#tracks[0]?.failed !== undefined) throw this.#tracks[0].failed;
    if (this.#tracks[0]?.cut === true)
      throw new UserError("the last text was left before its end: its state has read tokens that nobody has seen", {
        hint: "begin anew with the whole text as the prompt",
      });
    return this.seen;
  }

  /** The last token of the last text, if nothing has read it. */
  #unread(): readonly number[] {
    const pending = this.#tracks[0]?.pending;
    return pending === undefined ? [] : [pending];
  }

  async #watch(ids: readonly number[], watch: Watch): Promise<void> {
    this.#check(ids);
    if (this.batch === 1) this.#assertIdle();
    await this.#alone(async () => {
      this.#assertLive();
      this.#empty();
      await this.#prefill.read(ids, 0, watch);
      this.#seen = ids.length;
    });
  }

  /** Prompts are read one after the other. */
  #alone<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#reading.then(work, work);
    this.#reading = done.catch(() => {});
    return done;
  }

  #empty(): void {
    const { state } = this.#parts.guest;
    this.#seen = 0;
    if (this.batch === 1) this.#tracks[0] = undefined;
    state.free.write(new Uint32Array(state.free.length));
  }

  #prepare(sampling: Sampling, stop: ReadonlySet<number> = new Set()): void {
    const { settings, stops } = this.#parts.guest.own;
    settings.write(samplingSettings(sampling));
    stops.write(stopTokens(stop));
  }

  /** A row of the batch that nobody uses. */
  #lease(): number {
    const row = this.#tracks.findIndex((_, i) => !this.#leased.has(i));
    if (row < 0) throw this.#busy();
    this.#leased.add(row);
    return row;
  }

  #assertIdle(): void {
    if (this.#leased.size > 0) throw this.#busy();
  }

  #busy(): UserError {
    return new UserError(
      this.batch === 1
        ? `the decoder of "${this.config.name}" is writing a text already, and has a state for one sequence`
        : `all ${this.batch} rows of the decoder of "${this.config.name}" are writing texts`,
      { hint: "read the other text to its end, leave its loop, or load the decoder with a larger batch" },
    );
  }

  #check(ids: readonly number[], seen = 0): void {
    this.#assertLive();
    const { vocab } = this.config;
    if (ids.length === 0) throw new UserError("no tokens to read: the prompt is empty");
    for (const [i, id] of ids.entries()) {
      if (!Number.isInteger(id) || id < 0 || id >= vocab)
        throw new UserError(`token id ${id} (number ${i + 1}) is outside the vocabulary of ${vocab}`);
    }
    const most = this.positions;
    if (seen + ids.length > most) {
      const what = seen === 0 ? "the prompt has" : "the text and the prompt have";
      throw new UserError(
        `${what} ${seen + ids.length} tokens, more than the ${most} positions of state "${this.policy.text}"`,
        { hint: "use a state that drops tokens, such as tova:128" },
      );
    }
  }

  #assertLive(): void {
    if (!this.#live) throw new UserError(`the decoder of "${this.config.name}" was destroyed`);
  }
}
