/**
 * Attention of a piece of a prompt over the slots up to each of its tokens, without the score matrix in memory
 * (FlashAttention; Dao et al. 2022).
 *
 * For a state in which nothing was dropped yet: tokens lie in the slots in order, so the causal mask is a comparison of
 * slots. A program owns a block of queries of one head.
 */
import {
  amax,
  block,
  dot,
  exp,
  idiv,
  max,
  over,
  program,
  rsqrt,
  type Scalar,
  select,
  size,
  sum,
  type Tensor,
  type u32,
  zeros,
} from "../../dsl/index.ts";
import { POSITION } from "./feed.ts";

/**
 * out [tokens, heads, dim]: token t of the one sequence sees the slots up to slot[t], where its own key and value lie
 * and its position is noted.
 */
export function flash(
  q: Tensor<"tokens heads dim">,
  k: Tensor<"one groups slots dim">,
  v: Tensor<"one groups slots dim">,
  feed: Tensor<"tokens feed", u32>,
  slot: Tensor<"tokens", u32>,
  out: Tensor<"tokens heads dim">,
  positions: Tensor<"layers one slots", u32>,
  layer: Scalar<u32>,
): void {
  const h = program("heads");
  const t = block("tokens");
  const g = idiv(h, idiv(size("heads"), size("groups")));
  const own = slot.at(t);
  const query = q.at(t, h) * rsqrt(size("dim"));
  let peak = -Infinity;
  let total = 0;
  let acc = zeros("dim");
  for (const s of over("slots", amax(own) + 1)) {
    const score = select(s <= own, dot(k.at(0, g, s), query), -Infinity);
    const next = max(peak, amax(score, "slots"));
    const p = exp(score - next);
    const fade = exp(peak - next);
    total = total * fade + sum(p, "slots");
    acc = acc * fade + dot(p, v.at(0, g, s));
    peak = next;
  }
  out.set([t, h], acc / total);
  if (h === 0) positions.set([layer, 0, own], feed.at(t, POSITION));
}
