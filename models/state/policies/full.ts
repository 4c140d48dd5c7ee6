/** The full cache: nothing is dropped; the next token goes into the next slot. */
import type { Tensor, u32 } from "../../../dsl/index.ts";

export function full(clock: Tensor<"clock", u32>, free: Tensor<"one", u32>): void {
  free.set([0], clock.at(0) + 1);
}
