/**
 * Reducing a full prompt to C tokens at once, as TOVA's authors' code does after a prompt longer than the state: the C
 * tokens with the highest scores, which the policy gives (evict.ts, `rate`).
 *
 * Each token's rank is the number of tokens that beat it; a token whose rank is below C is kept, and lies in the
 * bounded state in the order of positions.
 */
import {
  block,
  cast,
  min,
  over,
  program,
  type Scalar,
  select,
  size,
  sum,
  type Tensor,
  type u32,
} from "../../dsl/index.ts";

/** Puts the newest `recent` and the `first` tokens above all others. */
export function protect(weights: Tensor<"tokens">, recent: Scalar<u32>, first: Scalar<u32>): void {
  const s = block("tokens");
  weights.set([s], select(s < first || s + recent >= size("tokens"), Infinity, weights.at(s)));
}

/**
 * ranks [tokens]: how many tokens weigh more; of equals the newer counts as more, since eviction drops the oldest
 * first.
 */
export function rank(weights: Tensor<"tokens">, ranks: Tensor<"tokens">): void {
  const t = program("tokens");
  const mine = weights.at(t);
  let better = 0;
  for (const s of over("tokens")) {
    const theirs = weights.at(s);
    better += sum(select(theirs > mine || (theirs === mine && s > t), 1, 0));
  }
  ranks.set([t], better);
}

/**
 * Copies the kept tokens of a full cache into a bounded one of one sequence, in whose last slot the next token will go:
 * that one is the victim.
 */
export function place(
  ranks: Tensor<"tokens">,
  k: Tensor<"groups tokens dim">,
  v: Tensor<"groups tokens dim">,
  keptK: Tensor<"groups slots dim">,
  keptV: Tensor<"groups slots dim">,
  positions: Tensor<"layers slots", u32>,
  layer: Scalar<u32>,
  victim: Tensor<"one", u32>,
): void {
  const t = program("tokens");
  const g = program("groups");
  const room = size("slots") - 1;
  if (ranks.at(t) < room) {
    let before = 0;
    for (const s of over("tokens", t)) before += sum(select(ranks.at(s) < room, 1, 0));
    const slot = cast(before, "u32");
    keptK.set([g, slot], k.at(g, t));
    keptV.set([g, slot], v.at(g, t));
    if (g === 0) positions.set([layer, slot], t);
  }
  if (t === 0 && g === 0) victim.set([0], min(room, size("tokens")));
}
