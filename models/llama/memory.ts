/**
 * The memory contract: bytes of weights, state and scratch, computed from config and policy before anything is loaded.
 *
 * WebGPU cannot say how much memory is free, so what is needed is said first and refused early where it is known not to fit.
 */
import { bytesOf } from "../../runtime/dtype.ts";
import type { ModelSource, WeightDType } from "../formats/weights.ts";
import { canonicalShapes, elements } from "../formats/weights.ts";
import { ROPE_ROWS } from "../kernels/rotate.ts";
import type { PolicySpec } from "../state/policy.ts";
import { POLICIES } from "../state/policy.ts";
import { stateBytes } from "../state/state.ts";
import type { LlamaConfig } from "./config.ts";

/** Prompt tokens and picked tokens that wait on the GPU at a time. */
export const RING = 1024;

export interface Contract {
  readonly parameters: number;
  readonly weights: number;
  readonly state: number;
  readonly scratch: number;
  /** C, and the slots that are allocated for it. */
  readonly kept: number;
  readonly slots: number;
}

/** Slots to allocate: C+1 for policies that drop tokens, C for those that do not. */
export function slotsOf(config: LlamaConfig, policy: PolicySpec): { kept: number; slots: number } {
  const unbounded = POLICIES[policy.name]?.unbounded === true;
  const kept = policy.slots ?? config.context;
  return { kept, slots: unbounded ? kept : kept + 1 };
}

/** Rows of the logits buffer: enough to read many tokens' logits at once, at most 8 MiB. */
export function logitRows(config: LlamaConfig): number {
  return Math.max(1, Math.min(64, Math.floor((2 << 20) / config.vocab)));
}

/** The format in which a stored weight is kept on this adapter. */
export function keptAs(stored: WeightDType, half: boolean): WeightDType {
  return stored === "f16" && !half ? "f32" : stored;
}

/** Bytes a decoder of this model with this state takes on the GPU; `half` says whether the adapter has half precision (f16 weights are widened where not). */
export function contract(source: ModelSource, policy: PolicySpec, half = true): Contract {
  const { config } = source;
  const { kept, slots } = slotsOf(config, policy);
  let parameters = 0;
  let weights = 0;
  for (const [name, shape] of canonicalShapes(config)) {
    if (name === "head" && source.tensor("head") === source.tensor("embed")) continue;
    parameters += elements(shape);
    weights += elements(shape) * bytesOf(keptAs(source.tensor(name).dtype, half));
  }
  const vectors = config.dim + 2 * config.heads * config.headDim + config.ff + config.heads * (slots + 1);
  const tables = 2 * ROPE_ROWS * config.headDim;
  const scratch = 4 * (vectors + tables + logitRows(config) * config.vocab + 2 * RING + 9);
  return { parameters, weights, state: stateBytes(config, slots), scratch, kept, slots };
}
