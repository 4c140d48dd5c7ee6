/**
 * What is benchmarked: a model from disk or a shape with random weights, the state it runs with, and the ids it reads.
 */
import { type DecoderOptions, type ModelSource, openModel, parsePolicy, randomSource } from "../models/index.ts";
import { UserError } from "../runtime/index.ts";

export { promptOf } from "./prompt.ts";

export interface SubjectOptions {
  /** A folder or file; undefined for the embedded model, unless a shape is named. */
  readonly model?: string | undefined;
  readonly shape?: string | undefined;
}

/**
 * Opens what the options name. Throws a `UserError` for both at once, for an unknown shape and for what cannot be
 * opened.
 */
export async function openSubject({ model, shape }: SubjectOptions): Promise<ModelSource> {
  if (model !== undefined && shape !== undefined) throw new UserError("give a model or a shape, not both");
  return shape === undefined ? openModel(model) : randomSource(shape);
}

/**
 * The policy with room for what is to be read: `full` alone would take slots for all positions that the model was
 * trained on, which for some are 131,072.
 */
export function stateFor(text: string, positions: number, policies?: DecoderOptions["policies"]): string {
  return parsePolicy(text, policies).slots === undefined ? `${text}:${positions}` : text;
}
