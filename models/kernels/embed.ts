/**
 * The first operation of a step: the rows of the embedding table that belong to the tokens, and the angles of their
 * positions, which every layer needs.
 */
import { over, program, type real, type Tensor, type u32 } from "../../dsl/index.ts";
import { ID, POSITION } from "./feed.ts";
import { ropeCos, ropeSin } from "./rotate.ts";

/** x[t] = table[token t]; angles[t] are cos and sin of its position at each pair of dims. */
export function embed(
  table: Tensor<"vocab dim", real>,
  rope: Tensor<"scales turns parts half">,
  feed: Tensor<"tokens feed", u32>,
  x: Tensor<"tokens dim">,
  angles: Tensor<"tokens parts half">,
): void {
  const t = program("tokens");
  const position = feed.at(t, POSITION);
  for (const i of over("dim")) x.set([t, i], table.at(feed.at(t, ID), i));
  for (const i of over("half")) {
    angles.set([t, 0, i], ropeCos(rope, position, i));
    angles.set([t, 1, i], ropeSin(rope, position, i));
  }
}
