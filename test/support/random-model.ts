/**
 * Small Llamas with random weights, written as Hugging Face folders: what a test needs to try every ratio of heads
 * without a file of anybody's.
 *
 * The gains are chosen so that attention is neither uniform nor on one token alone; else a wrong mask would hardly show
 * in the logits.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type SafetensorsInput, writeSafetensors } from "../../models/formats/safetensors.ts";
import { openModel } from "../../models/open.ts";
import type { ModelSource } from "../../models/weights/source.ts";
import { normal } from "./random.ts";

export interface RandomShape {
  readonly layers?: number;
  readonly dim?: number;
  readonly heads?: number;
  readonly groups?: number;
  readonly headDim?: number;
  readonly ff?: number;
  readonly vocab?: number;
  readonly context?: number;
  readonly eos?: number;
  /** Biases of q, k, v and o. */
  readonly bias?: boolean;
  /** `rope_parameters` of its config.json. */
  readonly rope?: Readonly<Record<string, string | number | boolean>>;
}

/** Writes the model into `folder` and opens it. */
export async function randomModel(folder: string, seed: number, shape: RandomShape = {}): Promise<ModelSource> {
  const { layers = 3, dim = 32, heads = 4, groups = heads, headDim = 8, ff = 48, vocab = 64, context = 256 } = shape;
  const next = normal(seed);
  const tensors: Record<string, SafetensorsInput> = {};
  const matrix = (name: string, rows: number, columns: number, gain: number): void => {
    const data = Float32Array.from({ length: rows * columns }, () => (next() * gain) / Math.sqrt(columns));
    tensors[`${name}.weight`] = { dtype: "F32", shape: [rows, columns], data };
  };
  const bias = (name: string, rows: number): void => {
    if (shape.bias !== true) return;
    const data = Float32Array.from({ length: rows }, () => 0.5 * next());
    tensors[`${name}.bias`] = { dtype: "F32", shape: [rows], data };
  };
  const norm = (name: string): void => {
    const data = Float32Array.from({ length: dim }, () => 1 + 0.1 * next());
    tensors[`${name}.weight`] = { dtype: "F32", shape: [dim], data };
  };
  matrix("model.embed_tokens", vocab, dim, Math.sqrt(dim));
  for (let i = 0; i < layers; i++) {
    const at = `model.layers.${i}`;
    norm(`${at}.input_layernorm`);
    matrix(`${at}.self_attn.q_proj`, heads * headDim, dim, 1.4);
    matrix(`${at}.self_attn.k_proj`, groups * headDim, dim, 1.4);
    matrix(`${at}.self_attn.v_proj`, groups * headDim, dim, 1);
    matrix(`${at}.self_attn.o_proj`, dim, heads * headDim, 1.5);
    bias(`${at}.self_attn.q_proj`, heads * headDim);
    bias(`${at}.self_attn.k_proj`, groups * headDim);
    bias(`${at}.self_attn.v_proj`, groups * headDim);
    bias(`${at}.self_attn.o_proj`, dim);
    norm(`${at}.post_attention_layernorm`);
    matrix(`${at}.mlp.gate_proj`, ff, dim, 1);
    matrix(`${at}.mlp.up_proj`, ff, dim, 1);
    matrix(`${at}.mlp.down_proj`, dim, ff, 1);
  }
  norm("model.norm");
  matrix("lm_head", vocab, dim, 2);
  await mkdir(folder, { recursive: true });
  await writeSafetensors(join(folder, "model.safetensors"), tensors);
  const config = {
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    hidden_size: dim,
    intermediate_size: ff,
    num_hidden_layers: layers,
    num_attention_heads: heads,
    num_key_value_heads: groups,
    head_dim: headDim,
    vocab_size: vocab,
    max_position_embeddings: context,
    rms_norm_eps: 1e-5,
    ...(shape.rope === undefined ? { rope_theta: 10000 } : { rope_parameters: shape.rope }),
    tie_word_embeddings: false,
    ...(shape.bias === true ? { attention_bias: true } : {}),
    ...(shape.eos === undefined ? {} : { eos_token_id: shape.eos }),
  };
  await writeFile(join(folder, "config.json"), JSON.stringify(config));
  return openModel(folder);
}
