/** The final norm and the output matrix: one logit a vocabulary entry. */
import { block, dot, over, type real, rsqrt, type Scalar, size, sum, type Tensor, type u32 } from "../../dsl/index.ts";

/** Writes row clock[0] mod rows of logits [rows, vocab]. */
export function logits(
  x: Tensor<"dim">,
  gamma: Tensor<"dim", real>,
  head: Tensor<"vocab dim", real>,
  eps: Scalar,
  clock: Tensor<"clock", u32>,
  out: Tensor<"rows vocab">,
): void {
  const r = block("vocab", 4);
  let square = 0;
  let acc = 0;
  for (const d of over("dim")) {
    const y = x.at(d);
    square += sum(y * y);
    acc += dot(head.at(r, d), y * gamma.at(d));
  }
  out.set([clock.at(0) % size("rows"), r], acc * rsqrt(square / size("dim") + eps));
}
