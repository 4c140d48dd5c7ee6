/**
 * The fixed state of one or several sequences: per layer C+1 slots of keys and values, the position in each slot, and which slot the next token overwrites.
 *
 * Nothing in it moves or grows. Keys are stored rotated at their absolute position, so the order of the slots means nothing (policies.md 1.2: equal to the
 * authors' compacting code step by step). One slot is always free: what is in it does not count, so a step that is not to count has a place to write to.
 */
import type { DeviceTensor, Gpu } from "../../runtime/index.ts";
import type { Widths } from "../config/widths.ts";

/** The shape that matters to a state. */
export type StateShape = Pick<Widths, "layers" | "heads" | "groups" | "headDim">;

export interface LayerState {
  /** [sequences, groups, slots, headDim], and the same memory as halves. */
  readonly k: DeviceTensor;
  readonly v: DeviceTensor;
  readonly kHalves: DeviceTensor;
  readonly vHalves: DeviceTensor;
  /** [sequences]: the slot that the next token is written to. */
  readonly free: DeviceTensor;
  /** [sequences]: the slot that the policy named last. */
  readonly victim: DeviceTensor;
}

export interface State {
  readonly sequences: number;
  readonly slots: number;
  readonly layers: readonly LayerState[];
  /** [layers, sequences, slots]: absolute position of the token in each slot. */
  readonly positions: DeviceTensor;
  /** [layers, lanes]: `free` of all layers; the first `sequences` lanes are used. */
  readonly free: DeviceTensor;
  readonly victim: DeviceTensor;
  destroy(): void;
}

/** Bytes that a state of `slots` slots (C+1) holds on the GPU for each sequence, without padding. */
export function stateBytes(shape: StateShape, slots: number): number {
  return shape.layers * (2 * shape.groups * slots * shape.headDim * 4 + slots * 4 + 4);
}

/** A binding starts at a multiple of 256 bytes: rows of a tensor whose rows are bound alone are this many words, or a multiple of it. */
const ROW_WORDS = 64;

/** Sequences that a row of `free` and `victim` has room for. */
export function lanesOf(sequences: number): number {
  return Math.ceil(sequences / ROW_WORDS) * ROW_WORDS;
}

export function createState(
  gpu: Pick<Gpu, "tensor" | "tensors">,
  shape: StateShape,
  slots: number,
  sequences = 1,
): State {
  const { groups, headDim } = shape;
  const lanes = lanesOf(sequences);
  const table = (label: string): DeviceTensor => gpu.tensor({ layers: shape.layers, lanes }, "u32", { label });
  const [free, victim] = [table("free slots"), table("victims")];
  const positions = gpu.tensor({ layers: shape.layers, sequences, slots }, "u32", { label: "positions" });
  const rowOf = (t: DeviceTensor, i: number): DeviceTensor => t.view([t.length]).slice(i * lanes, sequences);
  const layers = Array.from({ length: shape.layers }, (_, i): LayerState => {
    // One buffer a layer: with a binding for each of them, the q/k/v kernel would bind more than browsers promise.
    const layer = gpu.tensors({
      k: { shape: { sequences, groups, slots, dim: headDim }, label: `layer ${i} key cache` },
      v: { shape: { sequences, groups, slots, dim: headDim }, label: `layer ${i} value cache` },
    });
    const halves = { sequences, groups, slots, halves: 2, half: headDim / 2 };
    return {
      ...layer,
      kHalves: layer.k.view(halves),
      vHalves: layer.v.view(halves),
      free: rowOf(free, i),
      victim: rowOf(victim, i),
    };
  });
  return {
    sequences,
    slots,
    layers,
    positions,
    free,
    victim,
    destroy(): void {
      for (const t of [positions, free, victim, ...layers.flatMap((l) => [l.k, l.v])]) t.destroy();
    },
  };
}

/** Positions that a sequence keeps in each layer after `seen` tokens, ascending: all live slots but the one that is to be overwritten. */
export async function keptPositions(gpu: Gpu, state: State, seen: number, sequence = 0): Promise<number[][]> {
  const { sequences, slots, layers } = state;
  const [free, positions] = await gpu.read([state.free, state.positions]);
  return layers.map((_, i) => {
    const from = (i * sequences + sequence) * slots;
    const live = [...(positions?.slice(from, from + Math.min(seen, slots)) ?? [])];
    const next = free?.[i * lanesOf(sequences) + sequence];
    return live.filter((_, slot) => slot !== next).sort((a, b) => a - b);
  });
}
