/** Kernels for the tests of adapters' traits. */
import { block, dot, over, type real, type Tensor } from "../../../dsl/index.ts";

/** y [tokens, dim] = h [tokens, inner] · w [dim, inner]ᵀ: code that hangs on nearly every trait. */
export function product(w: Tensor<"dim inner", real>, h: Tensor<"tokens inner">, y: Tensor<"tokens dim">): void {
  const r = block("dim");
  const t = block("tokens");
  let acc = 0;
  for (const i of over("inner")) acc += dot(w.at(r, i), h.at(t, i));
  y.set([t, r], acc);
}
