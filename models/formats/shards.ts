/**
 * The tensors of a Hugging Face folder, in one file or in several.
 *
 * Large checkpoints are split; `model.safetensors.index.json` says which shard holds which tensor. Only headers are
 * read here.
 */

import { UserError } from "../../runtime/common/errors.ts";
import type { Folder } from "../io/bytes.ts";
import { notAModel } from "../io/folder.ts";
import { readStrictJson } from "../io/json.ts";
import { readSafetensors, type SafetensorsTensor } from "./safetensors.ts";

/** A stored tensor with the file that holds it. */
export interface StoredTensor {
  readonly where: string;
  readonly tensor: SafetensorsTensor;
}

const SINGLE = "model.safetensors";
const INDEX = "model.safetensors.index.json";

/** Every tensor of the folder by its stored name. Throws a `UserError` naming the file, shard and tensor. */
export async function openTensors(folder: Folder): Promise<ReadonlyMap<string, StoredTensor>> {
  const single = await folder.open(SINGLE);
  if (single !== undefined) {
    const { where, tensors } = await readSafetensors(single);
    return new Map([...tensors].map(([name, tensor]) => [name, { where, tensor }]));
  }
  const index = await folder.open(INDEX);
  if (index === undefined) {
    const hint = "other weight files (.bin, .pth) have to be converted to safetensors first";
    throw await notAModel(folder, `no weights: expected ${SINGLE} or ${INDEX}`, hint);
  }
  const map = weightMap(await readStrictJson(index), index.where);

  const shards = new Map<string, ReadonlyMap<string, SafetensorsTensor>>();
  for (const [name, file] of map) {
    if (shards.has(file)) continue;
    const source = await folder.open(file);
    if (source === undefined) {
      throw new UserError(`${index.where}: shard "${file}" is missing (it holds tensor "${name}")`);
    }
    shards.set(file, (await readSafetensors(source)).tensors);
  }
  const stored = new Map<string, StoredTensor>();
  for (const [name, file] of map) {
    const tensor = shards.get(file)?.get(name);
    if (tensor === undefined) {
      throw new UserError(`${folder.path(file)}: tensor "${name}" is not in this shard, although ${INDEX} says so`);
    }
    stored.set(name, { where: folder.path(file), tensor });
  }
  return stored;
}

function weightMap(json: unknown, where: string): readonly [string, string][] {
  const map = typeof json === "object" && json !== null && "weight_map" in json ? json.weight_map : undefined;
  if (typeof map !== "object" || map === null || Array.isArray(map)) {
    throw new UserError(`${where}: "weight_map": expected an object of tensor name -> shard file`);
  }
  return Object.entries(map).map(([name, file]: [string, unknown]) => {
    // A shard lies in the model's own folder: anything with a path in it does not belong there.
    if (typeof file !== "string" || file === "" || /[\\/]/.test(file) || file === "..") {
      throw new UserError(
        `${where}: "weight_map": expected a file name for tensor "${name}", got ${JSON.stringify(file)}`,
      );
    }
    return [name, file];
  });
}
