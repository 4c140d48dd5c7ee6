/**
 * Dropout (Srivastava et al. 2014) with random numbers that are computed, not stored.
 *
 * A draw is a function of (seed, step, place), as in Philox (Salmon et al. 2011): no state lies in memory, the backward
 * pass draws the same numbers again, and every adapter draws the same ones.
 */
import { block, type Scalar, select, type Tensor, type u32, uniform } from "tilestate/dsl";

/** y [n] = x with each element kept (and scaled up) with the probability `keep`, zero otherwise. */
export function dropout(x: Tensor<"n">, seed: Scalar<u32>, step: Scalar<u32>, keep: Scalar, y: Tensor<"n">): void {
  const i = block("n");
  y.set([i], select(uniform(seed, step, i) < keep, x.at(i) / keep, 0));
}
