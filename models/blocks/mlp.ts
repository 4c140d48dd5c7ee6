/** The feed-forward half of a layer, with its norm: x += down · (silu(gate · n) · (up · n)), n being the normed x. */
import type { LayerSpec, NormSpec } from "../config/spec.ts";
import type { LayerWeights } from "../weights/load.ts";
import type { Kernels } from "./kernels.ts";
import type { Stream } from "./stream.ts";

/** Records it. */
export function recordMlp(k: Kernels, { norms }: LayerSpec, w: LayerWeights, { x, h }: Stream): void {
  const { eps } = norms.mlp.before as NormSpec;
  k.swiglu(x, w.ffnNorm, w.gate, w.up, eps, h);
  k.project(w.down, h, x);
}
