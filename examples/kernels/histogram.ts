/**
 * Histogram: how many elements fall into each bin.
 *
 * Programs meet in the bins, so a count is added indivisibly (an atomic operation). What lies outside the range is left
 * out by sending a zero to bin 0: every lane of a block takes part in every operation.
 */
import { block, cast, max, min, type Scalar, select, size, type Tensor, type u32 } from "tilestate/dsl";

/** counts [bins] += elements of x between low and high (not included), in bins of equal width. */
export function histogram(x: Tensor<"n">, low: Scalar, high: Scalar, counts: Tensor<"bins", u32>): void {
  const i = block("n");
  const value = x.at(i);
  const inside = value >= low && value < high;
  const place = max((value - low) / (high - low), 0) * size("bins");
  const bin = min(cast(select(inside, place, 0), "u32"), size("bins") - 1);
  counts.add([bin], cast(select(inside, 1, 0), "u32"));
}
