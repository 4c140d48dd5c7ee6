/**
 * The memory contract: bytes of weights, state and scratch, computed from config and policy before anything is loaded.
 *
 * WebGPU cannot say how much memory is free, so what is needed is said first and refused early where it is known not to
 * fit.
 */

import { UserError } from "../../runtime/common/errors.ts";
import { bytesOf } from "../../runtime/memory/dtype.ts";
import { budgetsOf, observesScores, type PolicySpec } from "../cache/policy.ts";
import { type Room, stateBytes } from "../cache/state.ts";
import { type Widths, widthsOf } from "../config/widths.ts";
import { checkBlocks, formatOf, type WeightFormat } from "../weights/formats.ts";
import { canonicalShapes, elements, type ModelSource } from "../weights/source.ts";
import { scratchBytes, statesOf } from "./workspace.ts";

/** What a decoder takes on the GPU, known before anything is loaded. */
export interface Contract {
  /** Numbers of the model, a tied matrix counted once. */
  readonly parameters: number;
  /** Bytes of the weights in the format they are kept in. */
  readonly weights: number;
  /** Bytes of the state of all sequences. */
  readonly state: number;
  /** Bytes of what a step passes on. */
  readonly scratch: number;
  /** C: tokens that a layer keeps between steps, on average where layers differ. */
  readonly kept: number;
  /** Slots that are allocated for them in each layer, one more. */
  readonly slots: number;
}

/** What a policy needs of each layer: one slot more than tokens are kept. */
export function roomOf(config: Widths, spec: PolicySpec): Room {
  return {
    slots: budgetsOf(spec, config, config.context).map((kept) => kept + 1),
    memories: Object.keys(spec.policy.memory ?? {}).length,
    observed: observesScores(spec.policy),
  };
}

/**
 * Counts the bytes that a decoder takes on the GPU.
 * @param source an opened checkpoint
 * @param policy the state policy
 * @param half whether the adapter has half precision; stored f16 weights are widened where not
 * @param batch number of sequences
 * @param format that of the weights asked for
 * @throws UserError when the model's rows cannot be cut into the blocks of that format
 */
export function contract(
  source: ModelSource,
  policy: PolicySpec,
  half = true,
  batch = 1,
  format: WeightFormat = "stored",
): Contract {
  checkBlocks(source.config, format);
  const config = widthsOf(source.config);
  const room = roomOf(config, policy);
  const kept = policy.slots ?? config.context;
  let parameters = 0;
  let weights = 0;
  for (const [name, shape] of canonicalShapes(source.config)) {
    if (name === "head" && source.tensor("head") === source.tensor("embed")) continue;
    parameters += elements(shape);
    weights += elements(shape) * bytesOf(formatOf(source, name, half, format));
  }
  const sequences = statesOf(batch).reduce((a, b) => a + b, 0);
  const state = sequences * stateBytes(config, room);
  return { parameters, weights, state, scratch: scratchBytes(config, room, batch), kept, slots: kept + 1 };
}

/** Tokens of a full cache, and of a bounded state, that are suggested where what was asked for is too large. */
const MODEST_FULL = 4096;
const MODEST = 512;

/**
 * The error for a state that the adapter has no place for: what it takes in all, of which `cause` names one tensor, and
 * what to ask for instead.
 */
export function tooLarge(config: Widths, policy: PolicySpec, batch: number, cause: UserError): UserError {
  const kept = policy.slots ?? config.context;
  const sequences = statesOf(batch).reduce((a, b) => a + b, 0);
  const bytes = sequences * stateBytes(config, roomOf(config, policy));
  const of = sequences === 1 ? "" : ` of each of ${sequences} sequences`;
  const full = kept > MODEST_FULL ? [`full:${MODEST_FULL}`] : [];
  const states = [...full, `tova:${Math.min(MODEST, Math.max(1, Math.floor(kept / 2)))}`];
  return new UserError(
    `${config.name}: state "${policy.text}" keeps ${kept} tokens${of}, which takes ${bytes} bytes ` +
      `(${(bytes / 2 ** 30).toFixed(1)} GiB), and this adapter has no place for them: ${cause.message}`,
    { hint: `ask for a smaller state: ${states.join(", or ")}`, cause },
  );
}
