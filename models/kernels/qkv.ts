/**
 * Norm, q/k/v projection, RoPE and the cache write in one kernel.
 *
 * The norm is a number a token, so it can be applied after the product: one pass over x gives its mean square and all dot products. The rows of the fused
 * weight are [query heads, then key heads, then value heads], each head as two halves of headDim/2 rows, which is what rotate-half RoPE turns into each other.
 */
import {
  block,
  dot,
  over,
  program,
  type real,
  rsqrt,
  type Scalar,
  size,
  sum,
  type Tensor,
  type u32,
} from "../../dsl/index.ts";
import { ropeCos, ropeSin } from "./rotate.ts";

/**
 * q [heads, 2, half]; k and v [groups, slots, 2, half], written at the slot `free`, whose position is noted.
 * clock[0] is the position of the token; eps belongs to RMSNorm (Zhang & Sennrich 2019).
 */
export function qkv(
  x: Tensor<"dim">,
  gamma: Tensor<"dim", real>,
  w: Tensor<"rows halves half dim", real>,
  rope: Tensor<"scales turns parts half">,
  clock: Tensor<"clock", u32>,
  free: Scalar<u32>,
  eps: Scalar,
  q: Tensor<"heads halves half">,
  k: Tensor<"groups slots halves half">,
  v: Tensor<"groups slots halves half">,
  positions: Tensor<"slots", u32>,
): void {
  const row = program("rows");
  const i = block("half", 2);
  const position = clock.at(0);
  let square = 0;
  let a = 0;
  let b = 0;
  for (const d of over("dim")) {
    const y = x.at(d);
    const n = y * gamma.at(d);
    square += sum(y * y);
    a += dot(w.at(row, 0, i, d), n);
    b += dot(w.at(row, 1, i, d), n);
  }
  const scale = rsqrt(square / size("dim") + eps);
  a *= scale;
  b *= scale;
  const c = ropeCos(rope, position, i);
  const s = ropeSin(rope, position, i);
  if (row < size("heads")) {
    q.set([row, 0, i], a * c - b * s);
    q.set([row, 1, i], b * c + a * s);
  } else if (row < size("heads") + size("groups")) {
    const g = row - size("heads");
    k.set([g, free, 0, i], a * c - b * s);
    k.set([g, free, 1, i], b * c + a * s);
  } else {
    const g = row - size("heads") - size("groups");
    v.set([g, free, 0, i], a);
    v.set([g, free, 1, i], b);
    if (g === 0) positions.set([free], position);
  }
}
