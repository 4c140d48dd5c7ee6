/**
 * Prompts: many tokens of one sequence through the matrix products at once.
 *
 * As long as nothing has to be dropped, a piece of a prompt goes straight into the slots and its tokens attend side by
 * side. Once the state is full, every token costs another one its place, and the next token must see that. But which
 * token a layer drops depends on nothing but that layer's own queries and keys, so each layer may do all tokens of the
 * piece before the next layer begins: products for all, then token by token append, attend, evict. The result is that
 * of reading one by one, without reading the weights for each.
 */

import { owned } from "../../runtime/device/scopes.ts";
import { settle } from "../../runtime/device/wait.ts";
import type { Capabilities, DeviceTensor, Plan } from "../../runtime/index.ts";
import type { Target } from "../blocks/attention.ts";
import { MOST_POSITIONS } from "../blocks/rope.ts";
import { fewestSlots, type LayerState, writeFree } from "../cache/state.ts";
import { FEED } from "../kernels/feed.ts";
import {
  type Model,
  observedIn,
  type Rows,
  recordAttend,
  recordChoice,
  recordLayers,
  recordLimit,
  recordLogits,
  recordPolicy,
} from "./record.ts";
import type { WarmPart } from "./warm.ts";
import { CHUNKS, logitRows } from "./workspace.ts";

/** Fewer tokens than this are read one by one: a piece would be padding for the most part. */
const FEW = 8;
/** Where the kernels of a piece take seconds to compile, as many single tokens are read in less time as this. */
const FEW_WHERE_SLOW = 32;
/**
 * Tokens of a piece where kernels compile slowly, for models below and from so many parameters. Pieces of 64 are half
 * as fast again, but their kernels take seconds: more than a small model ever gains by them.
 */
const WHERE_SLOW = { below: 16, from: 64, parameters: 1e7 } as const;
/**
 * Tokens read one by one that are submitted in a row, before anybody looks whether they are still wanted: those of the
 * smallest piece.
 */
const ROW = 16;
/**
 * Tokens times parameters that are read one by one before the GPU is waited for: about a quarter of a second on a
 * software adapter, the only kind that reads more than a handful so. Where tokens are quick, waiting would only leave
 * the adapter idle; where they take long, whoever leaves should not leave seconds of work behind.
 */
const MOST_AHEAD = 1.25e9;
/** A submission should take no longer, or drivers may take the GPU for hung. */
const MOST_MS = 1000;
/**
 * Tokens a second times parameters that the slower GPUs of a kind do: what a piece is sized by before anything was
 * measured.
 */
const RATES: Readonly<Record<Capabilities["kind"], number>> = {
  software: 2e10,
  unknown: 4e11,
  integrated: 4e11,
  discrete: 4e12,
};

/** Most tokens of a piece for a model of so many parameters. */
function mostFor({ kind, traits }: Capabilities, parameters: number): number {
  if (traits.compilesSlowly) return parameters < WHERE_SLOW.parameters ? WHERE_SLOW.below : WHERE_SLOW.from;
  const fits = CHUNKS.findLast((n) => (n * parameters * 1000) / RATES[kind] <= MOST_MS) ?? 1;
  return Math.max(fits, CHUNKS[1] ?? 1);
}

/**
 * What is wanted of the logits on the way: after each piece, those of its tokens are handed over, or their most likely
 * continuations.
 */
export interface Watch {
  readonly what: "logits" | "best";
  readonly take: (values: Float32Array | Uint32Array, at: number) => void;
}

/** How a prompt is read. */
export interface Reading {
  /**
   * Called between two pieces; what it throws ends the reading, and leaves a state that has read a part of the prompt.
   */
  readonly halt: () => void;
  readonly watch?: Watch | undefined;
}

export class Prefill {
  readonly #model: Model;
  readonly #rows: Rows;
  readonly #plans: Map<string, Promise<Plan>> = new Map();
  readonly #ran: Set<Plan> = new Set();
  /**
   * Most tokens of a piece. Chosen by the model's size, so that the same prompt is always cut alike; lowered only when
   * a submission took too long.
   */
  #most: number;

  /** Prompts of fewer tokens are read one by one. */
  readonly #few: number;
  /** Tokens read one by one that are submitted in a row. */
  readonly #row: number;
  /**
   * Positions below which no layer drops anything and nobody has to see every token: whole pieces go straight into the
   * slots.
   */
  readonly #room: number;

  constructor(model: Model, rows: Rows) {
    const { gpu, parameters, piece } = model;
    this.#model = model;
    this.#rows = rows;
    this.#most = piece ?? mostFor(gpu.capabilities, parameters);
    this.#few = piece === undefined && gpu.capabilities.traits.compilesSlowly ? FEW_WHERE_SLOW : FEW;
    this.#row = Math.max(1, Math.min(ROW, Math.floor(MOST_AHEAD / parameters)));
    this.#room = model.eviction.remembers ? 0 : fewestSlots(rows.state) - 1;
  }

  /**
   * Puts `ids` behind the `seen` tokens that the state has read; the result is the row of the residual stream in which
   * the last of them ends.
   * @throws what went wrong with it on the GPU, and what `halt` throws.
   */
  async read(ids: readonly number[], seen: number, { halt, watch }: Reading): Promise<number> {
    const { parameters, gpu } = this.#model;
    const { device } = gpu;
    let last = 0;
    /** Tokens that were read one by one since the GPU was waited for. */
    let ahead = 0;
    for (let at = 0, n = 0; at < ids.length; at += n) {
      const room = this.#room - (seen + at);
      const rest = Math.min(ids.length - at, room > 0 ? room : Infinity);
      const size = ids.length < this.#few ? 1 : this.#sizeFor(rest, watch);
      n = Math.min(rest, size > 1 ? size : watch === undefined ? this.#row : 1);
      halt();
      const plan = await this.#plan(size, room > 0);
      halt();
      const began = performance.now();
      const { verdict } = owned(device, `a prompt, ${nameOf(size, room > 0)}`, () => {
        if (size === 1) return this.#readSingly(plan, ids.slice(at, at + n), seen + at);
        this.#write(ids.slice(at, at + n), seen + at, size, room > 0);
        plan.run(1, n);
        if (room > 0) writeFree(this.#rows.state, seen + at + n);
      });
      last = size > 1 ? n - 1 : 0;
      if (watch !== undefined) await this.#show(watch, halt, size, n, at);
      else if (size > 1) await settle(device, `prompt of ${size}`, verdict);
      else {
        ahead += n;
        if (ahead * parameters >= MOST_AHEAD) {
          await settle(device, `prompt of ${n} single tokens`, verdict);
          ahead = 0;
        }
      }
      // What the GPU thinks of it is known long before it has done it.
      const failure = await verdict;
      if (failure !== undefined) throw failure;
      if (size === 1) continue;
      this.#learn(size, performance.now() - began, this.#ran.has(plan));
      this.#ran.add(plan);
    }
    return last;
  }

  /** Submits tokens one by one. */
  #readSingly(plan: Plan, ids: readonly number[], seen: number): void {
    for (const [i, id] of ids.entries()) {
      this.#write([id], seen + i, 1, true);
      plan.run();
    }
  }

  /** A piece that took too long makes the next ones smaller; its first run may have been spent on compiling. */
  #learn(size: number, took: number, warm: boolean): void {
    if (warm && took > MOST_MS && size === this.#most)
      this.#most = CHUNKS[Math.max(1, CHUNKS.indexOf(size) - 1)] ?? size;
  }

  /**
   * Logits of the row `row` of the residual stream and the choice of what follows the `seen` tokens, by a call;
   * settings and stop tokens must be written.
   */
  async chooser(): Promise<(choice: Choice) => void> {
    const plan = await this.#choice();
    return ({ seen, row, tick, end, seed }) => {
      this.#rows.state.feed.write([seen - 1, 0, row, 0, tick, end, seed, 0]);
      plan.run();
    };
  }

  /**
   * What prompts of any length can need, for warming up: a token alone, the pieces that `read` would cut (with room for
   * them, and without where the state `drops` tokens) and the choice. Running them leaves a state that is to be
   * emptied.
   */
  parts(drops: boolean): WarmPart[] {
    const room = this.#room;
    const most = CHUNKS.at(-1) ?? 1;
    const cut = (rest: number): number[] => {
      const sizes = Array.from({ length: Math.min(rest, most) }, (_, i) => this.#sizeFor(i + 1));
      return [...new Set(sizes)].filter((n) => n > 1);
    };
    const long = drops || room >= this.#few;
    const parts = [this.#part(1, 0, true)];
    if (long) parts.push(...cut(room).map((size) => this.#part(size, 0, true)));
    if (drops) parts.push(...cut(most).map((size) => this.#part(size, fewestSlots(this.#rows.state) - 1, false)));
    const run = (plan: Plan): void => {
      this.#rows.state.feed.write([0, 0, 0, 0, 0, MOST_POSITIONS, 0, 0]);
      plan.run();
    };
    return [...parts, { name: "choice", make: () => this.#choice(), run }];
  }

  /** A piece of zeros behind `seen` tokens, of which one takes its turn if they have to. */
  #part(size: number, seen: number, fits: boolean): WarmPart {
    const { groups } = this.#rows.state;
    const run = (plan: Plan): void => {
      // A policy looks at the positions of all slots, and should see what it could see in earnest.
      if (!fits)
        for (const { positions, slots } of groups)
          positions.write(Uint32Array.from({ length: positions.length }, (_, i) => i % slots));
      this.#write(new Array<number>(fits ? Math.min(size, this.#room) : size).fill(0), seen, size, fits);
      plan.run();
      this.#ran.add(plan);
    };
    return { name: `prompt: ${nameOf(size, fits)}`, make: () => this.#plan(size, fits), run };
  }

  destroy(): void {
    for (const plan of this.#plans.values()) plan.then((p) => p.destroy()).catch(() => {});
    this.#plans.clear();
  }

  #sizeFor(rest: number, watch?: Watch): number {
    if (rest < FEW) return 1;
    const most = watch === undefined ? this.#most : Math.min(this.#most, logitRows(this.#model.config));
    const sizes = CHUNKS.filter((n) => n <= most);
    // Padding up to a half is cheaper than a second look at the weights.
    return sizes.find((n) => n >= rest && n <= 2 * rest) ?? sizes.findLast((n) => n <= rest) ?? 1;
  }

  /**
   * Tells the kernels of a piece what its tokens are. Rows beyond `ids` are padding: they go to the slot behind the
   * last, which counts as free.
   */
  #write(ids: readonly number[], seen: number, size: number, fits: boolean): void {
    const { flow } = this.#model;
    const n = ids.length;
    // In order of the columns: position, sequence, row, id, tick, end, seed, rests.
    flow.cursor.write([seen, 0, 0, ids[0] ?? 0, n, 0, 0, 0]);
    if (size === 1) return;
    const feed = new Uint32Array(size * FEED);
    for (let t = 0; t < size; t++) {
      const position = Math.min(seen + Math.min(t, n), MOST_POSITIONS - 1);
      // Keys and values that wait for their turn lie as if each belonged to a sequence of its own with one slot.
      feed.set([position, fits ? 0 : t, t, ids[t] ?? 0], t * FEED);
    }
    flow.feed.write(feed, 0);
    if (fits)
      flow.slot.write(
        Uint32Array.from({ length: size }, (_, t) => seen + Math.min(t, n)),
        0,
      );
  }

  #plan(size: number, fits: boolean): Promise<Plan> {
    const name = nameOf(size, fits);
    if (size === 1) return this.#made(name, () => this.#recordToken());
    return this.#made(name, () => (fits ? this.#recordFitting(size) : this.#recordEvicting(size)));
  }

  #choice(): Promise<Plan> {
    return this.#made("choice", () => recordChoice(this.#model, this.#rows));
  }

  #made(label: string, record: () => void): Promise<Plan> {
    let plan = this.#plans.get(label);
    if (plan === undefined) {
      plan = this.#model.gpu.record(`prompt: ${label}`, record);
      plan.catch(() => this.#plans.delete(label));
      this.#plans.set(label, plan);
    }
    return plan;
  }

  #layer(i: number): LayerState {
    return this.#rows.state.layers[i] as LayerState;
  }

  #recordToken(): void {
    const { k, flow } = this.#model;
    const [{ victim, slots, free }, ...others] = this.#rows.state.groups;
    const target = (i: number): Target => targetIn(this.#layer(i), this.#layer(i).free);
    recordLayers(this.#model, 1, flow.cursor, target, (i) => {
      recordAttend(this.#model, 1, flow.cursor, 1, this.#layer(i), observedIn(this.#rows, this.#layer(i)));
    });
    recordPolicy(this.#model, flow.cursor, this.#rows);
    for (const g of others) k.commit(g.victim, g.slots, flow.cursor, g.free);
    k.advance(victim, slots, free, flow.cursor);
  }

  #recordFitting(size: number): void {
    const { k, flow } = this.#model;
    const [feed, slot, q, out] = [flow.feed, flow.slot, flow.q, flow.out].map((t) => t.slice(0, size)) as [
      DeviceTensor,
      DeviceTensor,
      DeviceTensor,
      DeviceTensor,
    ];
    const target = (i: number): Target => targetIn(this.#layer(i), slot);
    recordLayers(this.#model, size, feed, target, (i) => {
      const c = this.#layer(i);
      k.flash(q, c.k, c.v, feed, slot, out, c.group.positions, c.index);
    });
  }

  #recordEvicting(size: number): void {
    const { gpu, config, k, flow, eviction } = this.#model;
    const [feed, slot] = [flow.feed.slice(0, size), flow.nowhere.slice(0, size)];
    const [waitingK, waitingV] = [flow.k.slice(0, size), flow.v.slice(0, size)];
    const halves = { sequences: size, groups: config.groups, slots: 1, halves: 2, half: config.headDim / 2 };
    const target: Target = { k: waitingK.view(halves), v: waitingV.view(halves), slot };
    recordLayers(
      this.#model,
      size,
      feed,
      () => target,
      (i) => {
        const c = this.#layer(i);
        const { positions, memory } = c.group;
        const [victim, free] = [c.group.victim.slice(c.index, 1), c.group.free.slice(c.index, 1)];
        const seen = observedIn(this.#rows, c);
        const alone = seen && { scores: seen.scores.slice(0, 1), lse: seen.lse.slice(0, 1) };
        const { scores, lse } = alone ?? { scores: undefined, lse: undefined };
        gpu.repeat(() => {
          k.append(waitingK, waitingV, flow.cursor, c.free, c.k, c.v);
          recordAttend(this.#model, size, flow.cursor, 1, c, alone);
          eviction.evict({ scores, lse, positions, clock: flow.cursor, free, memory, layer: c.index, victim });
          k.advance(victim, c.slots, free, flow.cursor);
        });
      },
    );
  }

  /** Hands over what is wanted of the logits of a piece that was read just now. */
  async #show(watch: Watch, halt: () => void, size: number, n: number, at: number): Promise<void> {
    const { gpu, config, k, flow } = this.#model;
    const [logits, best] = [flow.logits.slice(0, size), flow.best.slice(0, size)];
    const plan = await this.#made(`${watch.what} of ${size} tokens`, () => {
      const feed = size === 1 ? flow.cursor : flow.feed.slice(0, size);
      recordLogits(this.#model, feed, logits);
      if (watch.what !== "best") return;
      recordLimit(this.#model, logits);
      k.best(logits, best);
    });
    halt();
    const from = watch.what === "best" ? flow.best : flow.logits;
    const width = watch.what === "best" ? 1 : config.vocab;
    const { value, verdict } = owned(gpu.device, `${watch.what} of a prompt`, () => {
      plan.run();
      return from.readRange(0, n * width);
    });
    const [read, failure] = await Promise.allSettled([value, verdict]);
    if (failure.status === "fulfilled" && failure.value !== undefined) throw failure.value;
    if (read.status === "rejected") throw read.reason;
    watch.take(read.value as Float32Array | Uint32Array, at);
  }
}

/**
 * What the choice after a prompt depends on: tokens read, where the last of them ended, the step's number, where the
 * text ends at the latest, the seed.
 */
export interface Choice {
  readonly seen: number;
  readonly row: number;
  readonly tick: number;
  readonly end: number;
  readonly seed: number;
}

function nameOf(size: number, fits: boolean): string {
  return size === 1 ? "token" : fits ? `${size} tokens` : `${size} tokens, evicting`;
}

function targetIn(c: LayerState, slot: DeviceTensor): Target {
  return { k: c.kHalves, v: c.vHalves, slot };
}
