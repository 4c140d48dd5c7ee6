/**
 * Rotary position embedding (RoPE; Su et al. 2021), in place.
 *
 * Element i of the first half of a head and element i of the second half are a pair that turns by an angle proportional
 * to the position. Angles come from a table of cosines and sines that the host makes in f64: sines of large arguments
 * differ from adapter to adapter.
 */
import { block, program, type Tensor } from "tilestate/dsl";

/** x [tokens, heads, 2, half] turns by the angles of table [tokens, 2 (cos, sin), half]. */
export function rope(x: Tensor<"tokens heads halves half">, table: Tensor<"tokens parts half">): void {
  const t = program("tokens");
  const h = program("heads");
  const i = block("half");
  const cos = table.at(t, 0, i);
  const sin = table.at(t, 1, i);
  const a = x.at(t, h, 0, i);
  const b = x.at(t, h, 1, i);
  x.set([t, h, 0, i], a * cos - b * sin);
  x.set([t, h, 1, i], b * cos + a * sin);
}
