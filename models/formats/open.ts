/**
 * One door for every checkpoint: a folder, a llama2.c file, or the model that ships with the package.
 */

import type { Stats } from "node:fs";
import { stat } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { UserError } from "../../runtime/common/errors.ts";
import { openHearth } from "../embedded/hearth/index.ts";
import { errorCode, fileBytes, fileError, message } from "../io/bytes.ts";
import { mistaken, sniffSource } from "../io/sniff.ts";
import type { ModelSource } from "../weights/source.ts";
import { openHuggingFace } from "./huggingface.ts";
import { openLlama2c } from "./llama2c.ts";

const WANTED = "a Hugging Face folder or a llama2.c .bin file";

/**
 * Opens the model at `path`, a Hugging Face folder or a llama2.c `.bin`, given as a path or as a `file:` URL; nothing, or "hearth", is the embedded one (a
 * folder of that name is "./hearth"). Weights are not read yet. Throws a `UserError` naming the file and, where it is something else, what it is.
 */
export async function openModel(path: string | URL | undefined): Promise<ModelSource> {
  if (path === undefined || path === "hearth") return openHearth();
  const place = pathOf(path);
  let entry: Stats;
  try {
    entry = await stat(place);
  } catch (error) {
    const code = errorCode(error);
    if (code !== "ENOENT" && code !== "ENOTDIR") throw fileError(place, "open", error);
    throw new UserError(`${place}: no such model file or folder`, {
      hint: 'give a Hugging Face folder, a llama2.c .bin, or "hearth" for the embedded model',
    });
  }
  if (entry.isDirectory()) return openHuggingFace(place);
  const found = await sniffSource(await fileBytes(place));
  // A damaged checkpoint may be of no known kind; its reader then says what is wrong.
  if (found.kind === "llama2.c" || (found.kind === "unknown" && place.endsWith(".bin"))) return openLlama2c(place);
  throw mistaken(place, WANTED, found);
}

/** The path that a string or URL means. Throws a `UserError` for URLs of other places than the disk. */
function pathOf(path: string | URL): string {
  const text = String(path);
  if (typeof path === "string" && !/^[a-z][a-z+.-]+:\/\//i.test(path)) return path;
  const hint = "download the model, and give its folder or file";
  try {
    if (/^file:/i.test(text)) return fileURLToPath(text);
  } catch (cause) {
    throw new UserError(`${text}: not the URL of a file on this machine (${message(cause)})`, { hint, cause });
  }
  throw new UserError(`${text}: expected a path or a file: URL, since models are opened from the disk`, { hint });
}
