/**
 * A Hugging Face folder: config.json, safetensors, tokenizer.json.
 *
 * The names of the stored tensors are those of transformers' LlamaForCausalLM, whose projections are [outputs, inputs] and already in rotate-half order, so
 * nothing is moved. Opening reads headers only, and checks all of them: a wrong shape is found before the first byte of a large model is loaded.
 */

import { UserError } from "../../runtime/common/errors.ts";
import { type LlamaConfig, type Note, parseLlamaConfig, withEnds } from "../config/model-config.ts";
import type { Folder } from "../io/bytes.ts";
import { notAModel } from "../io/folder.ts";
import { readJson } from "../io/json.ts";
import { diskFolder } from "../io/node.ts";
import { endOfText } from "../tokenizers/ends.ts";
import { loadTokenizer } from "../tokenizers/huggingface.ts";
import type { Tokenizer } from "../tokenizers/tokenizer.ts";
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
} from "../weights/source.ts";
import { checkLayers, kindOfNames, refuseStrangers, sameBytes, withoutWrappers } from "./names.ts";
import { openTensors, type StoredTensor } from "./shards.ts";

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
export function openHuggingFace(directory: string): Promise<ModelSource> {
  return openHuggingFaceFolder(diskFolder(directory));
}

/** Opens a folder that may lie in memory or on a web server. */
export async function openHuggingFaceFolder(folder: Folder): Promise<ModelSource> {
  const notes: string[] = [];
  const note: Note = (text) => void notes.push(text);
  const read = await readConfig(folder, note);
  const stored = withoutWrappers(await openTensors(folder));
  checkLayers(folder.path("config.json"), read.layers, stored);
  const config = (await tiedInFact(read, stored)) ? read : { ...read, tied: false };
  if (config.tied !== read.tied) {
    note(`${folder.where}: "${HEAD}" is not the embedding, although tie_word_embeddings is true: it is used as stored`);
  }
  const shapes = canonicalShapes(config);
  const known = new Set([...shapes.keys()].map((name) => storedName(name, stored, config)));
  refuseStrangers(stored, known, config.layers, note);

  const tensors = new Map<CanonicalName, WeightTensor>();
  for (const [name, shape] of shapes) {
    if (name === "head" && config.tied) continue;
    tensors.set(name, weight(folder, stored, storedName(name, stored, config), shape));
  }
  const embed = tensors.get("embed");
  if (config.tied && embed !== undefined) tensors.set("head", embed);

  let tokenizer: Promise<Tokenizer> | undefined;
  return {
    config,
    where: folder.where,
    notes,
    tokenizer(): Promise<Tokenizer> {
      tokenizer ??= loadTokenizer(folder, config.bos[0], config.eos);
      return tokenizer;
    },
    tensor: (name) => lookup(tensors, name),
  };
}

async function readConfig(folder: Folder, note: Note): Promise<LlamaConfig> {
  const file = await folder.open("config.json");
  if (file === undefined) {
    const hint = "give the folder that holds config.json and model.safetensors";
    throw await notAModel(folder, "not a model folder: it has no config.json", hint);
  }
  let config: LlamaConfig = { ...parseLlamaConfig(await readJson(file), file.where, note), name: folder.name };
  const generation = await folder.open("generation_config.json");
  if (generation !== undefined) config = withEnds(config, await readJson(generation), generation.where, note);
  const ends = await endOfText(folder, note);
  return ends === undefined ? config : withEnds(config, ends.json, ends.where, note);
}

/** Whether the head is the embedding: where both are stored and differ it is not, whatever the config says. */
async function tiedInFact(config: LlamaConfig, stored: ReadonlyMap<string, StoredTensor>): Promise<boolean> {
  const [embed, head] = [stored.get(EMBED), stored.get(HEAD)];
  if (!config.tied || embed === undefined || head === undefined) return config.tied;
  return sameBytes(embed.tensor, head.tensor);
}

/** The stored name of a canonical one. A tied model may store its one matrix under either name. */
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
  if (found === undefined) {
    const message = `${folder.where}: tensor "${name}" is missing, expected shape [${shape.join(", ")}]`;
    throw new UserError(message, { hint: kindOfNames([...stored.keys()], name) });
  }
  const { where, tensor } = found;
  checkShape(where, name, shape, tensor.shape);
  const dtype = weightDType(tensor.dtype);
  if (dtype === undefined) {
    throw new UserError(`${where}: tensor "${name}": expected dtype F32, F16 or BF16, got ${tensor.dtype}`);
  }
  return { name, shape, dtype, data: async () => typed(await tensor.bytes(), dtype) };
}

function weightDType(dtype: string): WeightDType | undefined {
  return dtype === "F32" ? "f32" : dtype === "F16" ? "f16" : dtype === "BF16" ? "bf16" : undefined;
}
