/**
 * One door for every checkpoint: a folder, a llama2.c file, or the model that ships with the package.
 */

import type { Stats } from "node:fs";
import { stat } from "node:fs/promises";
import { UserError } from "../../runtime/errors.ts";
import { openHearth } from "../hearth/index.ts";
import { errorCode, fileError } from "./bytes.ts";
import { openHuggingFace } from "./huggingface.ts";
import { openLlama2c } from "./llama2c.ts";
import type { ModelSource } from "./weights.ts";

/**
 * Opens the model at `path`: a Hugging Face folder or a llama2.c `.bin`; nothing, or "hearth", is the embedded one (a folder of that name is "./hearth").
 * Weights are not read yet. Throws a `UserError` naming the file.
 */
export async function openModel(path: string | undefined): Promise<ModelSource> {
  if (path === undefined || path === "hearth") return openHearth();
  let entry: Stats;
  try {
    entry = await stat(path);
  } catch (error) {
    const code = errorCode(error);
    if (code !== "ENOENT" && code !== "ENOTDIR") throw fileError(path, "open", error);
    throw new UserError(`${path}: no such model file or folder`, {
      hint: 'give a Hugging Face folder, a llama2.c .bin, or "hearth" for the embedded model',
    });
  }
  if (entry.isDirectory()) return openHuggingFace(path);
  if (path.endsWith(".bin")) return openLlama2c(path);
  if (path.endsWith(".gguf")) throw new UserError(`${path}: GGUF files are not supported yet`);
  const hint = path.endsWith(".safetensors") ? "give the folder that holds it" : undefined;
  throw new UserError(
    `${path}: expected a Hugging Face folder or a llama2.c .bin file`,
    hint === undefined ? {} : { hint },
  );
}
