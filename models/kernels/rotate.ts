/**
 * Rotary position embedding for positions without end (Su et al. 2021).
 *
 * Angles come from two small tables instead of one row a position: position = 1024·a + b, and the rotation by a sum is
 * the product of two rotations. A step at position 1,000,000 thus does the same work on the same bytes as the first.
 * The tables are made on the host in f64, since software adapters' sine is poor.
 */
import { idiv, type Tensor } from "../../dsl/index.ts";

/** Rows of each of the two tables. */
export const ROPE_ROWS = 1024;

/** cos of the angle of `position` at the pair (or pairs) `i`. `rope` is [fine and coarse, row, cos and sin, pair]. */
export function ropeCos(rope: Tensor<"scales turns parts half">, position: number, i: number): number {
  const a = idiv(position, ROPE_ROWS);
  const b = position % ROPE_ROWS;
  return rope.at(0, b, 0, i) * rope.at(1, a, 0, i) - rope.at(0, b, 1, i) * rope.at(1, a, 1, i);
}

/** sin of the same angle. */
export function ropeSin(rope: Tensor<"scales turns parts half">, position: number, i: number): number {
  const a = idiv(position, ROPE_ROWS);
  const b = position % ROPE_ROWS;
  return rope.at(0, b, 1, i) * rope.at(1, a, 0, i) + rope.at(0, b, 0, i) * rope.at(1, a, 1, i);
}
