/**
 * What a Llama decoder is, in thirteen numbers.
 *
 * The names are ours (dim, heads, groups, ff), the source is the `config.json` that Hugging Face folders carry. Whatever would change the arithmetic and is
 * not computed here is refused by name: a checkpoint that loads but is run with the wrong formula only gives fluent nonsense.
 */

import { UserError } from "../../runtime/common/errors.ts";

export interface LlamaConfig {
  /** Name to show, taken from the folder or file. */
  readonly name: string;
  readonly layers: number;
  /** Width of the residual stream. */
  readonly dim: number;
  /** Query heads. */
  readonly heads: number;
  /** Key/value heads; divides `heads`. */
  readonly groups: number;
  readonly headDim: number;
  /** Width of the feed-forward layer. */
  readonly ff: number;
  readonly vocab: number;
  /** Positions the model was trained on. */
  readonly context: number;
  /** Added to the mean square in RMSNorm. */
  readonly eps: number;
  readonly ropeTheta: number;
  /** Whether the output matrix is the embedding. */
  readonly tied: boolean;
  readonly bos: readonly number[];
  /** Any of these ids ends a text. */
  readonly eos: readonly number[];
}

type Json = { readonly [key: string]: unknown };

/** Hears of what is odd in a file and does no harm. */
export type Note = (text: string) => void;

/** Reads a Hugging Face `config.json` of a LlamaForCausalLM; `file` names it in errors. Throws a `UserError` naming the key, what was expected and what was got. */
export function parseLlamaConfig(json: unknown, file: string, note: Note = () => {}): LlamaConfig {
  const root = record(json, file, "");
  architecture(root, file);
  refuse(root, file);
  const rope = ropeTheta(root, file);

  const dim = count(root, file, "hidden_size");
  const heads = count(root, file, "num_attention_heads");
  const groups = root.num_key_value_heads == null ? heads : count(root, file, "num_key_value_heads");
  if (heads % groups !== 0) {
    wrong(file, "num_key_value_heads", `a divisor of num_attention_heads (${heads})`, groups);
  }
  if (root.head_dim == null && dim % heads !== 0) {
    wrong(file, "hidden_size", `a multiple of num_attention_heads (${heads}), as head_dim is not given`, dim);
  }
  const headDim = root.head_dim == null ? dim / heads : count(root, file, "head_dim");
  if (headDim % 2 !== 0) wrong(file, "head_dim", "an even number (RoPE turns pairs)", headDim);

  const vocab = count(root, file, "vocab_size");
  return {
    name: modelName(file),
    layers: count(root, file, "num_hidden_layers"),
    dim,
    heads,
    groups,
    headDim,
    ff: count(root, file, "intermediate_size"),
    vocab,
    context: count(root, file, "max_position_embeddings"),
    eps: positive(root, file, "rms_norm_eps"),
    ropeTheta: rope,
    tied: flag(root, file, "tie_word_embeddings"),
    bos: ids(root, file, "bos_token_id", vocab, note),
    eos: ids(root, file, "eos_token_id", vocab, note),
  };
}

/**
 * The config with the end ids that another file adds, `generation_config.json` or `tokenizer_config.json`. Throws a `UserError` as `parseLlamaConfig`
 * does.
 */
export function withEnds(config: LlamaConfig, json: unknown, file: string, note: Note = () => {}): LlamaConfig {
  const extra = ids(record(json, file, ""), file, "eos_token_id", config.vocab, note);
  return { ...config, eos: [...new Set([...config.eos, ...extra])] };
}

function architecture(root: Json, file: string): void {
  const named = root.architectures;
  const expected = "LlamaForCausalLM (the only architecture supported)";
  if (named != null) {
    if (!Array.isArray(named) || named.length !== 1 || named[0] !== "LlamaForCausalLM") {
      wrong(file, "architectures", expected, named);
    }
  } else if (root.model_type == null) {
    wrong(file, "architectures", expected, named);
  }
  if (root.model_type != null && root.model_type !== "llama")
    wrong(file, "model_type", '"llama", for LlamaForCausalLM (the only architecture supported)', root.model_type);
}

/** Options that change the arithmetic; all are refused unless they have the value that a plain Llama has. */
function refuse(root: Json, file: string): void {
  const plain = "supported is LlamaForCausalLM without it";
  for (const key of ["attention_bias", "mlp_bias"]) {
    if (flag(root, file, key)) wrong(file, key, `false (${plain})`, true);
  }
  if (root.hidden_act !== undefined && root.hidden_act !== "silu") {
    wrong(file, "hidden_act", '"silu" (the activation of LlamaForCausalLM)', root.hidden_act);
  }
  for (const key of ["partial_rotary_factor", "rotary_pct"]) {
    if (root[key] != null && root[key] !== 1) wrong(file, key, `1 (${plain})`, root[key]);
  }
  if (root.quantization_config != null) {
    wrong(file, "quantization_config", "none: weights in f32, f16 or bf16", root.quantization_config);
  }
}

/** Settings of RoPE that change nothing where it is not scaled; a factor of 1 scales nothing either. */
const HARMLESS: readonly string[] = ["original_max_position_embeddings"];

/**
 * Base of the rotary angles. It stands at the top level (older files), in `rope_scaling` or in `rope_parameters`; scaled variants are refused, and so are
 * places that disagree, of which other readers take one or the other.
 */
function ropeTheta(root: Json, file: string): number {
  let theta: number | undefined;
  let place = "";
  const take = (key: string, value: number): void => {
    if (theta !== undefined && theta !== value) wrong(file, key, `${theta}, as "${place}" has it`, value);
    [theta, place] = [value, key];
  };
  if (root.rope_theta != null) take("rope_theta", positive(root, file, "rope_theta"));
  for (const key of ["rope_scaling", "rope_parameters"]) {
    const value = root[key];
    if (value == null) continue;
    const rope = record(value, file, key);
    ropeKind(rope, file, key);
    for (const [name, setting] of Object.entries(rope)) {
      if (name === "rope_type" || name === "type" || setting == null || HARMLESS.includes(name)) continue;
      if (name === "rope_theta") take(`${key}.${name}`, positive(rope, file, name, `${key}.`));
      else if ((name === "partial_rotary_factor" || name === "factor") && setting === 1) continue;
      else wrong(file, `${key}.${name}`, "only rope_type and rope_theta (unscaled RoPE)", setting);
    }
  }
  // Files from before the key existed leave it out; 10000 was the only value then.
  return theta ?? 10000;
}

/** The kind stands under a new name, an old one or both; only unscaled RoPE passes, and linear scaling by 1, which is the same. */
function ropeKind(rope: Json, file: string, key: string): void {
  const { rope_type: kind, type: old } = rope;
  if (kind != null && old != null && kind !== old) {
    wrong(file, `${key}.type`, `${show(kind)}, as "${key}.rope_type" has it`, old);
  }
  const type = kind ?? old ?? "default";
  if (type === "default" || (type === "linear" && rope.factor === 1)) return;
  const expected = '"default" (unscaled RoPE, the only kind supported for LlamaForCausalLM)';
  wrong(file, `${key}.${kind == null ? "type" : "rope_type"}`, expected, type);
}

function modelName(file: string): string {
  const parts = file.split(/[\\/]+/).filter((part) => part !== "" && part !== ".");
  return parts.at(-2) ?? "llama";
}

function wrong(file: string, key: string, expected: string, got: unknown): never {
  throw new UserError(`${file}: ${key === "" ? "" : `"${key}": `}expected ${expected}, got ${show(got)}`);
}

function show(value: unknown): string {
  if (value === undefined) return "nothing";
  const text = JSON.stringify(value);
  return text.length > 120 ? `${text.slice(0, 117)}...` : text;
}

function record(value: unknown, file: string, key: string): Json {
  if (typeof value !== "object" || value === null || Array.isArray(value)) wrong(file, key, "an object", value);
  return value as Json;
}

function count(from: Json, file: string, key: string): number {
  const value = from[key];
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 1)
    wrong(file, key, "a positive integer", value);
  return value;
}

function positive(from: Json, file: string, key: string, prefix = ""): number {
  const value = from[key];
  if (typeof value !== "number" || !(value > 0)) wrong(file, prefix + key, "a positive number", value);
  return value;
}

function flag(from: Json, file: string, key: string): boolean {
  const value = from[key] ?? false;
  if (typeof value !== "boolean") wrong(file, key, "true or false", value);
  return value;
}

/** Token ids under a key. Those that the vocabulary does not have can never come up: they are left out, and noted. */
function ids(from: Json, file: string, key: string, vocab: number, note: Note): readonly number[] {
  const value = from[key];
  if (value == null) return [];
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  return list.flatMap((id) => {
    if (typeof id !== "number" || !Number.isSafeInteger(id))
      return wrong(file, key, "a token id or a list of them", value);
    if (id >= 0 && id < vocab) return [id];
    note(`${file}: "${key}": ${id} is left out, since the vocabulary has ${vocab} ids`);
    return [];
  });
}
