/**
 * What a folder is that does not hold a model as it should: a LoRA adapter, GGUF files, PyTorch checkpoints, half of a
 * download.
 */
import { UserError } from "../../runtime/common/errors.ts";
import type { Folder } from "./bytes.ts";
import { readJson } from "./json.ts";

/**
 * The error for a folder that cannot be opened: what it holds instead where that is known, and else `problem` with
 * `hint`.
 */
export async function notAModel(folder: Folder, problem: string, hint: string): Promise<UserError> {
  const names = await folder.list();
  const found = (await adapter(folder, names)) ?? shards(names) ?? others(names);
  if (found === undefined) return new UserError(`${folder.where}: ${problem}`, { hint });
  return new UserError(`${folder.where}: ${found.what}`, { hint: found.advice });
}

interface Found {
  readonly what: string;
  readonly advice: string;
}

async function adapter(folder: Folder, names: readonly string[]): Promise<Found | undefined> {
  if (!names.some((name) => /^adapter_(config\.json|model\.(safetensors|bin))$/.test(name))) return undefined;
  const file = await folder.open("adapter_config.json");
  const json = file === undefined ? undefined : await readJson(file);
  const base =
    typeof json === "object" && json !== null && "base_model_name_or_path" in json
      ? json.base_model_name_or_path
      : undefined;
  const of = typeof base === "string" && base !== "" ? ` of ${base}` : "";
  return {
    what: `holds a LoRA adapter${of}, not a model`,
    advice: "merge it into its model first, as peft's merge_and_unload does, and give the folder of the result",
  };
}

/** Shards whose index is missing, and how many of them there are. */
function shards(names: readonly string[]): Found | undefined {
  const parts = names.flatMap((name) => /^(.*)-(\d{5})-of-(\d{5})\.safetensors$/.exec(name)?.[3] ?? []);
  const total = parts[0];
  if (total === undefined) return undefined;
  return {
    what: `holds ${parts.length} of ${Number(total)} safetensors shards, but no model.safetensors.index.json`,
    advice: "fetch the index too: it says which shard holds which tensor",
  };
}

const CONVERT = "convert them to safetensors first, in the framework that wrote them";

/** Files of other formats, the likeliest first: [which, what they are, what to do]. */
const OTHERS: readonly (readonly [RegExp, string, string])[] = [
  [/\.gguf$/i, "GGUF files", "GGUF is not supported yet: take the safetensors version of the model"],
  [/^pytorch_model.*\.bin$|\.(pth?|ckpt)$/i, "PyTorch checkpoints", `${CONVERT}; opening one can run any code`],
  [/\.(h5|msgpack|npz|onnx|mlmodel|ot)$/i, "weights of another framework", CONVERT],
  [/\.bin$/i, ".bin files", "give a llama2.c .bin itself, not its folder; convert PyTorch ones to safetensors first"],
];

function others(names: readonly string[]): Found | undefined {
  for (const [pattern, what, advice] of OTHERS) {
    const matching = names.filter((name) => pattern.test(name));
    if (matching.length === 0) continue;
    const some = matching.slice(0, 3).join(", ");
    const more = matching.length > 3 ? ` and ${matching.length - 3} more` : "";
    return { what: `holds ${what} only (${some}${more})`, advice };
  }
  return undefined;
}
