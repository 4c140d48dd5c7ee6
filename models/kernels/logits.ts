/**
 * The end of the residual stream: the final norm, and the output matrix with one logit a vocabulary entry.
 *
 * Elsewhere the norm is part of the product that follows. Here it is a kernel of its own, since a vocabulary has a
 * hundred times the programs of a layer's product and each of them would do it again: a fifth of the time of the
 * product on software adapters.
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
import { ROW } from "./feed.ts";

/** normed[t] is the row of x that feed[t] names, after RMSNorm (Zhang & Sennrich 2019). */
export function norm(
  x: Tensor<"rows dim">,
  gamma: Tensor<"dim", real>,
  eps: Scalar,
  feed: Tensor<"tokens feed", u32>,
  normed: Tensor<"tokens dim">,
): void {
  const t = program("tokens");
  const row = feed.at(t, ROW);
  let square = 0;
  for (const d of over("dim")) square += sum(x.at(row, d) * x.at(row, d));
  const scale = rsqrt(square / size("dim") + eps);
  for (const d of over("dim")) normed.set([t, d], x.at(row, d) * gamma.at(d) * scale);
}

/** out[t] are the logits of x[t]. */
export function logits(x: Tensor<"tokens dim">, head: Tensor<"vocab dim", real>, out: Tensor<"tokens vocab">): void {
  const r = block("vocab");
  const t = block("tokens");
  let acc = 0;
  for (const d of over("dim")) acc += dot(head.at(r, d), x.at(t, d));
  out.set([t, r], acc);
}
