/**
 * Llama: RMSNorm before both halves, rotary positions, SwiGLU (Touvron et al. 2023); attention biases and scaled RoPE
 * where a config has them.
 */

import { count, type Fields, flag, ids, layerCount, positive, wrong } from "../fields.ts";
import { parseRope } from "../rope.ts";
import type { LayerSpec, ModelSpec, NormSpec, RopeScaling } from "../spec.ts";
import type { Family, Parsing } from "./family.ts";

/** A Llama whose layers are all alike, in a few numbers. */
export interface LlamaDims {
  /** Name to show. */
  readonly name: string;
  /** Number of layers. */
  readonly layers: number;
  /** Width of the residual stream. */
  readonly dim: number;
  /** Query heads. */
  readonly heads: number;
  /** Key/value heads; divides `heads`. */
  readonly kvHeads: number;
  /** Numbers of a head of queries, keys or values; even. */
  readonly headDim: number;
  /** Width of the feed-forward half. */
  readonly ff: number;
  /** Rows of the embedding, [vocab, dim]. */
  readonly vocab: number;
  /** Positions the model was trained on. */
  readonly context: number;
  /** Added to the mean square in RMSNorm. */
  readonly eps: number;
  /** Base of the rotary angles. */
  readonly ropeTheta: number;
  /** None unless given. */
  readonly ropeScaling?: RopeScaling;
  /** Biases of q, k, v and o; none unless given. */
  readonly attentionBias?: boolean;
  /** Whether the output matrix is the embedding. */
  readonly tied: boolean;
  /** Ids that a text begins with. */
  readonly bos: readonly number[];
  /** Any of these ids ends a text. */
  readonly eos: readonly number[];
}

/**
 * The spec of such a Llama.
 * @param dims its numbers
 */
export function llamaSpec(dims: LlamaDims): ModelSpec {
  const { name, dim, heads, kvHeads, headDim, ff, vocab, context, eps, ropeTheta, tied, bos, eos } = dims;
  const { ropeScaling: scaling = { kind: "none" }, attentionBias: bias = false } = dims;
  const norm: NormSpec = { kind: "rms", eps, offset: 0 };
  const before = { before: norm, after: undefined };
  const layer: LayerSpec = {
    attention: {
      heads,
      kvHeads,
      keyDim: headDim,
      valueDim: headDim,
      scale: undefined,
      bias: { qkv: bias, o: bias },
      qkNorm: undefined,
      rope: { theta: ropeTheta, dims: headDim, scaling },
      window: undefined,
      softCap: undefined,
      sinks: false,
    },
    mlp: { kind: "gated", width: ff, activation: "silu", bias: false },
    norms: { attention: before, mlp: before },
  };
  const layers = new Array<LayerSpec>(dims.layers).fill(layer);
  const scales = { embedding: 1, residual: 1, logits: 1 };
  return { name, family: "llama", dim, vocab, context, layers, norm, tied, scales, bos, eos };
}

/**
 * The numbers of a Llama whose layers are all alike: what `llamaSpec` was given.
 * @param spec of a Llama
 * @throws RangeError where the layers are not alike, or know no positions
 */
export function llamaDims(spec: ModelSpec): LlamaDims {
  const [layer] = spec.layers;
  if (layer === undefined || spec.layers.some((other) => other !== layer) || layer.attention.rope === undefined)
    throw new RangeError(`the layers of "${spec.name}" are not alike`);
  const { name, dim, vocab, context, tied, bos, eos } = spec;
  const { heads, kvHeads, keyDim: headDim, rope, bias } = layer.attention;
  const more = {
    ...(rope.scaling.kind === "none" ? {} : { ropeScaling: rope.scaling }),
    ...(bias.qkv ? { attentionBias: true } : {}),
  };
  const attention = { heads, kvHeads, headDim, ropeTheta: rope.theta, ...more };
  const rest = { dim, ff: layer.mlp.width, vocab, context, eps: spec.norm.eps, tied, bos, eos };
  return { name, layers: spec.layers.length, ...attention, ...rest };
}

function parse(root: Fields, { note, tensors }: Parsing): ModelSpec {
  refuse(root);
  const dim = count(root, "hidden_size");
  const heads = count(root, "num_attention_heads");
  const given = root.json.head_dim;
  const kvHeads = root.json.num_key_value_heads == null ? heads : count(root, "num_key_value_heads");
  if (heads % kvHeads !== 0) {
    wrong(root, "num_key_value_heads", `a divisor of num_attention_heads (${heads})`, kvHeads);
  }
  if (given == null && dim % heads !== 0) {
    wrong(root, "hidden_size", `a multiple of num_attention_heads (${heads}), as head_dim is not given`, dim);
  }
  const headDim = given == null ? dim / heads : count(root, "head_dim");
  if (headDim % 2 !== 0) wrong(root, "head_dim", "an even number (RoPE turns pairs)", headDim);

  const vocab = count(root, "vocab_size");
  const context = count(root, "max_position_embeddings");
  const { theta, scaling } = parseRope(root, context);
  return llamaSpec({
    name: folderOf(root.file),
    layers: layerCount(root, "num_hidden_layers", tensors),
    dim,
    heads,
    kvHeads,
    headDim,
    ff: count(root, "intermediate_size"),
    vocab,
    context,
    eps: positive(root, "rms_norm_eps"),
    ropeTheta: theta,
    ropeScaling: scaling,
    attentionBias: flag(root, "attention_bias"),
    tied: flag(root, "tie_word_embeddings"),
    bos: ids(root, "bos_token_id", vocab, note),
    eos: ids(root, "eos_token_id", vocab, note),
  });
}

/**
 * Options that change the arithmetic and are not computed here: refused unless they have the value that a plain Llama
 * has.
 */
function refuse(root: Fields): void {
  const { json } = root;
  const plain = "supported is LlamaForCausalLM without it";
  if (flag(root, "mlp_bias")) wrong(root, "mlp_bias", `false (${plain})`, true);
  if (json.hidden_act !== undefined && json.hidden_act !== "silu") {
    wrong(root, "hidden_act", '"silu" (the activation of LlamaForCausalLM)', json.hidden_act);
  }
  for (const key of ["partial_rotary_factor", "rotary_pct"]) {
    if (json[key] != null && json[key] !== 1) wrong(root, key, `1 (${plain})`, json[key]);
  }
  if (json.quantization_config != null) {
    wrong(root, "quantization_config", "none: weights in f32, f16 or bf16", json.quantization_config);
  }
}

function folderOf(file: string): string {
  const parts = file.split(/[\\/]+/).filter((part) => part !== "" && part !== ".");
  return parts.at(-2) ?? "llama";
}

export const llama: Family = {
  name: "llama",
  architecture: "LlamaForCausalLM",
  parse,
  weights: [
    { stored: "model.embed_tokens.weight", role: "embed" },
    { stored: "model.layers.{layer}.input_layernorm.weight", role: "attention_norm" },
    { stored: "model.layers.{layer}.self_attn.q_proj.weight", role: "q" },
    { stored: "model.layers.{layer}.self_attn.k_proj.weight", role: "k" },
    { stored: "model.layers.{layer}.self_attn.v_proj.weight", role: "v" },
    { stored: "model.layers.{layer}.self_attn.q_proj.bias", role: "q_bias" },
    { stored: "model.layers.{layer}.self_attn.k_proj.bias", role: "k_bias" },
    { stored: "model.layers.{layer}.self_attn.v_proj.bias", role: "v_bias" },
    { stored: "model.layers.{layer}.self_attn.o_proj.weight", role: "o" },
    { stored: "model.layers.{layer}.self_attn.o_proj.bias", role: "o_bias" },
    { stored: "model.layers.{layer}.post_attention_layernorm.weight", role: "ffn_norm" },
    { stored: "model.layers.{layer}.mlp.gate_proj.weight", role: "gate" },
    { stored: "model.layers.{layer}.mlp.up_proj.weight", role: "up" },
    { stored: "model.layers.{layer}.mlp.down_proj.weight", role: "down" },
    { stored: "model.norm.weight", role: "norm" },
    { stored: "lm_head.weight", role: "head" },
  ],
};
