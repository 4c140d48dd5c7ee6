/**
 * Attention of one query, with the slots divided among several programs and a second kernel that merges their results
 * (Flash-Decoding; Dao et al. 2023).
 *
 * One query has only as many programs as heads, too few for a GPU; in parts there are enough. Each part leaves its
 * result unscaled by the others, with the largest score and the sum that belong to it; the merge weighs them. The cache
 * is seen as [groups, parts, slots of a part, dim], which is the same memory.
 */
import {
  amax,
  dot,
  every,
  exp,
  idiv,
  max,
  min,
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
} from "tilestate/dsl";

/**
 * partial [heads, parts, dim], peaks and sums [heads, parts] from the first `live` slots; q [heads, dim], k and v
 * [groups, parts, slots, dim].
 */
export function attendPart(
  q: Tensor<"heads dim">,
  k: Tensor<"groups parts slots dim">,
  v: Tensor<"groups parts slots dim">,
  live: Scalar<u32>,
  partial: Tensor<"heads parts dim">,
  peaks: Tensor<"heads parts">,
  sums: Tensor<"heads parts">,
): void {
  const h = program("heads");
  const part = program("parts");
  const g = idiv(h, idiv(size("heads"), size("groups")));
  const first = part * size("slots");
  const mine = min(max(live, first) - first, size("slots"));
  const query = q.at(h) * rsqrt(size("dim"));
  let peak = -Infinity;
  let total = 0;
  let acc = zeros("dim");
  for (const s of over("slots", mine)) {
    const score = dot(k.at(g, part, s), query);
    const next = max(peak, amax(score));
    const p = exp(score - next);
    const fade = exp(peak - next);
    total = total * fade + sum(p);
    acc = acc * fade + dot(p, v.at(g, part, s));
    peak = next;
  }
  partial.set([h, part], acc);
  peaks.set([h, part], peak);
  sums.set([h, part], total);
}

/** out [heads, dim]: the parts weighed by how much of the softmax is theirs. */
export function mergeParts(
  partial: Tensor<"heads parts dim">,
  peaks: Tensor<"heads parts">,
  sums: Tensor<"heads parts">,
  out: Tensor<"heads dim">,
): void {
  const h = program("heads");
  const part = every("parts");
  const peak = peaks.at(h, part);
  const share = select(sums.at(h, part) > 0, exp(peak - amax(peak)), 0);
  out.set([h], dot(share, partial.at(h, part)) / dot(share, sums.at(h, part)));
}
