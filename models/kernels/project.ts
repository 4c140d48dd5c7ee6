/**
 * A matrix product that is added to the residual stream: the output projections of attention and of the feed-forward
 * layer.
 */
import { block, dot, over, type real, type Static, type Tensor, type Tile } from "../../dsl/index.ts";

function same(value: number): number {
  return value;
}

/** x[tokens, dim] += h[tokens, inner] · w[dim, inner]ᵀ. */
export function project(
  w: Tensor<"dim inner", real>,
  h: Tensor<"tokens inner">,
  x: Tensor<"tokens dim">,
  { epilogue = same }: Static<{ epilogue?: (value: number, row: Tile) => number }>,
): void {
  const r = block("dim");
  const t = block("tokens");
  let acc = 0;
  for (const i of over("inner")) acc += dot(w.at(r, i), h.at(t, i));
  x.set([t, r], x.at(t, r) + epilogue(acc, r));
}

/** The same with a bias for each row of w. */
export function biasedProject(
  w: Tensor<"dim inner", real>,
  bias: Tensor<"dim", real>,
  h: Tensor<"tokens inner">,
  x: Tensor<"tokens dim">,
): void {
  project(w, h, x, { epilogue: (value, row) => value + bias.at(row) });
}
