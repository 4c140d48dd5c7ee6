/** A matrix-vector product that is added to the residual stream: the output projections of attention and of the feed-forward layer. */
import { block, dot, over, type real, type Tensor } from "../../dsl/index.ts";

/** x[dim] += w[dim, inner] · h[inner]. */
export function project(w: Tensor<"dim inner", real>, h: Tensor<"inner">, x: Tensor<"dim">): void {
  const r = block("dim", 4);
  let acc = 0;
  for (const i of over("inner")) acc += dot(w.at(r, i), h.at(i));
  x.set([r], x.at(r) + acc);
}
