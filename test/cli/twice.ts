/** A kernel that bad-input.test.ts binds wrongly. */
import { block, type Tensor } from "../../dsl/index.ts";

export function twice(x: Tensor<"rows columns">, y: Tensor<"rows columns">): void {
  const i = block("columns");
  y.set([0, i], 2 * x.at(0, i));
}
