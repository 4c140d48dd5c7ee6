/**
 * The decoder: config -> weights -> state -> step -> tokens.
 *
 * A step is recorded twice, once with logits and a choice (`step`) and once without (`feed`, for prompt tokens whose logits nobody reads), and then replayed:
 * the state is fixed, so token 1,000,000 is the same work as the first. Token ids go to the GPU and token ids come back; logits only when asked for.
 */
import { type DeviceTensor, type Gpu, type Launch, type Plan, UserError } from "../../runtime/index.ts";
import type { ModelSource } from "../formats/weights.ts";
import * as kernels from "../kernels/index.ts";
import { POLICIES, type PolicyInputs, type PolicySpec, parsePolicy, protectedBy } from "../state/policy.ts";
import { createState, keptPositions, type LayerState, type State } from "../state/state.ts";
import type { LlamaConfig } from "./config.ts";
import { type Contract, checkBlocks, contract, logitRows, RING, slotsOf, type WeightFormat } from "./memory.ts";
import { frequencies, MOST_POSITIONS, type RopeFrequencies, ropeTables, roundingOf } from "./rope.ts";
import { checkTokens, type GenerateOptions, type Sampling, samplingSettings } from "./sampling.ts";
import { type Arena, arena, createScratch, type Scratch } from "./scratch.ts";
import { loadWeights, type Weights } from "./weights.ts";

export interface DecoderOptions {
  /** The state policy, as in `tova:128`; `full` unless given. */
  readonly state?: string;
  /** How RoPE's frequencies are rounded; see rope.ts. */
  readonly ropeFrequencies?: RopeFrequencies;
  /** The format that matrices are kept in, made while they are loaded; as `stored` unless given. Norms are f32 in any format but that. */
  readonly weights?: WeightFormat;
}

type Kernels = { [K in keyof typeof kernels]: Launch<(typeof kernels)[K]> };

/** What `load` makes and the constructor takes. */
interface Parts {
  readonly gpu: Gpu;
  readonly arena: Arena;
  readonly source: ModelSource;
  readonly policy: PolicySpec;
  readonly format: WeightFormat;
  readonly k: Kernels;
  readonly w: Weights;
  readonly s: Scratch;
  readonly state: State;
  readonly evict: (inputs: PolicyInputs) => void;
}

const HERE = { url: new URL("../kernels/index.ts", import.meta.url).href };
/** Steps in one submission while a prompt is read. */
const BURST = 32;

export class Decoder {
  readonly gpu: Gpu;
  readonly config: LlamaConfig;
  readonly contract: Contract;
  readonly policy: PolicySpec;
  readonly #arena: Arena;
  readonly #k: Kernels;
  readonly #w: Weights;
  readonly #s: Scratch;
  readonly #state: State;
  readonly #evict: (inputs: PolicyInputs) => void;
  #step: Plan | undefined;
  #feed: Plan | undefined;
  #seen = 0;
  #live = true;

  private constructor(parts: Parts) {
    this.gpu = parts.gpu;
    this.config = parts.source.config;
    this.policy = parts.policy;
    this.contract = contract(parts.source, parts.policy, parts.gpu.capabilities.f16, parts.format);
    this.#arena = parts.arena;
    this.#k = parts.k;
    this.#w = parts.w;
    this.#s = parts.s;
    this.#evict = parts.evict;
    this.#state = parts.state;
  }

  /** Loads weights, compiles the kernels and records the plans. Throws a `UserError` for a state that is no policy or does not fit the adapter. */
  static async load(gpu: Gpu, source: ModelSource, options: DecoderOptions = {}): Promise<Decoder> {
    const { config } = source;
    const policy = parsePolicy(options.state ?? "full");
    const format = options.weights ?? "stored";
    checkBlocks(config, format);
    const memory = arena(gpu);
    try {
      // State first: it is the part that may be too large, and weights take long to read.
      const { slots } = slotsOf(config, policy);
      const state = createState(memory, config, slots);
      const rounding = roundingOf(options.ropeFrequencies ?? "auto", config, source.tensor("layers.0.q").dtype);
      const s = createScratch(memory, config, slots, ropeTables(frequencies(config, rounding)));
      const k = (await gpu.kernels(HERE, { ...kernels })) as Kernels;
      const evict = await (POLICIES[policy.name] as (typeof POLICIES)[string]).load(gpu, policy.options);
      const w = await loadWeights(memory, source, format);
      const decoder = new Decoder({ gpu, arena: memory, source, policy, format, k, w, s, state, evict });
      await decoder.#record();
      return decoder;
    } catch (error) {
      memory.destroy();
      throw error;
    }
  }

  async #record(): Promise<void> {
    const { gpu } = this;
    this.#step = await gpu.record("decode step", () => {
      this.#layers(this.#state, this.#s.scores, this.#evict);
      this.#finish();
    });
    this.#feed = await gpu.record("prompt step", () => {
      this.#layers(this.#state, this.#s.scores, this.#evict);
      this.#k.advance(this.#s.prompt, this.#s.token, this.#s.clock);
    });
  }

  /** Records one token's way through all layers, its keys and values going into `state`. */
  #layers(state: State, scores: DeviceTensor, after: (inputs: PolicyInputs, layer: number) => void): void {
    const { config } = this;
    const [k, w, s] = [this.#k, this.#w, this.#s];
    const halves = { heads: config.heads, halves: 2, half: config.headDim / 2 };
    k.embed(w.embed, s.token, s.x);
    for (const [i, l] of w.layers.entries()) {
      const c = state.layers[i] as State["layers"][number];
      k.qkv(
        s.x,
        l.attentionNorm,
        l.qkv,
        s.rope,
        s.clock,
        c.free,
        config.eps,
        s.q.view(halves),
        c.kHalves,
        c.vHalves,
        c.positions,
      );
      k.attend(s.q, c.k, c.v, s.clock, s.out, scores, s.lse);
      after({ scores, lse: s.lse, positions: c.positions, clock: s.clock, free: c.free }, i);
      k.project(l.o, s.out.view([config.heads * config.headDim]), s.x);
      k.swiglu(s.x, l.ffnNorm, l.gate, l.up, config.eps, s.h);
      k.project(l.down, s.h, s.x);
    }
  }

  #finish(): void {
    const [k, w, s] = [this.#k, this.#w, this.#s];
    k.logits(s.x, w.norm, w.head, this.config.eps, s.clock, s.logits);
    k.choose(s.logits, s.settings, s.prompt, s.picked, s.token, s.clock);
  }

  /** Tokens read since the last reset. */
  get seen(): number {
    return this.#seen;
  }

  /** Dispatches of one step. */
  get dispatches(): number {
    return this.#step?.length ?? 0;
  }

  /** The recorded steps, for those who measure them: "decode step" and "prompt step". */
  get plans(): readonly Plan[] {
    this.#assertLive();
    return [this.#step, this.#feed].flatMap((p) => (p === undefined ? [] : [p]));
  }

  /** Back to an empty state. */
  reset(): void {
    this.#assertLive();
    this.#seen = 0;
    for (const l of this.#state.layers) l.free.write([0]);
  }

  /** Logits after each token, [tokens, vocab], starting from an empty state. */
  async forward(ids: readonly number[]): Promise<Float32Array> {
    this.#begin(ids, {});
    const { vocab } = this.config;
    const rows = logitRows(this.config);
    const out = new Float32Array(ids.length * vocab);
    for (let at = 0; at < ids.length; at += rows) {
      const n = Math.min(rows, ids.length - at);
      this.#supply(ids, at);
      this.#run(this.#step, n);
      out.set((await this.#s.logits.readRange(0, n * vocab)) as Float32Array, at * vocab);
    }
    return out;
  }

  /** The most likely next token after each token of `ids`, starting from an empty state. */
  async predict(ids: readonly number[]): Promise<Uint32Array> {
    this.#begin(ids, {});
    const out = new Uint32Array(ids.length);
    for (let at = 0; at < ids.length; at += RING / 2) {
      const n = Math.min(RING / 2, ids.length - at);
      this.#supply(ids, at);
      for (let done = 0; done < n; done += BURST) this.#run(this.#step, Math.min(BURST, n - done));
      out.set((await this.#s.picked.readRange(at % RING, n)) as Uint32Array, at);
    }
    return out;
  }

  /** Continues `prompt` token by token, from an empty state. */
  async *generate(prompt: readonly number[], options: GenerateOptions): AsyncGenerator<number> {
    const stop = new Set(options.stop ?? this.config.eos);
    checkTokens(options.tokens);
    this.#begin(prompt, options);
    await this.#read(prompt, options.prefill ?? "recurrent");
    // The step on the last prompt token has chosen the first new one; from here on a burst is under way while the last one is read.
    let from = prompt.length - 1;
    let burst = 1;
    let waiting = this.#s.picked.readRange(from % RING, 1);
    for (let made = 0; made < options.tokens; ) {
      const [start, length] = [from, burst];
      const more = Math.min(
        made + length >= options.tokens ? 0 : 8,
        options.tokens - made - length,
        RING - ((start + length) % RING),
      );
      const next = Math.min(more, this.#most() - this.#seen);
      const picked = waiting;
      if (next > 0) {
        this.#run(this.#step, next);
        waiting = this.#s.picked.readRange((start + length) % RING, next);
        waiting.catch(() => {});
      }
      for (const id of await picked) {
        if (stop.has(id)) {
          if (next > 0) await waiting;
          return;
        }
        yield id;
        made++;
      }
      if (next <= 0) return;
      [from, burst] = [start + length, next];
    }
  }

  /** Positions kept in each layer, ascending. */
  async kept(): Promise<number[][]> {
    this.#assertLive();
    return keptPositions(this.gpu, this.#state, this.#seen);
  }

  /** Runs the step on one token and says nothing: for those who watch the state in between. Call after `start`; past its ids the choices go on. */
  advanceOne(): void {
    if (this.#seen >= this.#most())
      throw new UserError(`state "${this.policy.text}" holds no more than ${this.#most()} positions`);
    this.#run(this.#step, 1);
  }

  /** Prepares a run over `ids` (at most a ring full) that is stepped by `advanceOne`. */
  start(ids: readonly number[]): void {
    if (ids.length > RING) throw new UserError(`at most ${RING} tokens can be stepped one by one, got ${ids.length}`);
    this.#begin(ids, {});
    this.#supply(ids, 0, RING);
  }

  /** Longest text the state can take: bound only by the rotary tables for policies that drop tokens. */
  #most(): number {
    return this.#bounded ? MOST_POSITIONS : Math.min(this.#state.slots, MOST_POSITIONS);
  }

  get #bounded(): boolean {
    return POLICIES[this.policy.name]?.unbounded !== true;
  }

  #begin(ids: readonly number[], sampling: Sampling): void {
    this.#assertLive();
    const { vocab } = this.config;
    if (ids.length === 0) throw new UserError("no tokens to read: the prompt is empty");
    for (const [i, id] of ids.entries()) {
      if (!Number.isInteger(id) || id < 0 || id >= vocab)
        throw new UserError(`token id ${id} (number ${i + 1}) is outside the vocabulary of ${vocab}`);
    }
    const settings = samplingSettings(sampling);
    const most = this.#most();
    if (ids.length > most) {
      throw new UserError(
        `the prompt has ${ids.length} tokens, more than the ${most} positions of state "${this.policy.text}"`,
        {
          hint: "use a state that drops tokens, such as tova:128",
        },
      );
    }
    this.reset();
    this.#s.settings.write(settings);
    this.#s.clock.write([0, ids.length, sampling.seed ?? 0, 0]);
    this.#s.token.write([ids[0] ?? 0]);
  }

  /** Puts the next half ring of prompt tokens (and the one after, which the last of its steps asks for) where the steps find them. */
  #supply(ids: readonly number[], at: number, count: number = RING / 2 + 1): void {
    const part = ids.slice(at, at + count);
    const first = Math.min(part.length, RING - (at % RING));
    this.#s.prompt.write(part.slice(0, first), at % RING);
    if (first < part.length) this.#s.prompt.write(part.slice(first), 0);
  }

  async #read(prompt: readonly number[], prefill: "recurrent" | "oneshot"): Promise<void> {
    if (prefill === "oneshot" && this.#bounded && prompt.length >= this.#state.slots) return this.#readAtOnce(prompt);
    await this.#feedAll(prompt, this.#feed);
    this.#run(this.#step, 1);
  }

  /** Runs `plan` on all prompt tokens but the last. */
  async #feedAll(prompt: readonly number[], plan: Plan | undefined): Promise<void> {
    for (let at = 0; at < prompt.length; at += RING / 2) {
      this.#supply(prompt, at);
      const n = Math.min(RING / 2, prompt.length - 1 - at);
      for (let done = 0; done < n; done += BURST) this.#run(plan, Math.min(BURST, n - done));
      // The ring must not be written over while steps that read it wait.
      await this.gpu.wait();
    }
  }

  /** Full attention over the prompt, then the C best of each layer by the last query (the authors' code). */
  async #readAtOnce(prompt: readonly number[]): Promise<void> {
    const { gpu, config } = this;
    const n = prompt.length;
    const memory = arena(gpu);
    const plans: Plan[] = [];
    try {
      const whole = createState(memory, config, n);
      const scores = memory.tensor({ heads: config.heads, tokens: n }, "f32", { label: "prompt scores" });
      const weights = memory.tensor([n], "f32", { label: "prompt weights" });
      const ranks = memory.tensor([n], "f32", { label: "prompt ranks" });
      const full = await (POLICIES.full as (typeof POLICIES)[string]).load(gpu, {});
      const { recent, first } = protectedBy(this.policy);
      const feed = await gpu.record("full prompt step", () => {
        this.#layers(whole, scores, full);
        this.#k.advance(this.#s.prompt, this.#s.token, this.#s.clock);
      });
      plans.push(feed);
      const last = await gpu.record("last prompt step", () => {
        this.#layers(whole, scores, (_, i) => {
          const [from, to] = [whole.layers[i], this.#state.layers[i]] as [LayerState, LayerState];
          this.#k.weigh(scores, this.#s.lse, weights);
          if (recent + first > 0) this.#k.protect(weights, recent, first);
          this.#k.rank(weights, ranks);
          this.#k.place(ranks, from.k, from.v, to.k, to.v, to.positions, to.free);
        });
        this.#finish();
      });
      plans.push(last);
      await this.#feedAll(prompt, feed);
      this.#run(last, 1);
      await gpu.wait();
    } finally {
      for (const plan of plans) plan.destroy();
      memory.destroy();
    }
  }

  #run(plan: Plan | undefined, times: number): void {
    this.#assertLive();
    plan?.run(times);
    this.#seen += times;
  }

  #assertLive(): void {
    if (!this.#live) throw new UserError(`the decoder of "${this.config.name}" was destroyed`);
  }

  /** Frees everything the decoder put on the GPU; whatever is asked of it afterwards throws a `UserError`. */
  destroy(): void {
    if (!this.#live) return;
    this.#live = false;
    for (const p of [this.#step, this.#feed]) p?.destroy();
    this.#arena.destroy();
  }
}
