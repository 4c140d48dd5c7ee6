/** The first operation of a step: the rows of the embedding table that belong to the tokens. */
import { block, program, type real, type Tensor, type u32 } from "../../dsl/index.ts";
import { ID } from "./feed.ts";

/** x[t] = table[token t]. */
export function embed(
  table: Tensor<"vocab dim", real>,
  feed: Tensor<"tokens feed", u32>,
  x: Tensor<"tokens dim">,
): void {
  const t = program("tokens");
  const i = block("dim");
  x.set([t, i], table.at(feed.at(t, ID), i));
}
