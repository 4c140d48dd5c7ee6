/** Puts one recorded step's keys and values into the cache: what `trace` does in place of a model's projections. */
import { block, program, type Scalar, size, type Tensor, type u32 } from "../../dsl/index.ts";

/** k, v [steps, groups, dim] at step clock[0] go to the slot `free`; q of that step is copied out for the attention kernel. */
export function write(
  qs: Tensor<"steps heads dim">,
  ks: Tensor<"steps groups dim">,
  vs: Tensor<"steps groups dim">,
  clock: Tensor<"clock", u32>,
  free: Scalar<u32>,
  q: Tensor<"heads dim">,
  k: Tensor<"groups slots dim">,
  v: Tensor<"groups slots dim">,
  positions: Tensor<"slots", u32>,
): void {
  const h = program("heads");
  const i = block("dim");
  const t = clock.at(0);
  q.set([h, i], qs.at(t, h, i));
  if (h < size("groups")) {
    k.set([h, free, i], ks.at(t, h, i));
    v.set([h, free, i], vs.at(t, h, i));
  }
  if (h === 0) positions.set([free], t);
}
