/** The storage formats that weights are kept in on the GPU: what may be asked for, and what a stored tensor becomes on an adapter. */

import { blockOf, REALS } from "../../compiler/ir/formats.ts";
import { UserError } from "../../runtime/common/errors.ts";
import type { DType } from "../../runtime/memory/dtype.ts";
import type { LlamaConfig } from "../config/model-config.ts";
import type { CanonicalName, LayerPart, ModelSource, WeightDType } from "./source.ts";

/** The formats that `DecoderOptions.weights` may ask for; `stored` keeps what the files have. */
export type WeightFormat = "stored" | (typeof REALS)[number];
export const WEIGHT_FORMATS: readonly WeightFormat[] = ["stored", ...REALS];

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
  const block = weights === "stored" ? 1 : blockOf(weights);
  const { name, dim, heads, headDim, ff } = config;
  const rows = { "the width": dim, "the heads together": heads * headDim, "the feed-forward layer": ff };
  for (const [what, n] of Object.entries(rows)) {
    if (n % block === 0) continue;
    throw new UserError(
      `${name}: ${weights} weights are blocks of ${block} along each row, but ${what} of this model is ${n}, no multiple of it`,
      { hint: "ask for f32 or f16 weights" },
    );
  }
}
