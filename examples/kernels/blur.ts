/**
 * Gaussian blur of an image, one direction at a time: a two-dimensional Gaussian is the product of two one-dimensional
 * ones.
 *
 * The direction is a compile-time parameter: one helper, two kernels. Beyond the edge the edge pixel is repeated.
 */
import { block, cast, exp, max, min, program, type Scalar, size, type Tensor, unroll } from "tilestate/dsl";

/** Pixels on each side that count. */
const REACH = 3;

/** The place `by` pixels on from `at`, held inside the dim of `extent` pixels. */
function beside(at: number, by: number, extent: number): number {
  return min(max(cast(at, "i32") + by, 0), cast(extent, "i32") - 1);
}

function blur(x: Tensor<"height width">, sigma: number, y: Tensor<"height width">, across: boolean): void {
  const row = program("height");
  const column = block("width");
  let total = 0;
  let weights = 0;
  for (const k of unroll(-REACH, REACH + 1)) {
    const weight = exp((-k * k) / (2 * sigma * sigma));
    const pixel = across ? x.at(row, beside(column, k, size("width"))) : x.at(beside(row, k, size("height")), column);
    total += weight * pixel;
    weights += weight;
  }
  y.set([row, column], total / weights);
}

/** y [height, width] = x blurred along its rows; sigma in pixels. */
export function blurAcross(x: Tensor<"height width">, sigma: Scalar, y: Tensor<"height width">): void {
  blur(x, sigma, y, true);
}

/** y [height, width] = x blurred along its columns; sigma in pixels. */
export function blurDown(x: Tensor<"height width">, sigma: Scalar, y: Tensor<"height width">): void {
  blur(x, sigma, y, false);
}
