/**
 * One door for every model: a folder, a llama2.c file, or a model that ships with the package.
 *
 * This file alone knows both the formats and the embedded models, so that neither of those rooms knows the other.
 */

import { UserError } from "../runtime/common/errors.ts";
import { openHearth } from "./embedded/hearth/index.ts";
import { openHuggingFaceFolder } from "./formats/huggingface.ts";
import { openLlama2c, openLlama2cIn } from "./formats/llama2c.ts";
import { type Folder, message } from "./io/bytes.ts";
import { diskFolder, fileBytes, kindOf, pathOf } from "./io/node.ts";
import { mistaken, sniffSource } from "./io/sniff.ts";
import type { ModelSource } from "./weights/source.ts";

const WANTED = "a Hugging Face folder or a llama2.c .bin file";

/** The models that come with the package, by name. */
const EMBEDDED: Readonly<Record<string, () => Promise<ModelSource>>> = { hearth: openHearth };
const DEFAULT = "hearth";

/**
 * Opens a model. Weights are not read yet.
 * @param place a Hugging Face folder or a llama2.c `.bin`, given as a path, as a `file:` URL, or as a `Folder`, such as
 * `httpFolder(url)` gives; nothing, or "hearth", is the embedded model (a folder of that name is "./hearth").
 * @param file in a `Folder`: the name of a llama2.c checkpoint, where it holds one.
 * @throws UserError naming the file and, where it is something else, what it is.
 */
export async function openModel(place: string | URL | Folder | undefined, file?: string): Promise<ModelSource> {
  if (isFolder(place)) return file === undefined ? openHuggingFaceFolder(place) : openLlama2cIn(place, file);
  const name = place ?? DEFAULT;
  if (typeof name === "string" && Object.hasOwn(EMBEDDED, name)) return (EMBEDDED[name] as typeof openHearth)();
  const path = pathIn(place as string | URL);
  const kind = await kindOf(path);
  if (kind === undefined) {
    throw new UserError(`${path}: no such model file or folder`, {
      hint: 'give a Hugging Face folder, a llama2.c .bin, or "hearth" for the embedded model',
    });
  }
  if (kind === "folder") return openHuggingFaceFolder(diskFolder(path));
  const found = await sniffSource(await fileBytes(path));
  // A damaged checkpoint may be of no known kind; its reader then says what is wrong.
  if (found.kind === "llama2.c" || (found.kind === "unknown" && path.endsWith(".bin"))) return openLlama2c(path);
  throw mistaken(path, WANTED, found);
}

function isFolder(place: unknown): place is Folder {
  return typeof place === "object" && place !== null && "open" in place && "list" in place;
}

/** The path that a string or URL means. Throws a `UserError` for URLs of other places than the disk. */
function pathIn(place: string | URL): string {
  const text = String(place);
  if (typeof place === "string" && !/^[a-z][a-z+.-]+:\/\//i.test(place)) return place;
  const hint = /^https?:/i.test(text)
    ? "download the model, and give its folder or file; a program may give openModel(httpFolder(url))"
    : "download the model, and give its folder or file";
  try {
    if (/^file:/i.test(text)) return pathOf(text);
  } catch (cause) {
    throw new UserError(`${text}: not the URL of a file on this machine (${message(cause)})`, { hint, cause });
  }
  throw new UserError(`${text}: expected a path or a file: URL, since models are opened from the disk`, { hint });
}
