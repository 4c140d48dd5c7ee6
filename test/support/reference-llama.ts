/**
 * A Llama in float64 that reads a whole text at once, each layer under a mask of its own.
 *
 * A decoder with a bounded state is a transformer whose token t sees, in each layer, only what the policy had kept
 * before it and itself. So a recurrent run must equal one parallel pass under that mask (the emulation of appendix E of
 * the TOVA paper). The pass also gives the mean attention weights from which a policy's choices can be checked.
 */
import type { CanonicalName, ModelSource } from "../../models/weights/source.ts";
import { plus, projections, rotate, times, widened } from "../models/formats/reference.ts";
import { rotationOf } from "./reference-rope.ts";

export interface Reference {
  /** [tokens][vocab] */
  readonly logits: readonly Float64Array[];
  /** [layer][token]: the token's softmax weights, mean over query heads, in the order of `visible(layer, token)`. */
  readonly weights: readonly (readonly Float64Array[])[];
}

/** Positions that a token sees in a layer, itself included. */
export type Visible = (layer: number, token: number) => readonly number[];

/** Everything up to the token. */
export const causal: Visible = (_, token) => Array.from({ length: token + 1 }, (_, i) => i);

/** The mask of a recurrent run: `kept[token][layer]` is what was kept after the token. */
export function visibleFrom(kept: readonly (readonly (readonly number[])[])[]): Visible {
  return (layer, token) => [...(kept[token - 1]?.[layer] ?? []), token];
}

/**
 * Hears what weights a token gave to what it saw, mean over query heads, before the next one sees anything in that
 * layer.
 */
export type Observe = (layer: number, token: number, seen: readonly number[], mean: Float64Array) => void;

/** One pass over `ids`. */
export async function referenceRun(
  source: ModelSource,
  ids: readonly number[],
  visible: Visible,
  observe: Observe = () => {},
): Promise<Reference> {
  const { config } = source;
  const { dim } = config;
  const read = (name: CanonicalName): Promise<Float32Array> => widened(source.tensor(name));
  const embed = await read("embed");
  const weights: Float64Array[][] = [];
  let stream: Float64Array[] = ids.map((id) => Float64Array.from(embed.subarray(id * dim, (id + 1) * dim)));
  for (const [layer, { attention, norms }] of config.layers.entries()) {
    const { heads, kvHeads, keyDim: headDim } = attention;
    const rope = rotationOf(attention.rope);
    const p = `layers.${layer}` as const;
    const norm = await read(`${p}.attention_norm`);
    const [wq, wk, wv, wo] = await Promise.all(projections(source, layer, attention));
    const normed = stream.map((x) => rms(x, norm, n(norms.attention.before?.eps)));
    const q = normed.map((x, at) => rotate(wq(x), headDim, at, rope));
    const k = normed.map((x, at) => rotate(wk(x), headDim, at, rope));
    const v = normed.map((x) => wv(x));
    const means: Float64Array[] = [];
    stream = stream.map((x, at) => {
      const seen = visible(layer, at);
      const mean = new Float64Array(seen.length);
      const mixed = new Float64Array(heads * headDim);
      for (let head = 0; head < heads; head++) {
        const group = Math.floor((head * kvHeads) / heads);
        const share = softmax(
          seen.map((past) => product(q[at], head * headDim, k[past], group * headDim, headDim) / Math.sqrt(headDim)),
        );
        for (const [j, past] of seen.entries()) {
          const weight = share[j] ?? Number.NaN;
          mean[j] = (mean[j] ?? 0) + weight / heads;
          for (let i = 0; i < headDim; i++) {
            mixed[head * headDim + i] = (mixed[head * headDim + i] ?? 0) + weight * n(v[past]?.[group * headDim + i]);
          }
        }
      }
      means.push(mean);
      observe(layer, at, seen, mean);
      return plus(x, wo(mixed));
    });
    weights.push(means);
    const second = await read(`${p}.ffn_norm`);
    const [gate, up, down] = [await read(`${p}.gate`), await read(`${p}.up`), await read(`${p}.down`)];
    stream = stream.map((x) => {
      const y = rms(x, second, n(norms.mlp.before?.eps));
      const open = times(gate, y);
      const inner = times(up, y).map((value, i) => (value * n(open[i])) / (1 + Math.exp(-n(open[i]))));
      return plus(x, times(down, inner));
    });
  }
  const [final, head] = [await read("norm"), await read("head")];
  return { logits: stream.map((x) => times(head, rms(x, final, config.norm.eps))), weights };
}

function softmax(scores: readonly number[]): Float64Array {
  const peak = Math.max(...scores);
  const shares = Float64Array.from(scores, (score) => Math.exp(score - peak));
  const total = shares.reduce((a, b) => a + b, 0);
  return shares.map((share) => share / total);
}

function product(
  a: Float64Array | undefined,
  fromA: number,
  b: Float64Array | undefined,
  fromB: number,
  count: number,
): number {
  let sum = 0;
  for (let i = 0; i < count; i++) sum += n(a?.[fromA + i]) * n(b?.[fromB + i]);
  return sum;
}

function rms(x: Float64Array, weight: Float32Array, eps: number): Float64Array {
  const scale = 1 / Math.sqrt(x.reduce((sum, value) => sum + value * value, 0) / x.length + eps);
  return x.map((value, i) => value * scale * n(weight[i]));
}

/** An element that is there; a wrong index becomes NaN and fails the comparison. */
function n(value: number | undefined): number {
  return value ?? Number.NaN;
}
