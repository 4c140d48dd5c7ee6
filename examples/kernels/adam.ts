/**
 * One update of Adam with decoupled weight decay (Kingma & Ba 2015; AdamW: Loshchilov & Hutter 2019), in place.
 *
 * All four vectors are read and written once, in one pass: the kernel is as fast as memory.
 */
import { block, pow, type Scalar, sqrt, type Tensor, type u32 } from "tilestate/dsl";

/** weights, m and v [n] move on by gradient [n]; `turn` counts from 1. */
export function adam(
  weights: Tensor<"n">,
  gradient: Tensor<"n">,
  m: Tensor<"n">,
  v: Tensor<"n">,
  turn: Scalar<u32>,
  rate: Scalar,
  decay: Scalar,
): void {
  const i = block("n");
  const g = gradient.at(i);
  const mean = 0.9 * m.at(i) + 0.1 * g;
  const spread = 0.999 * v.at(i) + 0.001 * g * g;
  const direction = mean / (1 - pow(0.9, turn)) / (sqrt(spread / (1 - pow(0.999, turn))) + 1e-8);
  m.set([i], mean);
  v.set([i], spread);
  weights.set([i], weights.at(i) * (1 - rate * decay) - rate * direction);
}
