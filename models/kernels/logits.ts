/** The final norm and the output matrix: one logit a vocabulary entry. */
import { block, dot, over, type real, rsqrt, type Scalar, size, sum, type Tensor, type u32 } from "../../dsl/index.ts";
import { ROW } from "./feed.ts";

/** out[t] are the logits after the token whose residual is the row of x that feed[t] names. */
export function logits(
  x: Tensor<"rows dim">,
  gamma: Tensor<"dim", real>,
  head: Tensor<"vocab dim", real>,
  eps: Scalar,
  feed: Tensor<"tokens feed", u32>,
  out: Tensor<"tokens vocab">,
): void {
  const r = block("vocab");
  const t = block("tokens");
  const row = feed.at(t, ROW);
  let square = 0;
  let acc = 0;
  for (const d of over("dim")) {
    const y = x.at(row, d);
    square += sum(y * y, "dim");
    acc += dot(head.at(r, d), y * gamma.at(d));
  }
  out.set([t, r], acc * rsqrt(square / size("dim") + eps));
}
