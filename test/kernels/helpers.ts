/** Helper functions in another file, as kernels of a project share them. */
import { amax, max, over, type Tensor } from "../../dsl/index.ts";

/** A constant of another file. */
export const STRIDE = 4;

/** Largest element of a row, by a loop inside a helper. */
export function largest(x: Tensor<"rows n">, row: number): number {
  let best = -Infinity;
  for (const i of over("n")) best = max(best, amax(x.at(row, i)));
  return best;
}

/** A helper that takes a function. */
export function twice(f: (x: number) => number, x: number): number {
  return f(f(x));
}
