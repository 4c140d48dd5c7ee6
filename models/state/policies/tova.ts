/**
 * TOVA: Token Omission Via Attention (Oren et al., EMNLP 2024, Algorithm 1 and the authors' code).
 *
 * A token's score is the softmax weight that the newest query gives it, averaged over all query heads of the layer; the new token competes too. The lowest
 * goes, the oldest of several. `recent` and `first` protect the newest and the first tokens, which the paper does not need and small models like.
 */
import {
  amin,
  exp,
  min,
  over,
  range,
  type Scalar,
  select,
  size,
  type Tensor,
  type u32,
  zerosLike,
} from "../../../dsl/index.ts";

/** free becomes the slot with the lowest score; while slots are empty, the next empty one. scores and lse are as `attend` leaves them. */
export function tova(
  scores: Tensor<"heads slots">,
  lse: Tensor<"heads">,
  positions: Tensor<"slots", u32>,
  clock: Tensor<"clock", u32>,
  recent: Scalar<u32>,
  first: Scalar<u32>,
  free: Tensor<"one", u32>,
): void {
  const now = clock.at(0);
  if (now + 1 < size("slots")) free.set([0], now + 1);
  else {
    let lowest = Infinity;
    let oldest = 0xffffffff;
    let slot = 0;
    for (const s of over("slots")) {
      let weight = zerosLike(s);
      for (const h of range(size("heads"))) weight += exp(scores.at(h, s) - lse.at(h));
      const at = positions.at(s);
      const score = select(at < first || at + recent > now, Infinity, weight);
      const low = amin(score);
      const age = amin(select(score === low, at, 0xffffffff));
      const better = low < lowest || (low === lowest && age < oldest);
      slot = better ? amin(select(score === low && at === age, s, 0xffffffff)) : slot;
      oldest = better ? age : oldest;
      lowest = min(low, lowest);
    }
    free.set([0], slot);
  }
}
