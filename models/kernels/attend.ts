/**
 * Attention of one query over the live slots, with the softmax computed as the slots go by (Milakov & Gimelshein 2018; FlashAttention's inner loop).
 *
 * Grouped-query attention (Ainslie et al. 2023): several query heads read one KV head. The raw scores and the log of their sum are left for the cache policy,
 * so that a policy costs no second look at the keys.
 */
import {
  amax,
  dot,
  exp,
  idiv,
  log,
  max,
  min,
  over,
  program,
  rsqrt,
  size,
  sum,
  type Tensor,
  type u32,
  zeros,
} from "../../dsl/index.ts";

/** out [heads, dim]; scores [heads, slots] (scaled, before the softmax); lse [heads]. clock[0] + 1 tokens have been seen. */
export function attend(
  q: Tensor<"heads dim">,
  k: Tensor<"groups slots dim">,
  v: Tensor<"groups slots dim">,
  clock: Tensor<"clock", u32>,
  out: Tensor<"heads dim">,
  scores: Tensor<"heads slots">,
  lse: Tensor<"heads">,
): void {
  const h = program("heads");
  const g = idiv(h, idiv(size("heads"), size("groups")));
  const query = q.at(h) * rsqrt(size("dim"));
  let peak = -Infinity;
  let total = 0;
  let acc = zeros("dim");
  for (const s of over("slots", min(clock.at(0) + 1, size("slots")))) {
    const score = dot(k.at(g, s), query);
    const next = max(peak, amax(score));
    const p = exp(score - next);
    const fade = exp(peak - next);
    total = total * fade + sum(p);
    acc = acc * fade + dot(p, v.at(g, s));
    scores.set([h, s], score);
    peak = next;
  }
  out.set([h], acc / total);
  lse.set([h], peak + log(total));
}
