/**
 * A Hugging Face folder: config.json, safetensors, tokenizer.json.
 *
 * What it computes and how its tensors are called is its family's (config/families). Opening reads headers only, and
 * checks all of them: a wrong shape is found before the first byte of a large model is loaded.
 */

import type { Parsing } from "../config/families/family.ts";
import { familyOf, parseConfig, withEnds } from "../config/families/index.ts";
import type { Note } from "../config/fields.ts";
import type { ModelSpec } from "../config/spec.ts";
import { type Placed, type Role, ruleFor, type WeightMap } from "../config/weight-map.ts";
import type { ByteSource, Folder } from "../io/bytes.ts";
import { notAModel } from "../io/folder.ts";
import { readJson } from "../io/json.ts";
import { diskFolder } from "../io/node.ts";
import { endOfText } from "../tokenizers/ends.ts";
import { loadTokenizer } from "../tokenizers/huggingface.ts";
import type { Tokenizer } from "../tokenizers/tokenizer.ts";
import { type CanonicalName, canonicalShapes, lookup, type ModelSource, type WeightTensor } from "../weights/source.ts";
import { mappedTensor, type Stored } from "./mapped.ts";
import { refuseStrangers, sameBytes, withoutWrappers } from "./names.ts";
import { openTensors } from "./shards.ts";

/** Opens a folder on disk. Throws a `UserError` for anything in it that cannot be used. */
export function openHuggingFace(directory: string): Promise<ModelSource> {
  return openHuggingFaceFolder(diskFolder(directory));
}

/** Opens a folder that may lie in memory or on a web server. */
export async function openHuggingFaceFolder(folder: Folder): Promise<ModelSource> {
  const notes: string[] = [];
  const note: Note = (text) => void notes.push(text);
  const config = await folder.open("config.json");
  if (config === undefined) {
    const hint = "give the folder that holds config.json and model.safetensors";
    throw await notAModel(folder, "not a model folder: it has no config.json", hint);
  }
  // How many tensors there are is known before layers are made, and what is wrong with the config is said first.
  const [opened] = await Promise.allSettled([openTensors(folder).then(withoutWrappers)]);
  const tensors = opened.status === "fulfilled" ? opened.value : undefined;
  const read = await readConfig(folder, config, { note, tensors: tensors?.size });
  if (opened.status === "rejected") throw opened.reason;
  return modelOf(folder, read, { where: folder.where, tensors: opened.value }, notes);
}

/** The model of a config and the tensors beside it; what is odd about them goes to `notes`. */
async function modelOf(folder: Folder, read: ModelSpec, stored: Stored, notes: string[]): Promise<ModelSource> {
  const note: Note = (text) => void notes.push(text);
  const { architecture, weights } = familyOf(read);
  const [embedding, head] = (["embed", "head"] as const).map((role) => ruleFor(weights, role).stored[0] ?? "");
  const config = (await tiedInFact(read, stored, embedding, head)) ? read : { ...read, tied: false };
  if (config.tied !== read.tied) {
    note(`${folder.where}: "${head}" is not the embedding, although tie_word_embeddings is true: it is used as stored`);
  }
  const shapes = canonicalShapes(config);
  const rules = new Map([...shapes.keys()].map((name) => [name, placeOf(name, weights)]));
  // A tied model may store its one matrix under either name.
  const swapped = config.tied && !stored.tensors.has(embedding ?? "") && stored.tensors.has(head ?? "");
  const matrix = rules.get("head");
  if (swapped && matrix !== undefined) rules.set("embed", { ...matrix, roles: ["embed"] });
  const known = new Set([...rules.values()].flatMap((rule) => rule.stored));
  refuseStrangers(stored.tensors, known, `${architecture} of ${config.layers.length} layers`, note);

  const tensors = new Map<CanonicalName, WeightTensor>();
  for (const [name, rule] of rules) {
    if (name === "head" && config.tied) continue;
    const { role, layer } = partsOf(name);
    const headDim = config.layers[layer ?? 0]?.attention.keyDim ?? 0;
    const shapeOf = (r: Role): readonly number[] | undefined =>
      shapes.get((layer === undefined ? r : `layers.${layer}.${r}`) as CanonicalName);
    tensors.set(name, mappedTensor(stored, rule, { role, shapeOf, headDim }));
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

async function readConfig(folder: Folder, file: ByteSource, parsing: Parsing): Promise<ModelSpec> {
  const { note } = parsing;
  let config: ModelSpec = { ...parseConfig(await readJson(file), file.where, parsing), name: folder.name };
  const generation = await folder.open("generation_config.json");
  if (generation !== undefined) config = withEnds(config, await readJson(generation), generation.where, note);
  const ends = await endOfText(folder, note);
  return ends === undefined ? config : withEnds(config, ends.json, ends.where, note);
}

/** Whether the head is the embedding: where both are stored and differ it is not, whatever the config says. */
async function tiedInFact(config: ModelSpec, { tensors }: Stored, embedding = "", head = ""): Promise<boolean> {
  const [a, b] = [tensors.get(embedding), tensors.get(head)];
  if (!config.tied || a === undefined || b === undefined) return config.tied;
  return sameBytes(a.tensor, b.tensor);
}

/** A canonical name taken apart. */
function partsOf(name: CanonicalName): { readonly role: Role; readonly layer: number | undefined } {
  const [, layer, part] = /^layers\.(\d+)\.(.+)$/.exec(name) ?? [];
  return { role: (part ?? name) as Role, layer: layer === undefined ? undefined : Number(layer) };
}

function placeOf(name: CanonicalName, weights: WeightMap): Placed {
  const { role, layer } = partsOf(name);
  return ruleFor(weights, role, layer);
}
