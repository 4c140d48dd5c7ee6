/** Window and Window+i: the oldest token goes, except the `first` ones (StreamingLLM, Xiao et al. 2023; the paper's baselines). */
import { amin, argmin, min, over, program, type Scalar, select, type Tensor, type u32 } from "../../../dsl/index.ts";

/** victim[l, b] becomes the slot of the oldest position of sequence b in layer l that is not among the `first`. */
export function window(
  positions: Tensor<"layers sequences slots", u32>,
  first: Scalar<u32>,
  victim: Tensor<"layers lanes", u32>,
): void {
  const l = program("layers");
  const b = program("sequences");
  let oldest = 0xffffffff;
  let slot = 0;
  for (const s of over("slots")) {
    const at = positions.at(l, b, s);
    const age = select(at < first, 0xffffffff, at);
    const low = amin(age);
    slot = low < oldest ? argmin(age, s) : slot;
    oldest = min(low, oldest);
  }
  victim.set([l, b], slot);
}
