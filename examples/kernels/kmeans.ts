/**
 * The assignment step of k-means (Lloyd 1957): every point goes to the nearest centre, and the sums for the next
 * centres are gathered on the way.
 *
 * |p - c|² = |p|² - 2 p·c + |c|², so the nearest centre is the one with the smallest |c|² - 2 p·c: a product of two
 * matrices.
 */
import { amin, argmin, dot, every, min, over, program, type Tensor, type u32 } from "tilestate/dsl";

/**
 * nearest [points] = the number of the centre next to each point; sums [centres, dim] and counts [centres] (zeros
 * before) gather what belongs to each. points [points, dim]; centres [centres, dim].
 */
export function assign(
  x: Tensor<"points dim">,
  centres: Tensor<"centres dim">,
  nearest: Tensor<"points", u32>,
  sums: Tensor<"centres dim">,
  counts: Tensor<"centres", u32>,
): void {
  const p = program("points");
  const d = every("dim");
  const point = x.at(p, d);
  let least = Infinity;
  let choice = 0;
  for (const c of over("centres")) {
    const centre = centres.at(c, d);
    const score = dot(centre, centre, "dim") - 2 * dot(centre, point, "dim");
    const low = amin(score);
    choice = low < least ? argmin(score, c) : choice;
    least = min(least, low);
  }
  nearest.set([p], choice);
  sums.add([choice, d], point);
  counts.add([choice], 1);
}
