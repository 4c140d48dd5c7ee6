/**
 * A Hugging Face folder: config.json, safetensors, tokenizer.json.
 *
 * The names of the stored tensors are those of transformers' LlamaForCausalLM, whose projections are [outputs, inputs] and already in rotate-half order, so
 * nothing is moved. Opening reads headers only, and checks all of them: a wrong shape is found before the first byte of a large model is loaded.
 */

import { basename, resolve } from "node:path";
import { UserError } from "../../runtime/errors.ts";
import { type LlamaConfig, parseLlamaConfig, withGenerationConfig } from "../llama/config.ts";
import { loadTokenizer } from "../tokenizer/huggingface.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { diskFolder, type Folder, readJson } from "./bytes.ts";
import type { SafetensorsDType } from "./safetensors.ts";
import { openTensors, type StoredTensor } from "./shards.ts";
import {
  type CanonicalName,
  canonicalShapes,
  checkShape,
  type LayerPart,
  lookup,
  type ModelSource,
  typed,
  type WeightDType,
  type WeightTensor,
} from "./weights.ts";

const EMBED = "model.embed_tokens.weight";
const HEAD = "lm_head.weight";

const PARTS: Readonly<Record<LayerPart, string>> = {
  attention_norm: "input_layernorm",
  q: "self_attn.q_proj",
  k: "self_attn.k_proj",
  v: "self_attn.v_proj",
  o: "self_attn.o_proj",
  ffn_norm: "post_attention_layernorm",
  gate: "mlp.gate_proj",
  up: "mlp.up_proj",
  down: "mlp.down_proj",
};

/** Opens a folder on disk. Throws a `UserError` for anything in it that cannot be used. */
export async function openHuggingFace(directory: string): Promise<ModelSource> {
  const source = await openHuggingFaceFolder(diskFolder(directory));
  // The name is the folder's, also when the path given was "." or ended in "..".
  return { ...source, config: { ...source.config, name: basename(resolve(directory)) } };
}

/** Opens a folder that may lie in memory. */
export async function openHuggingFaceFolder(folder: Folder): Promise<ModelSource> {
  const config = await readConfig(folder);
  const stored = await openTensors(folder);
  refuseStrangers(stored, config);

  const tensors = new Map<CanonicalName, WeightTensor>();
  for (const [name, shape] of canonicalShapes(config)) {
    if (name === "head" && config.tied) continue;
    tensors.set(name, weight(folder, stored, storedName(name, stored, config), shape));
  }
  const embed = tensors.get("embed");
  if (config.tied && embed !== undefined) tensors.set("head", embed);

  let tokenizer: Promise<Tokenizer> | undefined;
  return {
    config,
    where: folder.where,
    tokenizer(): Promise<Tokenizer> {
      tokenizer ??= loadTokenizer(folder, config.bos[0]);
      return tokenizer;
    },
    tensor: (name) => lookup(tensors, name),
  };
}

async function readConfig(folder: Folder): Promise<LlamaConfig> {
  const file = await folder.open("config.json");
  if (file === undefined) throw new UserError(`${folder.where}: not a model folder: it has no config.json`);
  const config = parseLlamaConfig(await readJson(file), file.where);
  const generation = await folder.open("generation_config.json");
  return generation === undefined ? config : withGenerationConfig(config, await readJson(generation), generation.where);
}

/** The stored name of a canonical one. A tied model may store its one matrix under either name; the embedding's wins, as in transformers. */
function storedName(name: CanonicalName, stored: ReadonlyMap<string, StoredTensor>, config: LlamaConfig): string {
  if (name === "embed") return config.tied && !stored.has(EMBED) && stored.has(HEAD) ? HEAD : EMBED;
  if (name === "head") return HEAD;
  if (name === "norm") return "model.norm.weight";
  const [, layer, part] = name.split(".") as ["layers", string, LayerPart];
  return `model.layers.${layer}.${PARTS[part]}.weight`;
}

function weight(
  folder: Folder,
  stored: ReadonlyMap<string, StoredTensor>,
  name: string,
  shape: readonly number[],
): WeightTensor {
  const found = stored.get(name);
  if (found === undefined)
    throw new UserError(`${folder.where}: tensor "${name}" is missing, expected shape [${shape.join(", ")}]`);
  const { where, tensor } = found;
  checkShape(where, name, shape, tensor.shape);
  const dtype = weightDType(tensor.dtype);
  if (dtype === undefined) {
    throw new UserError(`${where}: tensor "${name}": expected dtype F32, F16 or BF16, got ${tensor.dtype}`);
  }
  return { name, shape, dtype, data: async () => typed(await tensor.bytes(), dtype) };
}

function weightDType(dtype: SafetensorsDType): WeightDType | undefined {
  return dtype === "F32" ? "f32" : dtype === "F16" ? "f16" : dtype === "BF16" ? "bf16" : undefined;
}

/** A tensor inside a layer that a Llama does not have (a bias, a further norm, a further layer) means that the model computes something else. */
function refuseStrangers(stored: ReadonlyMap<string, StoredTensor>, config: LlamaConfig): void {
  const known = new Set<string>([...canonicalShapes(config).keys()].map((name) => storedName(name, stored, config)));
  for (const [name, { where }] of stored) {
    // Old exports store the rotary frequencies, which follow from the config.
    if (!name.startsWith("model.layers.") || known.has(name) || name.endsWith(".rotary_emb.inv_freq")) continue;
    throw new UserError(`${where}: tensor "${name}" does not belong to a LlamaForCausalLM of ${config.layers} layers`);
  }
}
