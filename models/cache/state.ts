/**
 * The state of one or several sequences: all that a sequence is. Keys and values of each layer, the position in each
 * slot, which slot the next token overwrites, what a policy remembers; where the sequence stands and how its tokens are
 * chosen; and what the host knows of it.
 *
 * Nothing in it moves or grows. Keys are stored rotated at their absolute position, so the order of the slots means
 * nothing (policies.md 1.2: equal to the authors' compacting code step by step). One slot of a layer is always free:
 * what is in it does not count, so a step that is not to count has a place to write to.
 *
 * Layers may differ in slots. Those that have as many are a *group*, whose tables are one tensor each, so that a step
 * has one dispatch of the policy for all of them. A sequence is a row of every tensor, which is contiguous except in
 * `free` and `victim`, and all rows of a tensor are of one size: `rowTensors` lists them.
 */
import type { DeviceTensor, Maker } from "../../runtime/index.ts";
import { FEED } from "../kernels/feed.ts";
import type { StateShape } from "./policies/interface.ts";
import { Sequence } from "./sequence.ts";

/** Stop tokens that the GPU knows of. */
export const STOPS = 16;
/** Temperature, top-k, top-p, and room for one more. */
export const SETTINGS = 4;

/** What the layers of a state are to hold. */
export interface Room {
  /** Slots of each layer: one more than tokens are kept. */
  readonly slots: readonly number[];
  /** Numbers that the policy remembers of each slot. */
  readonly memories: number;
  /** Does attention leave its scores for the policy? */
  readonly observed: boolean;
}

/** Layers of one number of slots. */
export interface LayerGroup {
  readonly slots: number;
  /** Their numbers in the model. */
  readonly layers: readonly number[];
  /** [layers, sequences, slots], u32: absolute position of the token in each slot. */
  readonly positions: DeviceTensor;
  /** [layers, lanes], u32: the slot that the next token is written to; the first `sequences` lanes are used. */
  readonly free: DeviceTensor;
  /** [layers, lanes], u32: the slot that the policy named last. */
  readonly victim: DeviceTensor;
  /**
   * [layers, sequences, memories, slots], f32: what the policy remembers, if anything. What is there of a free or empty
   * slot does not count.
   */
  readonly memory: DeviceTensor | undefined;
}

export interface LayerState {
  readonly slots: number;
  /** [sequences, groups, slots, headDim], and the same memory as halves. */
  readonly k: DeviceTensor;
  readonly v: DeviceTensor;
  readonly kHalves: DeviceTensor;
  readonly vHalves: DeviceTensor;
  /** [sequences]: its row of the group's tables. */
  readonly free: DeviceTensor;
  readonly victim: DeviceTensor;
  /** Where it belongs, and its number there. */
  readonly group: LayerGroup;
  readonly index: number;
}

export interface SequenceState {
  readonly sequences: number;
  readonly layers: readonly LayerState[];
  /** The first one has the fewest slots. */
  readonly groups: readonly [LayerGroup, ...LayerGroup[]];
  /** [sequences, FEED], u32: where each sequence stands (kernels/feed.ts). */
  readonly feed: DeviceTensor;
  /** [sequences, SETTINGS]: temperature, top-k, top-p. */
  readonly settings: DeviceTensor;
  /** [sequences, STOPS], u32: tokens that end its text. */
  readonly stops: DeviceTensor;
  /** What the host knows of each. */
  readonly rows: readonly Sequence[];
  destroy(): void;
}

/** Layers by their number of slots, the fewest first. */
export function groupsOf(
  slots: readonly number[],
): readonly { readonly slots: number; readonly layers: readonly number[] }[] {
  return [...new Set(slots)]
    .sort((a, b) => a - b)
    .map((n) => ({ slots: n, layers: slots.flatMap((m, layer) => (m === n ? [layer] : [])) }));
}

/** Bytes that each sequence holds on the GPU in its layers, without padding. */
export function stateBytes(shape: StateShape, { slots, memories }: Pick<Room, "slots" | "memories">): number {
  const { groups, headDim } = shape;
  return slots.reduce((sum, n) => sum + 2 * groups * n * headDim * 4 + n * 4 + memories * n * 4 + 4, 0);
}

/** Bytes of what else belongs to each sequence. */
export const ROW_BYTES: number = 4 * (FEED + SETTINGS + STOPS);

/**
 * A binding starts at a multiple of 256 bytes: rows of a tensor whose rows are bound alone are this many words, or a
 * multiple of it.
 */
const ROW_WORDS = 64;

/** Sequences that a row of `free` and `victim` has room for. */
export function lanesOf(sequences: number): number {
  return Math.ceil(sequences / ROW_WORDS) * ROW_WORDS;
}

/** A state of `sequences` empty sequences. */
export function createState(
  gpu: Pick<Maker, "tensor" | "tensors">,
  shape: StateShape,
  room: Pick<Room, "slots" | "memories">,
  sequences = 1,
): SequenceState {
  const { headDim } = shape;
  const lanes = lanesOf(sequences);
  const made: DeviceTensor[] = [];
  const tensor: Maker["tensor"] = (...args) => {
    const t = gpu.tensor(...args);
    made.push(t);
    return t;
  };
  const groups = groupsOf(room.slots).map(({ slots, layers }): LayerGroup => {
    const table = (label: string): DeviceTensor => tensor({ layers: layers.length, lanes }, "u32", { label });
    const [free, victim] = [table("free slots"), table("victims")];
    const positions = tensor({ layers: layers.length, sequences, slots }, "u32", { label: "positions" });
    const memories = { layers: layers.length, sequences, memories: room.memories, slots };
    const memory = room.memories === 0 ? undefined : tensor(memories, "f32", { label: "policy memory" });
    return { slots, layers, positions, free, victim, memory };
  });
  const rowOf = (t: DeviceTensor, i: number): DeviceTensor => t.view([t.length]).slice(i * lanes, sequences);
  const layers = room.slots.map((slots, i): LayerState => {
    const group = groups.find((g) => g.slots === slots) as LayerGroup;
    const index = group.layers.indexOf(i);
    // One buffer a layer: with a binding for each of them, the q/k/v kernel would bind more than browsers promise.
    const layer = gpu.tensors({
      k: { shape: { sequences, groups: shape.groups, slots, dim: headDim }, label: `layer ${i} key cache` },
      v: { shape: { sequences, groups: shape.groups, slots, dim: headDim }, label: `layer ${i} value cache` },
    });
    made.push(layer.k, layer.v);
    const halves = { sequences, groups: shape.groups, slots, halves: 2, half: headDim / 2 };
    return {
      ...layer,
      slots,
      kHalves: layer.k.view(halves),
      vHalves: layer.v.view(halves),
      free: rowOf(group.free, index),
      victim: rowOf(group.victim, index),
      group,
      index,
    };
  });
  return {
    sequences,
    layers,
    groups: groups as [LayerGroup, ...LayerGroup[]],
    feed: tensor({ sequences, feed: FEED }, "u32", { label: "feed" }),
    settings: tensor({ sequences, settings: SETTINGS }, "f32", { label: "settings" }),
    stops: tensor({ sequences, stops: STOPS }, "u32", { label: "stops" }),
    rows: Array.from({ length: sequences }, () => new Sequence()),
    destroy(): void {
      for (const t of made.splice(0)) t.destroy();
    },
  };
}

/** Slots that every layer has at least. */
export function fewestSlots({ groups }: Pick<SequenceState, "groups">): number {
  return groups[0].slots;
}

/** Writes the slot of the next token, the same in every layer of every sequence. */
export function writeFree({ groups }: Pick<SequenceState, "groups">, slot: number): void {
  for (const { free } of groups) free.write(new Uint32Array(free.length).fill(slot));
}

/**
 * Positions that a sequence keeps in each layer after `seen` tokens, ascending: all live slots but the one that is to
 * be overwritten.
 */
export async function keptPositions(
  gpu: { read(tensors: readonly DeviceTensor[]): Promise<readonly ArrayLike<number>[]> },
  state: Pick<SequenceState, "sequences" | "layers" | "groups">,
  seen: number,
  sequence = 0,
): Promise<number[][]> {
  const { sequences, groups, layers } = state;
  const read = await gpu.read(groups.flatMap((g) => [g.free, g.positions]));
  return layers.map(({ group, index, slots }) => {
    const at = 2 * groups.indexOf(group);
    const [free, positions] = [read[at], read[at + 1]];
    const from = (index * sequences + sequence) * slots;
    const live = Array.from({ length: Math.min(seen, slots) }, (_, slot) => positions?.[from + slot] ?? 0);
    const next = free?.[index * lanesOf(sequences) + sequence];
    return live.filter((_, slot) => slot !== next).sort((a, b) => a - b);
  });
}
