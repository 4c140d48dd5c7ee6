/**
 * What `Decoder.load` is given, looked at before anything is made of it: nothing tells a caller without types of a
 * forgotten `await`.
 */

import { awaitHint, describe } from "../../runtime/common/describe.ts";
import { Gpu, UserError } from "../../runtime/index.ts";
import { WEIGHT_FORMATS } from "../weights/formats.ts";
import type { ModelSource } from "../weights/source.ts";
import { CHUNKS } from "./workspace.ts";

/** Rows of a batch at most. */
const MOST_BATCH = 256;

/** @throws UserError naming what is not what it should be. The state is checked when it is parsed. */
export function checkLoad(gpu: unknown, source: unknown, options: unknown): void {
  if (!(gpu instanceof Gpu)) throw wrong("a gpu, as open() gives", gpu);
  if (!isSource(source)) throw wrong("a model, as openModel() gives", source);
  if (typeof options !== "object" || options === null || Array.isArray(options))
    throw wrong('options, such as { state: "tova:128" }', options);
  const { batch = 1, piece, weights, vocab } = options as Readonly<Record<string, unknown>>;
  if (piece !== undefined && !CHUNKS.slice(1).some((n) => n === piece))
    throw new UserError(`a piece of a prompt has ${CHUNKS.slice(1).join(", ")} tokens at most, got ${describe(piece)}`);
  if (!(Number.isInteger(batch) && (batch as number) >= 1 && (batch as number) <= MOST_BATCH))
    throw new UserError(`batch must be a whole number from 1 to ${MOST_BATCH}, got ${describe(batch)}`);
  const most = source.config.vocab;
  if (vocab !== undefined && !(Number.isInteger(vocab) && (vocab as number) >= 1 && (vocab as number) <= most))
    throw new UserError(`the ids that may be chosen are a whole number from 1 to ${most}, got ${describe(vocab)}`);
  if (weights !== undefined && !(WEIGHT_FORMATS as readonly unknown[]).includes(weights))
    throw new UserError(`weights are kept as one of ${WEIGHT_FORMATS.join(", ")}, got ${describe(weights)}`);
}

function isSource(x: unknown): x is ModelSource {
  if (typeof x !== "object" || x === null) return false;
  const { config, tensor } = x as Readonly<Record<string, unknown>>;
  return typeof config === "object" && config !== null && typeof tensor === "function";
}

function wrong(expected: string, got: unknown): UserError {
  return new UserError(`Decoder.load: expected ${expected}, got ${describe(got)}`, awaitHint(got));
}
