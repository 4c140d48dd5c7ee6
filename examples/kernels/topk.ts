/**
 * The k largest elements of every row with their places, in falling order; of equals the earlier comes first.
 *
 * Nothing is sorted and nothing is crossed off: each turn takes the largest element that comes after the last pick in the order (value falling, place rising).
 * For the small k of sampling and of search that is k passes over a row that lies in the cache.
 */
import { amax, argmax, max, over, program, range, select, size, type Tensor, type u32 } from "tilestate/dsl";

/** values and places [rows, k] of x [rows, columns]; k is at most columns. */
export function topk(x: Tensor<"rows columns">, values: Tensor<"rows k">, places: Tensor<"rows k", u32>): void {
  const r = program("rows");
  let last = Infinity;
  let at = size("columns");
  for (const turn of range(size("k"))) {
    let best = -Infinity;
    let place = size("columns");
    for (const c of over("columns")) {
      const value = x.at(r, c);
      const open = select(value < last || (value === last && c > at), value, -Infinity);
      const top = amax(open);
      place = top > best ? argmax(open, c) : place;
      best = max(best, top);
    }
    values.set([r, turn], best);
    places.set([r, turn], place);
    last = best;
    at = place;
  }
}
