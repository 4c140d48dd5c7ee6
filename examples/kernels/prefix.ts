/**
 * Prefix sum of a long vector: y[i] = x[0] + … + x[i].
 *
 * Three steps in two kernels (reduce-then-scan; Blelloch 1990): the sum of every part, then for each part the sum of
 * the parts before it and the running sum inside. The vector is seen as [parts, n], which is the same memory.
 */
import { cumsum, over, program, sum, type Tensor } from "tilestate/dsl";

/** totals [parts] = sums of the rows of x [parts, n]. */
export function partTotals(x: Tensor<"parts n">, totals: Tensor<"parts">): void {
  const p = program("parts");
  let total = 0;
  for (const i of over("n")) total += sum(x.at(p, i));
  totals.set([p], total);
}

/** y [parts, n] = the running sum of x, read row after row. */
export function prefix(x: Tensor<"parts n">, totals: Tensor<"parts">, y: Tensor<"parts n">): void {
  const p = program("parts");
  let before = 0;
  for (const q of over("parts", p)) before += sum(totals.at(q));
  for (const i of over("n")) {
    const piece = x.at(p, i);
    y.set([p, i], before + cumsum(piece));
    before += sum(piece);
  }
}
