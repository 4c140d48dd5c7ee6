/**
 * The k largest elements of every row with their places, in falling order; of equals the earlier comes first.
 *
 * A row may be as long as a vocabulary: it is walked in blocks, and the best so far are carried along. A block that
 * holds nothing for the list costs one look.
 */
import { emptyTopk, over, program, type Tensor, topk, type u32 } from "tilestate/dsl";

/** values and places [rows, k] of x [rows, columns]. */
export function topK(x: Tensor<"rows columns">, values: Tensor<"rows k">, places: Tensor<"rows k", u32>): void {
  const r = program("rows");
  let [best, at] = emptyTopk("k");
  for (const c of over("columns")) [best, at] = topk(x.at(r, c), c, [best, at]);
  values.set([r], best);
  places.set([r], at);
}
