/**
 * Norm, q/k/v projection, RoPE and the cache write in one kernel.
 *
 * The norm is a number a token, so it can be applied after the product: one pass over x gives its mean square and all
 * dot products. The rows of the fused weight are [query heads, then key heads, then value heads], each head as two
 * halves of headDim/2 rows, which is what rotate-half RoPE turns into each other.
 */
import {
  block,
  dot,
  over,
  program,
  type real,
  rsqrt,
  type Scalar,
  type Static,
  size,
  sum,
  type Tensor,
  type Tile,
  type u32,
} from "../../dsl/index.ts";
import { SEQUENCE } from "./feed.ts";

/** What is made of a product before it is rotated; `half` is 0 or 1, and `i` its numbers. */
type Epilogue = (value: number, row: number, half: number, i: Tile) => number;

function same(value: number): number {
  return value;
}

/**
 * q [tokens, heads, 2, half]; token t's k and v go to slot[t] of its sequence. angles are as embed leaves them, eps
 * belongs to RMSNorm (Zhang & Sennrich 2019).
 */
export function qkv(
  x: Tensor<"tokens dim">,
  gamma: Tensor<"dim", real>,
  w: Tensor<"rows halves half dim", real>,
  angles: Tensor<"tokens parts half">,
  feed: Tensor<"tokens feed", u32>,
  slot: Tensor<"tokens", u32>,
  eps: Scalar,
  q: Tensor<"tokens heads halves half">,
  k: Tensor<"sequences groups slots halves half">,
  v: Tensor<"sequences groups slots halves half">,
  { epilogue = same }: Static<{ epilogue?: Epilogue }>,
): void {
  const row = program("rows");
  const i = block("half");
  const t = block("tokens");
  let square = 0;
  let a = 0;
  let b = 0;
  for (const d of over("dim")) {
    const y = x.at(t, d);
    const n = y * gamma.at(d);
    square += sum(y * y, "dim");
    a += dot(w.at(row, 0, i, d), n);
    b += dot(w.at(row, 1, i, d), n);
  }
  const scale = rsqrt(square / size("dim") + eps);
  a = epilogue(a * scale, row, 0, i);
  b = epilogue(b * scale, row, 1, i);
  const c = angles.at(t, 0, i);
  const s = angles.at(t, 1, i);
  if (row < size("heads")) {
    q.set([t, row, 0, i], a * c - b * s);
    q.set([t, row, 1, i], b * c + a * s);
  } else if (row < size("heads") + size("groups")) {
    const g = row - size("heads");
    k.set([feed.at(t, SEQUENCE), g, slot.at(t), 0, i], a * c - b * s);
    k.set([feed.at(t, SEQUENCE), g, slot.at(t), 1, i], b * c + a * s);
  } else {
    const g = row - size("heads") - size("groups");
    v.set([feed.at(t, SEQUENCE), g, slot.at(t), 0, i], a);
    v.set([feed.at(t, SEQUENCE), g, slot.at(t), 1, i], b);
  }
}

/** The same with a bias for each row of the weight. */
export function biasedQkv(
  x: Tensor<"tokens dim">,
  gamma: Tensor<"dim", real>,
  w: Tensor<"rows halves half dim", real>,
  bias: Tensor<"rows halves half", real>,
  angles: Tensor<"tokens parts half">,
  feed: Tensor<"tokens feed", u32>,
  slot: Tensor<"tokens", u32>,
  eps: Scalar,
  q: Tensor<"tokens heads halves half">,
  k: Tensor<"sequences groups slots halves half">,
  v: Tensor<"sequences groups slots halves half">,
): void {
  qkv(x, gamma, w, angles, feed, slot, eps, q, k, v, {
    epilogue: (value, row, half, i) => value + bias.at(row, half, i),
  });
}
