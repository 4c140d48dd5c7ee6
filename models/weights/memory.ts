/**
 * The memory contract: bytes of weights, state and scratch, computed from config and policy before anything is loaded.
 *
 * WebGPU cannot say how much memory is free, so what is needed is said first and refused early where it is known not to fit.
 */

import { UserError } from "../../runtime/common/errors.ts";
import { bytesOf, type DType } from "../../runtime/memory/dtype.ts";
import { QUANT_BLOCK } from "../../runtime/memory/quantise.ts";
import { POLICIES, type PolicySpec } from "../cache/policy.ts";
import { stateBytes } from "../cache/state.ts";
import type { LlamaConfig } from "../config/model-config.ts";
import { type Room, scratchBytes, statesOf } from "../decode/workspace.ts";
import type { CanonicalName, LayerPart, ModelSource, WeightDType } from "./source.ts";
import { canonicalShapes, elements } from "./source.ts";

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
export function roomOf(config: LlamaConfig, policy: PolicySpec): Room & { readonly kept: number } {
  const kept = policy.slots ?? config.context;
  return { kept, slots: kept + 1, bounded: POLICIES[policy.name]?.unbounded !== true };
}

/** The formats that `DecoderOptions.weights` may ask for; `stored` keeps what the files have. */
export const WEIGHT_FORMATS = ["stored", "f32", "f16", "q8", "q4"] as const;
export type WeightFormat = (typeof WEIGHT_FORMATS)[number];

/** The format in which a stored weight is kept on this adapter. */
export function keptAs(stored: WeightDType, half: boolean): WeightDType {
  return stored === "f16" && !half ? "f32" : stored;
}

/**
 * The format of one of a model's weights on an adapter with half precision or without. What was asked for holds for matrices; norms, a few numbers each, are
 * then f32. q, k and v share a buffer and so a format: f32 where the files store them differently.
 */
export function formatOf(source: ModelSource, name: CanonicalName, half: boolean, weights: WeightFormat): DType {
  if (weights !== "stored") return name.endsWith("norm") ? "f32" : weights;
  const fused = /^(layers\.\d+)\.[qkv]$/.exec(name);
  if (fused === null) return keptAs(source.tensor(name).dtype, half);
  const [q, k, v] = (["q", "k", "v"] as const).map((part: LayerPart) => {
    return source.tensor(`${fused[1]}.${part}` as CanonicalName).dtype;
  });
  return keptAs(q !== undefined && q === k && q === v ? q : "f32", half);
}

/** Throws a `UserError` when the model's rows cannot be cut into the blocks of a format. */
export function checkBlocks(config: LlamaConfig, weights: WeightFormat): void {
  if (weights !== "q8" && weights !== "q4") return;
  const { name, dim, heads, headDim, ff } = config;
  const rows = { "the width": dim, "the heads together": heads * headDim, "the feed-forward layer": ff };
  for (const [what, n] of Object.entries(rows)) {
    if (n % QUANT_BLOCK === 0) continue;
    throw new UserError(
      `${name}: ${weights} weights are blocks of ${QUANT_BLOCK} along each row, but ${what} of this model is ${n}, no multiple of it`,
      { hint: "ask for f32 or f16 weights" },
    );
  }
}

/**
 * Bytes a decoder of this model with this state takes on the GPU. `half` says whether the adapter has half precision (stored f16 weights are widened where
 * not); `batch` is the number of sequences, `format` that of the weights asked for. Throws a `UserError` when the model has no such format.
 */
export function contract(
  source: ModelSource,
  policy: PolicySpec,
  half = true,
  batch = 1,
  format: WeightFormat = "stored",
): Contract {
  const { config } = source;
  checkBlocks(config, format);
  const room = roomOf(config, policy);
  const { kept, slots } = room;
  let parameters = 0;
  let weights = 0;
  for (const [name, shape] of canonicalShapes(config)) {
    if (name === "head" && source.tensor("head") === source.tensor("embed")) continue;
    parameters += elements(shape);
    weights += elements(shape) * bytesOf(formatOf(source, name, half, format));
  }
  const sequences = statesOf(batch).reduce((a, b) => a + b, 0);
  const state = sequences * stateBytes(config, slots);
  return { parameters, weights, state, scratch: scratchBytes(config, room, batch), kept, slots };
}

/** Tokens of a full cache, and of a bounded state, that are suggested where what was asked for is too large. */
const MODEST_FULL = 4096;
const MODEST = 512;

/** The error for a state that the adapter has no place for: what it takes in all, of which `cause` names one tensor, and what to ask for instead. */
export function tooLarge(config: LlamaConfig, policy: PolicySpec, batch: number, cause: UserError): UserError {
  const { kept, slots } = roomOf(config, policy);
  const sequences = statesOf(batch).reduce((a, b) => a + b, 0);
  const bytes = sequences * stateBytes(config, slots);
  const of = sequences === 1 ? "" : ` of each of ${sequences} sequences`;
  const full = kept > MODEST_FULL ? [`full:${MODEST_FULL}`] : [];
  const states = [...full, `tova:${Math.min(MODEST, Math.max(1, Math.floor(kept / 2)))}`];
  return new UserError(
    `${config.name}: state "${policy.text}" keeps ${kept} tokens${of}, which takes ${bytes} bytes ` +
      `(${(bytes / 2 ** 30).toFixed(1)} GiB), and this adapter has no place for them: ${cause.message}`,
    { hint: `ask for a smaller state: ${states.join(", or ")}`, cause },
  );
}
