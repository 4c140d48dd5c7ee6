/** The sizes of a model, of this checkout or another one. */
import { type Widths, widthsOf } from "../models/config/widths.ts";
import type { ModelSpec } from "../models/index.ts";

export type Sizes = Pick<Widths, "layers" | "dim" | "heads" | "groups" | "headDim" | "ff" | "vocab"> & {
  readonly tied: boolean;
};

/**
 * In one order of fields, so that sizes can be compared as text. Checkouts from before models were specs have these
 * numbers in their configs.
 */
export function sizesOf(config: ModelSpec): Sizes {
  const flat = config as unknown as Sizes;
  const { layers, dim, heads, groups, headDim, ff, vocab } = typeof flat.layers === "number" ? flat : widthsOf(config);
  return { layers, dim, heads, groups, headDim, ff, vocab, tied: config.tied };
}
