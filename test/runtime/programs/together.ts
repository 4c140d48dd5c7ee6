/** Kernels for tests of tensors that lie in one buffer. */
import { amax, block, over, range, type Scalar, type Tensor, type u32 } from "../../../dsl/index.ts";

/** to[i] = from[where[i]] · by. */
export function pick(from: Tensor<"n">, where: Tensor<"n", u32>, by: Scalar, to: Tensor<"n">): void {
  const i = block("n");
  to.set([i], from.at(where.at(i)) * by);
}

/** Sum of the largest elements of the first `live` rows: at feature level L0 lanes meet as often as memory says. */
export function peaks(x: Tensor<"rows n">, live: Scalar<u32>, to: Tensor<"one">): void {
  let sum = 0;
  for (const r of range(live)) {
    let most = -Infinity;
    for (const i of over("n")) {
      const here = amax(x.at(r, i));
      most = here > most ? here : most;
    }
    sum += most;
  }
  to.set([0], sum);
}

/** to[i] = a[i] + b[i]. */
export function plus(a: Tensor<"n">, b: Tensor<"n">, to: Tensor<"n">): void {
  const i = block("n");
  to.set([i], a.at(i) + b.at(i));
}
