/**
 * The memory contract: bytes of weights, state and scratch, computed from config and policy before anything is loaded.
 *
 * WebGPU cannot say how much memory is free, so what is needed is said first and refused early where it is known not to fit.
 */
import { bytesOf } from "../../runtime/dtype.ts";
import type { ModelSource, WeightDType } from "../formats/weights.ts";
import { canonicalShapes, elements } from "../formats/weights.ts";
import type { PolicySpec } from "../state/policy.ts";
import { stateBytes } from "../state/state.ts";
import type { LlamaConfig } from "./config.ts";
import { scratchBytes, statesOf } from "./scratch.ts";

export interface Contract {
  readonly parameters: number;
  readonly weights: number;
  readonly state: number;
  readonly scratch: number;
  /** C, and the slots that are allocated for it. */
  readonly kept: number;
  readonly slots: number;
}

/** Slots to allocate: one more than tokens are kept. */
export function slotsOf(config: LlamaConfig, policy: PolicySpec): { kept: number; slots: number } {
  const kept = policy.slots ?? config.context;
  return { kept, slots: kept + 1 };
}

/** The format in which a stored weight is kept on this adapter. */
export function keptAs(stored: WeightDType, half: boolean): WeightDType {
  return stored === "f16" && !half ? "f32" : stored;
}

/** Bytes a decoder of this model with this state takes on the GPU; `half` says whether the adapter has half precision (f16 weights are widened where not). */
export function contract(source: ModelSource, policy: PolicySpec, half = true, batch = 1): Contract {
  const { config } = source;
  const { kept, slots } = slotsOf(config, policy);
  let parameters = 0;
  let weights = 0;
  for (const [name, shape] of canonicalShapes(config)) {
    if (name === "head" && source.tensor("head") === source.tensor("embed")) continue;
    parameters += elements(shape);
    weights += elements(shape) * bytesOf(keptAs(source.tensor(name).dtype, half));
  }
  const sequences = statesOf(batch).reduce((a, b) => a + b, 0);
  const state = sequences * stateBytes(config, slots);
  return { parameters, weights, state, scratch: scratchBytes(config, slots, batch), kept, slots };
}
