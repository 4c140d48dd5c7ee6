/** Kernels for the tests of the tuner. */
import { over, program, size, sum, type Tensor } from "../../../dsl/index.ts";

/**
 * total [rows] += the sum of each row of x [rows, columns]: reads what it overwrites, so that running it twice differs
 * from running it once.
 */
export function accumulate(x: Tensor<"rows columns">, total: Tensor<"rows">): void {
  const r = program("rows");
  let s = 0;
  for (const c of over("columns")) s += sum(x.at(r, c));
  total.set([r], total.at(r) + s / size("columns"));
}
