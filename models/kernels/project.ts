/** A matrix product that is added to the residual stream: the output projections of attention and of the feed-forward layer. */
import { block, dot, over, type real, type Tensor } from "../../dsl/index.ts";

/** x[tokens, dim] += h[tokens, inner] · w[dim, inner]ᵀ. */
export function project(w: Tensor<"dim inner", real>, h: Tensor<"tokens inner">, x: Tensor<"tokens dim">): void {
  const r = block("dim");
  const t = block("tokens");
  let acc = 0;
  for (const i of over("inner")) acc += dot(w.at(r, i), h.at(t, i));
  x.set([t, r], x.at(t, r) + acc);
}
