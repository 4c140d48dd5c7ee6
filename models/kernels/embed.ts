/** The first operation of a step: the row of the embedding table that belongs to the token. */
import { block, type real, type Scalar, type Tensor, type u32 } from "../../dsl/index.ts";

/** x[dim] = table[token]. */
export function embed(table: Tensor<"vocab dim", real>, token: Scalar<u32>, x: Tensor<"dim">): void {
  const i = block("dim");
  x.set([i], table.at(token, i));
}
