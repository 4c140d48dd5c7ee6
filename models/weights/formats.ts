/**
 * The storage formats that weights are kept in on the GPU: what may be asked for, and what a stored tensor becomes on
 * an adapter.
 */

import { blockOf, REALS } from "../../compiler/ir/formats.ts";
import { UserError } from "../../runtime/common/errors.ts";
import type { DType } from "../../runtime/memory/dtype.ts";
import type { ModelSpec } from "../config/spec.ts";
import { type CanonicalName, canonicalShapes, isVector, type ModelSource, type WeightDType } from "./source.ts";

/** The formats that `DecoderOptions.weights` may ask for; `stored` keeps what the files have. */
export type WeightFormat = "stored" | Exclude<DType, "u32" | "i32">;

/** Every `WeightFormat`. */
export const WEIGHT_FORMATS: readonly WeightFormat[] = ["stored", ...REALS];

/** The format in which a stored weight is kept on this adapter. */
export function keptAs(stored: WeightDType, half: boolean): WeightDType {
  return stored === "f16" && !half ? "f32" : stored;
}

/**
 * The format of one of a model's weights on an adapter with half precision or without. What was asked for holds for
 * matrices; norms and biases, a few numbers each, are then f32. q, k and v share a buffer and so a format: f32 where
 * the files store them differently.
 */
export function formatOf(source: ModelSource, name: CanonicalName, half: boolean, weights: WeightFormat): DType {
  if (weights !== "stored") return isVector(name) ? "f32" : weights;
  const fused = /^(layers\.\d+)\.[qkv](_bias)?$/.exec(name);
  if (fused === null) return keptAs(source.tensor(name).dtype, half);
  const [, layer, bias = ""] = fused;
  const [q, k, v] = (["q", "k", "v"] as const).map((part) => {
    return source.tensor(`${layer}.${part}${bias}` as CanonicalName).dtype;
  });
  return keptAs(q !== undefined && q === k && q === v ? q : "f32", half);
}

/** What the rows of a matrix are as long as, for those who ask for a format of blocks. */
const ROWS: Readonly<Record<string, string>> = {
  o: "the heads together",
  down: "the feed-forward layer",
};

/** Throws a `UserError` when the model's rows cannot be cut into the blocks of a format. */
export function checkBlocks(config: ModelSpec, weights: WeightFormat): void {
  const block = weights === "stored" ? 1 : blockOf(weights);
  for (const [name, shape] of canonicalShapes(config)) {
    const n = shape.at(-1) ?? 0;
    if (isVector(name) || n % block === 0) continue;
    const what = ROWS[name.split(".").at(-1) ?? ""] ?? "the width";
    throw new UserError(
      `${config.name}: ${weights} weights are blocks of ${block} along each row, ` +
        `but ${what} of this model is ${n}, no multiple of it`,
      { hint: "ask for f32 or f16 weights" },
    );
  }
}
