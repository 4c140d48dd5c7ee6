/**
 * The way of tokens through all layers, recorded once for each number of tokens: residual stream in, residual stream
 * out.
 *
 * What differs between a batch that decodes, a piece of a prompt and a single token is which slots keys and values go
 * to and how attention is done; both are given. 5 dispatches a layer; a policy adds one to the step.
 */
import type { DeviceTensor, Gpu } from "../../runtime/index.ts";
import { recordOutput, recordQkv, type Target } from "../blocks/attention.ts";
import type { Kernels } from "../blocks/kernels.ts";
import { recordMlp } from "../blocks/mlp.ts";
import { recordNorm } from "../blocks/norm.ts";
import { streamOf } from "../blocks/stream.ts";
import type { Eviction } from "../cache/eviction.ts";
import type { LayerState, SequenceState } from "../cache/state.ts";
import type { ModelSpec } from "../config/spec.ts";
import type { Widths } from "../config/widths.ts";
import type { LayerWeights, Weights } from "../weights/load.ts";
import type { Flow, Observations, RowTensors } from "./workspace.ts";

/** All that recording a step takes. */
export interface Model {
  readonly gpu: Gpu;
  readonly spec: ModelSpec;
  /** Its sizes. */
  readonly config: Widths;
  readonly k: Kernels;
  readonly w: Weights;
  readonly flow: Flow;
  readonly parameters: number;
  /** Most tokens of a piece of a prompt; chosen by adapter and size of the model unless given. */
  readonly piece: number | undefined;
  /** Ids that may be chosen, if that is not all of them. */
  readonly known: number | undefined;
  /** The policy's kernels. */
  readonly eviction: Eviction;
}

/** Sequences with all that is theirs: a batch, or the one whose prompt is being read. */
export interface Rows {
  readonly state: SequenceState;
  readonly own: RowTensors;
}

/**
 * Records `tokens` tokens: `feed` says what they are; `attention` reads flow.q and leaves flow.out, rows of `tokens`.
 */
export function recordLayers(
  { spec, k, w, flow }: Model,
  tokens: number,
  feed: DeviceTensor,
  target: (layer: number) => Target,
  attention: (layer: number) => void,
): void {
  const stream = streamOf(flow, tokens);
  k.embed(w.embed, flow.rope, feed, stream.x, stream.angles);
  for (const [i, layer] of spec.layers.entries()) {
    const weights = w.layers[i] as LayerWeights;
    recordQkv(k, layer, weights, stream, feed, target(i));
    attention(i);
    recordOutput(k, layer, weights, stream);
    recordMlp(k, layer, weights, stream);
  }
}

/**
 * Where attention leaves what the policy observes of a layer, if it observes anything: beside the other layers of its
 * group.
 */
export function observedIn({ state, own }: Rows, { group }: LayerState): Observations | undefined {
  return own.observed[state.groups.indexOf(group)];
}

/**
 * Records attention of the newest token of each sequence that `feed` names over its slots. Queries and outputs are rows
 * of `rows`; `seen` is where it leaves what the policy observes, for all layers of the group or for this one alone.
 */
export function recordAttend(
  { config, k, flow }: Pick<Model, "config" | "k" | "flow">,
  rows: number,
  feed: DeviceTensor,
  sequences: number,
  c: LayerState,
  seen: Observations | undefined,
): void {
  const { heads, groups, headDim } = config;
  const queries = heads / groups;
  const grouped = { rows, groups, queries, dim: headDim };
  const [q, out] = [flow.q.slice(0, rows).view(grouped), flow.out.slice(0, rows).view(grouped)];
  const { positions } = c.group;
  if (seen === undefined) return k.attendOnly(q, c.k, c.v, feed, c.free, out, positions, c.index);
  const [scored = 1] = seen.scores.shape;
  const scores = seen.scores.view({ scored, sequences, groups, queries, slots: c.slots });
  const lse = seen.lse.view({ scored, sequences, groups, queries });
  k.attend(q, c.k, c.v, feed, c.free, out, scores, lse, positions, c.index);
}

/** Records the policy, once for the layers of each group; `clock` is [sequences, FEED]. */
export function recordPolicy({ eviction }: Model, clock: DeviceTensor, { state, own }: Rows): void {
  for (const [i, { positions, free, victim, memory }] of state.groups.entries()) {
    const { scores, lse } = own.observed[i] ?? { scores: undefined, lse: undefined };
    eviction.evict({ scores, lse, positions, clock, free, memory, layer: 0, victim });
  }
}

/** Records a step of all sequences up to the residual stream. */
export function recordStep(model: Model, rows: Rows): void {
  const { state } = rows;
  const { sequences, feed } = state;
  const layer = (i: number): LayerState => state.layers[i] as LayerState;
  const target = (i: number): Target => ({ k: layer(i).kHalves, v: layer(i).vHalves, slot: layer(i).free });
  recordLayers(model, sequences, feed, target, (i) => {
    recordAttend(model, sequences, feed, sequences, layer(i), observedIn(rows, layer(i)));
  });
  recordPolicy(model, feed, rows);
}

/** Records the logits of the rows of the residual stream that `feed` names. */
export function recordLogits({ spec, k, w, flow }: Model, feed: DeviceTensor, logits: DeviceTensor): void {
  const normed = flow.normed.slice(0, logits.shape[0] as number);
  recordNorm(k, spec.norm, w.norm, flow.x, feed, normed);
  k.logits(normed, w.head, logits);
}

/** Records that nothing is chosen from these logits that the tokenizer does not know. */
export function recordLimit({ config, k, known = config.vocab }: Model, logits: DeviceTensor): void {
  if (known < config.vocab) k.ruleOut(logits, known);
}

/**
 * Records the end of a step: logits of the rows of the residual stream that `feed` names, and what each sequence reads
 * next.
 */
export function recordChoice(model: Model, { state, own }: Rows): void {
  const { k, flow } = model;
  const logits = flow.logits.slice(0, state.sequences);
  recordLogits(model, state.feed, logits);
  recordLimit(model, logits);
  const [{ victim, slots, free }, ...others] = state.groups;
  for (const g of others) k.commit(g.victim, g.slots, state.feed, g.free);
  k.choose(logits, state.settings, state.stops, victim, slots, own.picked, state.feed, free);
}
