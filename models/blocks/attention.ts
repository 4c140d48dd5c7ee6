/** The products around attention: norm, q/k/v, rotation and cache write before it, the output projection after it. */
import type { DeviceTensor } from "../../runtime/index.ts";
import type { LayerSpec, NormSpec } from "../config/spec.ts";
import type { LayerWeights } from "../weights/load.ts";
import type { Kernels } from "./kernels.ts";
import type { Stream } from "./stream.ts";

/** Where a layer's keys and values go: [sequences, kvHeads, slots, 2, half], and the slot of each token. */
export interface Target {
  readonly k: DeviceTensor;
  readonly v: DeviceTensor;
  readonly slot: DeviceTensor;
}

/** Records queries into the stream, and keys and values into the cache; `feed` says what the tokens are. */
export function recordQkv(
  k: Kernels,
  { attention, norms }: LayerSpec,
  w: LayerWeights,
  { tokens, x, angles, q: all }: Stream,
  feed: DeviceTensor,
  to: Target,
): void {
  const { heads, keyDim } = attention;
  const { eps } = norms.attention.before as NormSpec;
  const q = all.view({ tokens, heads, halves: 2, half: keyDim / 2 });
  if (w.qkvBias === undefined) k.qkv(x, w.attentionNorm, w.qkv, angles, feed, to.slot, eps, q, to.k, to.v);
  else k.biasedQkv(x, w.attentionNorm, w.qkv, w.qkvBias, angles, feed, to.slot, eps, q, to.k, to.v);
}

/** Records x += o · out, and its bias. */
export function recordOutput(k: Kernels, { attention }: LayerSpec, w: LayerWeights, { tokens, x, out }: Stream): void {
  const inner = out.view({ tokens, inner: attention.heads * attention.valueDim });
  if (w.oBias === undefined) k.project(w.o, inner, x);
  else k.biasedProject(w.o, w.oBias, inner, x);
}
