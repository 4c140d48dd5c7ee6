/**
 * A norm that is a kernel of its own: the one before the output matrix. Those of layers are part of the products that
 * read them.
 */
import type { DeviceTensor } from "../../runtime/index.ts";
import type { NormSpec } from "../config/spec.ts";
import type { Kernels } from "./kernels.ts";

/** Records normed[t] = norm of the row of x that feed[t] names. */
export function recordNorm(
  k: Kernels,
  { eps }: NormSpec,
  gamma: DeviceTensor,
  x: DeviceTensor,
  feed: DeviceTensor,
  normed: DeviceTensor,
): void {
  k.norm(x, gamma, eps, feed, normed);
}
