/**
 * TOVA: Token Omission Via Attention (Oren et al., EMNLP 2024, Algorithm 1 and the authors' code).
 *
 * A token's score is the softmax weight that the newest query gives it, summed over all query heads of the layer; the
 * new token competes too. `recent` and `first` protect the newest and the first tokens, which the paper does not need
 * and small models like.
 */
import { range, zerosLike } from "../../../dsl/index.ts";
import type { CachePolicy } from "./interface.ts";

export const tova: CachePolicy = {
  name: "tova",
  module: import.meta,
  help: "the token that the newest one attends to least goes (Oren et al. 2024)",
  options: {},
  scope: "layer",
  positions: "absolute",
  observes: { scores: "newest" },
  score: ({ slots, heads, attention }) => {
    let weight: number = zerosLike(slots);
    for (const h of range(heads)) weight += attention(h);
    return weight;
  },
};
