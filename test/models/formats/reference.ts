/**
 * A Llama forward pass in plain float64, written for checking and for nothing else.
 *
 * It reads weights only through the canonical names, in rotate-half order: when its logits agree with recorded ones,
 * the names, shapes, widening and row orders of the format that produced the weights are right.
 */

import type { AttentionSpec } from "../../../models/config/spec.ts";
import type { CanonicalName, ModelSource, WeightTensor } from "../../../models/weights/source.ts";
import { decodeBF16, decodeF16 } from "../../../runtime/memory/dtype.ts";
import { type Rotation, rotationOf } from "../../support/reference-rope.ts";

export async function widened(tensor: WeightTensor): Promise<Float32Array> {
  const data = await tensor.data();
  if (data instanceof Float32Array) return data;
  return tensor.dtype === "f16" ? decodeF16(data) : decodeBF16(data);
}

/** Logits of every position, [tokens][vocab]. */
export async function referenceLogits(source: ModelSource, ids: readonly number[]): Promise<Float64Array[]> {
  const { config } = source;
  const { dim } = config;
  const read = (name: CanonicalName): Promise<Float32Array> => widened(source.tensor(name));

  const embed = await read("embed");
  let stream: Float64Array[] = ids.map((id) => Float64Array.from(embed.subarray(id * dim, (id + 1) * dim)));
  for (const [layer, { attention, norms }] of config.layers.entries()) {
    const { heads, kvHeads: groups, keyDim: headDim } = attention;
    const rope = rotationOf(attention.rope);
    const [eps, epsAfter] = [n(norms.attention.before?.eps), n(norms.mlp.before?.eps)];
    const p = `layers.${layer}` as const;
    const norm = await read(`${p}.attention_norm`);
    const [wq, wk, wv, wo] = await Promise.all(projections(source, layer, attention));
    const normed = stream.map((x) => rms(x, norm, eps));
    const q = normed.map((x, at) => rotate(wq(x), headDim, at, rope));
    const k = normed.map((x, at) => rotate(wk(x), headDim, at, rope));
    const v = normed.map((x) => wv(x));
    stream = stream.map((x, at) => {
      const mixed = new Float64Array(heads * headDim);
      for (let head = 0; head < heads; head++)
        attend(q, k, v, at, head, Math.floor(head / (heads / groups)), headDim, mixed);
      return plus(x, wo(mixed));
    });
    const second = await read(`${p}.ffn_norm`);
    const [gate, up, down] = [await read(`${p}.gate`), await read(`${p}.up`), await read(`${p}.down`)];
    stream = stream.map((x) => {
      const y = rms(x, second, epsAfter);
      const open = times(gate, y);
      const inner = times(up, y).map((value, i) => (value * n(open[i])) / (1 + Math.exp(-n(open[i]))));
      return plus(x, times(down, inner));
    });
  }
  const final = await read("norm");
  const head = await read("head");
  return stream.map((x) => times(head, rms(x, final, config.norm.eps)));
}

type Product = (x: Float64Array) => Float64Array;

/** The products of q, k, v and o of a layer, with their biases where it has them. */
export function projections(
  source: ModelSource,
  layer: number,
  { bias }: AttentionSpec,
): [Promise<Product>, Promise<Product>, Promise<Product>, Promise<Product>] {
  const product = async (part: "q" | "k" | "v" | "o", biased: boolean): Promise<Product> => {
    const weight = await widened(source.tensor(`layers.${layer}.${part}`));
    if (!biased) return (x) => times(weight, x);
    const added = Float64Array.from(await widened(source.tensor(`layers.${layer}.${part}_bias`)));
    return (x) => plus(times(weight, x), added);
  };
  return [product("q", bias.qkv), product("k", bias.qkv), product("v", bias.qkv), product("o", bias.o)];
}

/** RoPE over every head of a row in rotate-half order; a number is the base of an unscaled one. */
export function rotate(row: Float64Array, headDim: number, position: number, rope: number | Rotation): Float64Array {
  const { angles, amplitude } =
    typeof rope === "number" ? rotationOf({ theta: rope, dims: headDim, scaling: { kind: "none" } }) : rope;
  const out = new Float64Array(row.length);
  const half = headDim / 2;
  for (let head = 0; head < row.length; head += headDim) {
    for (let i = 0; i < half; i++) {
      const angle = position * n(angles[i]);
      const [a, b] = [n(row[head + i]), n(row[head + half + i])];
      out[head + i] = amplitude * (a * Math.cos(angle) - b * Math.sin(angle));
      out[head + half + i] = amplitude * (b * Math.cos(angle) + a * Math.sin(angle));
    }
  }
  return out;
}

/** A row-major matrix [rows, x.length] times a vector. */
export function times(matrix: ArrayLike<number>, x: Float64Array): Float64Array {
  const out = new Float64Array(matrix.length / x.length);
  for (let row = 0, at = 0; row < out.length; row++) {
    let sum = 0;
    for (let i = 0; i < x.length; i++, at++) sum += n(matrix[at]) * n(x[i]);
    out[row] = sum;
  }
  return out;
}

function attend(
  q: Float64Array[],
  k: Float64Array[],
  v: Float64Array[],
  at: number,
  head: number,
  group: number,
  size: number,
  out: Float64Array,
): void {
  const scores = Array.from({ length: at + 1 }, (_, past) => {
    let sum = 0;
    for (let i = 0; i < size; i++) sum += n(q[at]?.[head * size + i]) * n(k[past]?.[group * size + i]);
    return sum / Math.sqrt(size);
  });
  const peak = Math.max(...scores);
  const weights = scores.map((score) => Math.exp(score - peak));
  const total = weights.reduce((a, b) => a + b, 0);
  for (let i = 0; i < size; i++) {
    out[head * size + i] = weights.reduce(
      (sum, weight, past) => sum + (weight / total) * n(v[past]?.[group * size + i]),
      0,
    );
  }
}

function rms(x: Float64Array, weight: Float32Array, eps: number): Float64Array {
  const scale = 1 / Math.sqrt(x.reduce((sum, value) => sum + value * value, 0) / x.length + eps);
  return x.map((value, i) => value * scale * n(weight[i]));
}

export function plus(a: Float64Array, b: Float64Array): Float64Array {
  return a.map((value, i) => value + n(b[i]));
}

/** An element that is there; a wrong index becomes NaN and fails the comparison. */
function n(value: number | undefined): number {
  return value ?? Number.NaN;
}
