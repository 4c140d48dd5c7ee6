/**
 * Multiplications and additions and next to nothing else: what an adapter's arithmetic units give when memory does not
 * hold them back.
 */
import { block, range, type Scalar, type Tensor, type u32, unroll } from "../../dsl/index.ts";

/**
 * y[n] from x[n]: two chains that do not wait for each other, each `times` · 16 steps v = v · a + b, which stay
 * bounded. Sixteen steps a turn make up for what some adapters spend on a loop's variables, and two vectors of four are
 * what fits the registers of the smallest.
 */
export function arithmetic(x: Tensor<"n">, times: Scalar<u32>, a: Scalar, b: Scalar, y: Tensor<"n">): void {
  const i = block("n");
  let c0 = x.at(i);
  let c1 = c0 + 1;
  for (const _ of range(times)) {
    for (const _step of unroll(16)) {
      c0 = c0 * a + b;
      c1 = c1 * a + b;
    }
  }
  y.set([i], c0 + c1);
}
