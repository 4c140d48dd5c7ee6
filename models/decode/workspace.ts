/** What a decoder puts on the GPU beside weights and states. */
import type { DeviceTensor, Maker } from "../../runtime/index.ts";
import { groupsOf, lanesOf, ROW_BYTES, type Room } from "../cache/state.ts";
import type { Widths } from "../config/widths.ts";
import { FEED } from "../kernels/feed.ts";
import { ROPE_ROWS } from "../kernels/rotate.ts";

/** Steps whose picked tokens wait on the GPU: those of two bursts. */
export const RING = 64;
/** Steps in one burst at most. */
export const BURST: number = RING / 2;
/**
 * Tokens of a piece of a prompt; each size has kernels of its own, made when it is first needed. The first is a token
 * alone.
 */
export const CHUNKS: readonly number[] = [1, 16, 64, 256];
const MOST_TOKENS = 256;

type Shapes<K extends string> = Readonly<Record<K, readonly ["f32" | "u32", ...number[]]>>;

/**
 * Logits of how many tokens are kept: enough to read those of many tokens at once, at most 8 MiB unless even 16 are
 * more.
 */
export function logitRows(config: Widths): number {
  return Math.max(16, Math.min(64, Math.floor((2 << 20) / config.vocab)));
}

type WayNames = "x" | "angles" | "q" | "out" | "h" | "normed" | "logits";
type PromptNames = "best" | "rope" | "feed" | "slot" | "nowhere" | "k" | "v" | "cursor";

/** What tokens pass through on their way, whatever they belong to, and what is said about the pieces of a prompt. */
export type Flow = Readonly<Record<WayNames | PromptNames, DeviceTensor>>;

function wayShapes(config: Widths, tokens: number, logits: number): Shapes<WayNames> {
  const { dim, ff, heads, headDim, vocab } = config;
  return {
    x: ["f32", tokens, dim],
    angles: ["f32", tokens, 2, headDim / 2],
    q: ["f32", tokens, heads, headDim],
    out: ["f32", tokens, heads, headDim],
    h: ["f32", tokens, ff],
    normed: ["f32", logits, dim],
    logits: ["f32", logits, vocab],
  };
}

function promptShapes(config: Widths): Shapes<PromptNames> {
  const { groups, headDim } = config;
  return {
    best: ["u32", logitRows(config)],
    rope: ["f32", 2, ROPE_ROWS, 2, headDim / 2],
    // What the tokens of a piece are, and the slots that they go to.
    feed: ["u32", MOST_TOKENS, FEED],
    slot: ["u32", MOST_TOKENS],
    // Or their keys and values, where they wait for their turn, and whose turn it is.
    nowhere: ["u32", MOST_TOKENS],
    k: ["f32", MOST_TOKENS, groups, headDim],
    v: ["f32", MOST_TOKENS, groups, headDim],
    cursor: ["u32", 1, FEED],
  };
}

/**
 * The ways of prompts and of the batch. They are two, since steps of the batch go by between the pieces of a prompt.
 */
function waysOf(config: Widths, batch: number): readonly Shapes<WayNames>[] {
  const prompts = wayShapes(config, MOST_TOKENS, logitRows(config));
  return batch === 1 ? [prompts] : [prompts, wayShapes(config, batch, batch)];
}

/** What attention leaves for a policy, for the layers of one group. */
export interface Observations {
  /** [layers, sequences, heads, slots] */
  readonly scores: DeviceTensor;
  /** [layers, sequences, heads] */
  readonly lse: DeviceTensor;
}

/** What a step leaves that is not part of what its sequences are. */
export interface RowTensors {
  /** [RING, sequences], u32: the tokens that the last steps chose. */
  readonly picked: DeviceTensor;
  /** For each group of layers; none where the policy observes nothing. */
  readonly observed: readonly Observations[];
}

/** Shapes of what attention leaves, for each group of layers. */
function observedShapes(heads: number, room: Room, sequences: number): readonly Shapes<"scores" | "lse">[] {
  if (!room.observed) return [];
  return groupsOf(room.slots).map(({ slots, layers }) => ({
    scores: ["f32", layers.length, sequences, heads, slots],
    lse: ["f32", layers.length, sequences, heads],
  }));
}

function pickedShape(sequences: number): Shapes<"picked"> {
  return { picked: ["u32", RING, sequences] };
}

function create<K extends string>(gpu: Maker, shapes: Shapes<K>): Record<K, DeviceTensor> {
  const made = Object.entries<readonly ["f32" | "u32", ...number[]]>(shapes).map(
    ([label, [dtype, ...shape]]) => [label, gpu.tensor(shape, dtype, { label })] as const,
  );
  return Object.fromEntries(made) as Record<K, DeviceTensor>;
}

/** For prompts and for the batch; `tables` is what `ropeTables` gives. */
export function createFlows(gpu: Maker, config: Widths, batch: number, tables: Float32Array): [Flow, Flow] {
  const { k, v, ...shapes } = promptShapes(config);
  // The q/k/v kernel writes both, and with a binding for each would bind more than browsers promise.
  const spec = (label: string, [, ...shape]: readonly ["f32" | "u32", ...number[]]) => ({ shape, label });
  const waiting = gpu.tensors({ k: spec("waiting keys", k), v: spec("waiting values", v) });
  const rest = { ...create(gpu, shapes), ...waiting };
  rest.rope.write(tables);
  const flows = waysOf(config, batch).map((shapes): Flow => ({ ...rest, ...create(gpu, shapes) }));
  return [flows[0], flows.at(-1)] as [Flow, Flow];
}

export function createRows(gpu: Maker, config: Widths, room: Room, sequences: number): RowTensors {
  const observed = observedShapes(config.heads, room, sequences).map((shapes) => create(gpu, shapes));
  return { ...create(gpu, pickedShape(sequences)), observed };
}

/**
 * States that a decoder of `batch` sequences holds: prompts are read in one of their own, unless there is only one
 * anyway.
 */
export function statesOf(batch: number): readonly number[] {
  return batch === 1 ? [1] : [1, batch];
}

/** Bytes of all this, without padding. */
export function scratchBytes(config: Widths, room: Room, batch: number): number {
  const words = (shapes: Shapes<string>): number =>
    Object.values(shapes).reduce((sum, [, ...shape]) => sum + shape.reduce((a, b) => a * b, 1), 0);
  // Free slots count as state, and lie with the victims in rows that are longer than needed.
  const tables = (n: number): number => config.layers * (2 * lanesOf(n) - n);
  const rows = statesOf(batch).map((n) => {
    const left = [pickedShape(n), ...observedShapes(config.heads, room, n)].map(words);
    return left.reduce((a, b) => a + b, 0) + (n * ROW_BYTES) / 4 + tables(n);
  });
  const ways = waysOf(config, batch).map(words);
  return 4 * (words(promptShapes(config)) + [...ways, ...rows].reduce((a, b) => a + b, 0));
}
