/**
 * Softmax of every row: exp(x) / sum(exp(x)).
 *
 * The largest element and the sum are found in one pass over the row: when a larger element comes along, the sum so far
 * fades by the difference (Milakov & Gimelshein 2018, "Online normalizer calculation for softmax"). A second pass
 * writes.
 */
import { amax, exp, max, over, program, sum, type Tensor } from "tilestate/dsl";

/** y [rows, columns] = softmax of x [rows, columns] along its columns. */
export function softmax(x: Tensor<"rows columns">, y: Tensor<"rows columns">): void {
  const r = program("rows");
  let peak = -Infinity;
  let total = 0;
  for (const c of over("columns")) {
    const row = x.at(r, c);
    const next = max(peak, amax(row));
    total = total * exp(peak - next) + sum(exp(row - next));
    peak = next;
  }
  for (const c of over("columns")) y.set([r, c], exp(x.at(r, c) - peak) / total);
}
