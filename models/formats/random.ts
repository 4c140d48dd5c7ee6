/**
 * Models of well-known shapes with random weights: what a benchmark needs so that nobody has to download anything.
 *
 * Every number is a hash of its tensor's canonical name and its index, so any part of any tensor can be made at any
 * time, without the others, on every runtime alike, and another program can be given the very same model. The spreads
 * are chosen so that activations keep their size from layer to layer, attention is neither uniform nor on one token
 * alone, and the residual stream forgets the embedding: else a tied model would say its last token for ever.
 */

import { UserError } from "../../runtime/common/errors.ts";
import { encodeBF16, encodeF16 } from "../../runtime/memory/dtype.ts";
import { llamaSpec } from "../config/families/llama.ts";
import type { ModelSpec } from "../config/spec.ts";
import {
  type CanonicalName,
  canonicalShapes,
  elements,
  lookup,
  type ModelSource,
  type WeightData,
  type WeightDType,
  type WeightTensor,
} from "../weights/source.ts";

type Dims = readonly [layers: number, dim: number, heads: number, kvHeads: number, ff: number, vocab: number];

function shape(name: string, dims: Dims, context: number, ropeTheta: number, tied: boolean): ModelSpec {
  const [layers, dim, heads, kvHeads, ff, vocab] = dims;
  const width = { layers, dim, heads, kvHeads, headDim: dim / heads, ff, vocab };
  // No end of text: random weights know none, and a benchmark wants the tokens it asked for.
  return llamaSpec({ name, ...width, context, eps: 1e-5, ropeTheta, tied, bos: [1], eos: [] });
}

const CONFIGS: readonly ModelSpec[] = [
  shape("stories15M", [6, 288, 6, 6, 768, 32000], 256, 1e4, true),
  shape("stories110M", [12, 768, 12, 12, 2048, 32000], 1024, 1e4, true),
  shape("SmolLM2-135M", [30, 576, 9, 3, 1536, 49152], 8192, 1e5, true),
  shape("Llama-3.2-1B", [16, 2048, 32, 8, 8192, 128256], 131072, 5e5, true),
  shape("TinyLlama-1.1B", [22, 2048, 32, 4, 5632, 32000], 2048, 1e4, false),
  shape("Llama-3.1-8B", [32, 4096, 32, 8, 14336, 128256], 131072, 5e5, false),
];

/** The shapes that `randomSource` knows, by name. */
export const SHAPES: Readonly<Record<string, ModelSpec>> = Object.fromEntries(CONFIGS.map((c) => [c.name, c]));

/**
 * Standard deviation of each part's numbers, times the root of the row's length: what a product with a vector of ones'
 * size comes out as.
 */
const GAINS: Readonly<Record<string, number>> = { q: 1.4, k: 1.4, v: 1, o: 1.5, gate: 1.5, up: 1.5, down: 1, head: 2 };
/**
 * Standard deviations that do not depend on a row's length: the embedding is small against what the first layer adds;
 * norms lie around 1.
 */
const EMBED = 0.05;
const NORM = 0.1;
const BIAS = 0.2;

/** What the numbers of one tensor are: uniform around `mean`, with this standard deviation. */
function law(name: CanonicalName, columns: number): { readonly mean: number; readonly deviation: number } {
  const part = name.split(".").at(-1) ?? "";
  if (part.endsWith("norm")) return { mean: 1, deviation: NORM };
  if (part.endsWith("_bias")) return { mean: 0, deviation: BIAS };
  if (part === "embed") return { mean: 0, deviation: EMBED };
  return { mean: 0, deviation: (GAINS[part] ?? 1) / Math.sqrt(columns) };
}

/** FNV-1a of a name: where a tensor's sequence of hashes starts. */
function seedOf(name: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
  return hash;
}

/**
 * Elements `start` … `start + count - 1` of a tensor of the random model with this config, as f32.
 *
 * Element i is mean + h · fround(√3 · deviation · 2⁻³¹), computed in f64 and rounded to f32, where h is MurmurHash3's
 * 32-bit finaliser of seed + i · 0x9e3779b9 as a signed number and the seed is FNV-1a of the canonical name.
 */
export function randomValues(
  config: ModelSpec,
  name: CanonicalName,
  start = 0,
  count?: number,
): Float32Array<ArrayBuffer> {
  const dims = canonicalShapes(config).get(name);
  if (dims === undefined) throw new RangeError(`no weight is called "${name}" in this model`);
  const { mean, deviation } = law(name, dims.at(-1) ?? 1);
  const scale = Math.fround(Math.sqrt(3) * deviation * 2 ** -31);
  const out = new Float32Array(count ?? elements(dims) - start);
  let counter = (seedOf(name) + Math.imul(start, 0x9e3779b9)) | 0;
  for (let i = 0; i < out.length; i++) {
    let x = counter ^ (counter >>> 16);
    x = Math.imul(x, 0x85ebca6b);
    x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
    out[i] = mean + (x ^ (x >>> 16)) * scale;
    counter = (counter + 0x9e3779b9) | 0;
  }
  return out;
}

/** How random weights are handed out. */
export interface RandomOptions {
  /** The format in which the numbers are handed out, rounded to nearest; f32 unless given. */
  readonly stored?: WeightDType;
}

/**
 * A source of random weights; nothing is made until it is asked for.
 * @param shape a name among `SHAPES`, or what the model computes
 * @param options the format of the weights
 * @throws UserError for an unknown name
 */
export function randomSource(shape: string | ModelSpec, options: RandomOptions = {}): ModelSource {
  const config = typeof shape === "string" ? named(shape) : shape;
  const dtype = options.stored ?? "f32";
  const encode = (values: Float32Array<ArrayBuffer>): WeightData =>
    dtype === "f32" ? values : dtype === "f16" ? encodeF16(values) : encodeBF16(values);
  const tensors = new Map<CanonicalName, WeightTensor>();
  for (const [name, dims] of canonicalShapes(config)) {
    if (name === "head" && config.tied) continue;
    tensors.set(name, {
      name,
      shape: dims,
      dtype,
      data: async () => encode(randomValues(config, name)),
      part: async (start, count) => encode(randomValues(config, name, start, count)),
    });
  }
  const embed = lookup(tensors, "embed");
  if (config.tied) tensors.set("head", embed);
  return {
    config,
    where: `random weights of the shape ${config.name}`,
    notes: [],
    tokenizer: () => Promise.reject(new UserError(`${config.name} has random weights and no tokenizer: use token ids`)),
    tensor: (name) => lookup(tensors, name),
  };
}

function named(name: string): ModelSpec {
  const found = CONFIGS.find((c) => c.name.toLowerCase() === name.toLowerCase());
  if (found !== undefined) return found;
  throw new UserError(`unknown shape "${name}"`, { hint: `there are: ${CONFIGS.map((c) => c.name).join(", ")}` });
}
