/** A matrix-matrix product with the second factor stored by rows, as weights are. */
import { block, dot, over, type real, type Tensor } from "../../dsl/index.ts";

/** c[m, n] = Σk a[m, k] · b[n, k]. */
export function matmul(a: Tensor<"m k">, b: Tensor<"n k", real>, c: Tensor<"m n">): void {
  const i = block("m");
  const j = block("n");
  let acc = 0;
  for (const k of over("k")) acc += dot(a.at(i, k), b.at(j, k));
  c.set([i, j], acc);
}
