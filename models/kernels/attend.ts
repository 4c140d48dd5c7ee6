/**
 * Attention of each sequence's newest token over its live slots, with the softmax computed as the slots go by (Milakov
 * & Gimelshein 2018; FlashAttention's inner loop).
 *
 * Grouped-query attention (Ainslie et al. 2023): the query heads that share a KV head are one tile, so that its keys
 * and values are read once for all of them. The raw scores and the log of their sum are left for the cache policy, so
 * that a policy costs no second look at the keys.
 */
import {
  amax,
  block,
  dot,
  exp,
  log,
  max,
  min,
  over,
  program,
  rsqrt,
  type Scalar,
  size,
  sum,
  type Tensor,
  type Tile,
  type u32,
  zeros,
} from "../../dsl/index.ts";
import { POSITION, ROW, SEQUENCE } from "./feed.ts";

/** What attention does with the scores of a block of slots, and with the log of the sum of all. */
interface Leaves {
  readonly scores: (b: number, g: number, j: Tile, slots: Tile, score: number) => void;
  readonly lse: (b: number, g: number, j: Tile, sum: number) => void;
}

function attention(
  q: Tensor<"rows groups queries dim">,
  k: Tensor<"sequences groups slots dim">,
  v: Tensor<"sequences groups slots dim">,
  feed: Tensor<"tokens feed", u32>,
  slot: Tensor<"tokens", u32>,
  out: Tensor<"rows groups queries dim">,
  positions: Tensor<"layers sequences slots", u32>,
  layer: Scalar<u32>,
  leaves: Leaves,
): void {
  const t = program("tokens");
  const g = program("groups");
  const j = block("queries");
  const position = feed.at(t, POSITION);
  const b = feed.at(t, SEQUENCE);
  const row = feed.at(t, ROW);
  const query = q.at(row, g, j) * rsqrt(size("dim"));
  let peak = -Infinity;
  let total = 0;
  let acc = zeros("dim");
  for (const s of over("slots", min(position + 1, size("slots")))) {
    const score = dot(k.at(b, g, s), query);
    const next = max(peak, amax(score, "slots"));
    const p = exp(score - next);
    const fade = exp(peak - next);
    total = total * fade + sum(p, "slots");
    acc = acc * fade + dot(p, v.at(b, g, s));
    leaves.scores(b, g, j, s, score);
    peak = next;
  }
  out.set([row, g, j], acc / total);
  leaves.lse(b, g, j, peak + log(total));
  if (g === 0) positions.set([layer, b, slot.at(t)], position);
}

/**
 * One layer's out, scores (scaled, before the softmax) and lse, for each token; positions gets the token's own at its
 * slot. Heads are [groups, queries of a group]. `layer` is its number among those of one shape; where only one layer
 * has a place for its scores, that is the one.
 */
export function attend(
  q: Tensor<"rows groups queries dim">,
  k: Tensor<"sequences groups slots dim">,
  v: Tensor<"sequences groups slots dim">,
  feed: Tensor<"tokens feed", u32>,
  slot: Tensor<"tokens", u32>,
  out: Tensor<"rows groups queries dim">,
  scores: Tensor<"scored sequences groups queries slots">,
  lse: Tensor<"scored sequences groups queries">,
  positions: Tensor<"layers sequences slots", u32>,
  layer: Scalar<u32>,
): void {
  const l = min(layer, size("scored") - 1);
  attention(q, k, v, feed, slot, out, positions, layer, {
    scores: (b, g, j, s, score) => scores.set([l, b, g, j, s], score),
    lse: (b, g, j, sum) => lse.set([l, b, g, j], sum),
  });
}

/** The same for a state whose policy observes no scores: nothing is left of them. */
export function attendOnly(
  q: Tensor<"rows groups queries dim">,
  k: Tensor<"sequences groups slots dim">,
  v: Tensor<"sequences groups slots dim">,
  feed: Tensor<"tokens feed", u32>,
  slot: Tensor<"tokens", u32>,
  out: Tensor<"rows groups queries dim">,
  positions: Tensor<"layers sequences slots", u32>,
  layer: Scalar<u32>,
): void {
  attention(q, k, v, feed, slot, out, positions, layer, { scores: () => {}, lse: () => {} });
}
