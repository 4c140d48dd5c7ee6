/**
 * Norm and the gated half of the feed-forward layer: silu(gate · n) times (up · n), n being the normed x (Shazeer
 * 2020).
 */
import { block, dot, over, type real, rsqrt, type Scalar, silu, size, sum, type Tensor } from "../../dsl/index.ts";

/** h[tokens, ff] from x[tokens, dim]; the norm's scale, a number a token, is applied after the products, as in qkv. */
export function swiglu(
  x: Tensor<"tokens dim">,
  gamma: Tensor<"dim", real>,
  gate: Tensor<"ff dim", real>,
  up: Tensor<"ff dim", real>,
  eps: Scalar,
  h: Tensor<"tokens ff">,
): void {
  const r = block("ff");
  const t = block("tokens");
  let square = 0;
  let a = 0;
  let b = 0;
  for (const d of over("dim")) {
    const y = x.at(t, d);
    const n = y * gamma.at(d);
    square += sum(y * y, "dim");
    a += dot(gate.at(r, d), n);
    b += dot(up.at(r, d), n);
  }
  const scale = rsqrt(square / size("dim") + eps);
  h.set([t, r], silu(a * scale) * b * scale);
}
