/**
 * Transpose: y[j, i] = x[i, j].
 *
 * A program owns a tile of both dims; indices put the same tile down the other way round, and nothing else needs to be
 * said.
 */
import { block, type Tensor } from "tilestate/dsl";

/** y [columns, rows] = x [rows, columns] turned over. */
export function transpose(x: Tensor<"rows columns">, y: Tensor<"columns rows">): void {
  const i = block("rows", 4);
  const j = block("columns");
  y.set([j, i], x.at(i, j));
}
