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
  program,
  range,
  type Scalar,
  select,
  size,
  type Tensor,
  type u32,
  zerosLike,
} from "../../../dsl/index.ts";

/** victim[l, b] becomes the slot with the lowest score. scores and lse are as `attend` leaves them; clock[b, 0] is the position of the newest token. */
export function tova(
  scores: Tensor<"layers sequences heads slots">,
  lse: Tensor<"layers sequences heads">,
  positions: Tensor<"layers sequences slots", u32>,
  clock: Tensor<"sequences clock", u32>,
  recent: Scalar<u32>,
  first: Scalar<u32>,
  victim: Tensor<"layers lanes", u32>,
): void {
  const l = program("layers");
  const b = program("sequences");
  const now = clock.at(b, 0);
  let lowest = Infinity;
  let oldest = 0xffffffff;
  let slot = 0;
  for (const s of over("slots")) {
    let weight = zerosLike(s);
    for (const h of range(size("heads"))) weight += exp(scores.at(l, b, h, s) - lse.at(l, b, h));
    const at = positions.at(l, b, s);
    const score = select(at < first || at + recent > now, Infinity, weight);
    const low = amin(score);
    const age = amin(select(score === low, at, 0xffffffff));
    const better = low < lowest || (low === lowest && age < oldest);
    slot = better ? amin(select(score === low && at === age, s, 0xffffffff)) : slot;
    oldest = better ? age : oldest;
    lowest = min(low, lowest);
  }
  victim.set([l, b], slot);
}
