/**
 * The fixed state of a decoder: per layer C+1 slots of keys and values, the position in each slot, and which slot the next token overwrites.
 *
 * Nothing in it moves or grows. Keys are stored rotated at their absolute position, so the order of the slots means nothing (policies.md 1.2: equal to the
 * authors' compacting code step by step).
 */
import type { DeviceTensor, Gpu } from "../../runtime/index.ts";
import type { LlamaConfig } from "../llama/config.ts";

/** The shape that matters to a state. */
export type StateShape = Pick<LlamaConfig, "layers" | "heads" | "groups" | "headDim">;

export interface LayerState {
  /** [groups, slots, headDim], and the same memory as halves. */
  readonly k: DeviceTensor;
  readonly v: DeviceTensor;
  readonly kHalves: DeviceTensor;
  readonly vHalves: DeviceTensor;
  /** Absolute position of the token in each slot. */
  readonly positions: DeviceTensor;
  /** The slot that the next token is written to. */
  readonly free: DeviceTensor;
}

export interface State {
  readonly slots: number;
  readonly layers: readonly LayerState[];
  destroy(): void;
}

/** Bytes that a state of `slots` slots (C+1 for bounded policies) holds on the GPU, without padding. */
export function stateBytes(shape: StateShape, slots: number): number {
  return shape.layers * (2 * shape.groups * slots * shape.headDim * 4 + slots * 4 + 4);
}

export function createState(gpu: Pick<Gpu, "tensors">, shape: StateShape, slots: number): State {
  const { groups, headDim } = shape;
  const layers = Array.from({ length: shape.layers }, (_, i): LayerState => {
    // One buffer a layer: with a binding for each of them, the q/k/v kernel would bind more than browsers promise.
    const layer = gpu.tensors({
      free: { shape: { one: 1 }, dtype: "u32", label: `layer ${i} free slot` },
      positions: { shape: { slots }, dtype: "u32", label: `layer ${i} positions` },
      k: { shape: { groups, slots, dim: headDim }, label: `layer ${i} key cache` },
      v: { shape: { groups, slots, dim: headDim }, label: `layer ${i} value cache` },
    });
    const halves = { groups, slots, halves: 2, half: headDim / 2 };
    return { ...layer, kHalves: layer.k.view(halves), vHalves: layer.v.view(halves) };
  });
  return {
    slots,
    layers,
    destroy(): void {
      for (const l of layers) for (const t of [l.k, l.v, l.positions, l.free]) t.destroy();
    },
  };
}

/** Positions kept in each layer after `seen` tokens, ascending: all live slots but the one that is to be overwritten. */
export async function keptPositions(gpu: Gpu, state: State, seen: number): Promise<number[][]> {
  const read = await gpu.read(state.layers.flatMap((l) => [l.positions, l.free]));
  return state.layers.map((_, i) => {
    const positions = [...(read[2 * i] ?? [])];
    const free = read[2 * i + 1]?.[0];
    const live = positions.slice(0, Math.min(seen, state.slots));
    return live.filter((_, slot) => slot !== free).sort((a, b) => a - b);
  });
}
