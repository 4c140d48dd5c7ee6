/**
 * Root-mean-square norm (Zhang & Sennrich 2019) of many rows, each read twice, once for its length and once to scale
 * it; two rows share one read of gamma.
 */
import { block, over, rsqrt, type Scalar, size, sum, type Tensor } from "../../dsl/index.ts";

/** y[rows, dim] = x / sqrt(mean(x²) + eps) · gamma. */
export function norm(x: Tensor<"rows dim">, gamma: Tensor<"dim">, eps: Scalar, y: Tensor<"rows dim">): void {
  const r = block("rows");
  let square = 0;
  for (const d of over("dim")) {
    const value = x.at(r, d);
    square += sum(value * value, "dim");
  }
  const scale = rsqrt(square / size("dim") + eps);
  for (const d of over("dim")) y.set([r, d], x.at(r, d) * scale * gamma.at(d));
}
