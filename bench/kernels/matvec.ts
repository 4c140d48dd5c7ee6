/** The matrix-vector product as the language says it: one kernel for every storage format of the matrix. */
import { block, dot, over, type real, type Tensor } from "../../dsl/index.ts";

/** y[rows] = w[rows, k] · x[k]. */
export function matvec(w: Tensor<"rows k", real>, x: Tensor<"k">, y: Tensor<"rows">): void {
  const r = block("rows");
  let acc = 0;
  for (const i of over("k")) acc += dot(w.at(r, i), x.at(i));
  y.set([r], acc);
}
