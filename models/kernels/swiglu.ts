/** Norm and the gated half of the feed-forward layer: silu(gate · n) times (up · n), n being the normed x (Shazeer 2020). */
import { block, dot, over, type real, rsqrt, type Scalar, silu, size, sum, type Tensor } from "../../dsl/index.ts";

/** h[ff] from x[dim]; the norm's scale is applied after the products, as in qkv. */
export function swiglu(
  x: Tensor<"dim">,
  gamma: Tensor<"dim", real>,
  gate: Tensor<"ff dim", real>,
  up: Tensor<"ff dim", real>,
  eps: Scalar,
  h: Tensor<"ff">,
): void {
  const r = block("ff", 2);
  let square = 0;
  let a = 0;
  let b = 0;
  for (const d of over("dim")) {
    const y = x.at(d);
    const n = y * gamma.at(d);
    square += sum(y * y);
    a += dot(gate.at(r, d), n);
    b += dot(up.at(r, d), n);
  }
  const scale = rsqrt(square / size("dim") + eps);
  h.set([r], silu(a * scale) * b * scale);
}
