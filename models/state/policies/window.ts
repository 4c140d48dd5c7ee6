/** Window and Window+i: the oldest token goes, except the `first` ones (StreamingLLM, Xiao et al. 2023; the paper's baselines). */
import { amin, argmin, min, over, type Scalar, select, size, type Tensor, type u32 } from "../../../dsl/index.ts";

/** free becomes the slot of the oldest position that is not among the `first`; while slots are empty, the next empty one. */
export function window(
  positions: Tensor<"slots", u32>,
  clock: Tensor<"clock", u32>,
  first: Scalar<u32>,
  free: Tensor<"one", u32>,
): void {
  const seen = clock.at(0) + 1;
  if (seen < size("slots")) free.set([0], seen);
  else {
    let oldest = 0xffffffff;
    let slot = 0;
    for (const s of over("slots")) {
      const at = positions.at(s);
      const age = select(at < first, 0xffffffff, at);
      const low = amin(age);
      slot = low < oldest ? argmin(age, s) : slot;
      oldest = min(low, oldest);
    }
    free.set([0], slot);
  }
}
