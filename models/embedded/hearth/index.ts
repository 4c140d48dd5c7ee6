/**
 * The model that ships with the package, opened from the files beside this one.
 *
 * Hearth is a small Llama of our own (see README.md here). It lets every command run without a download, and its tales
 * ask about what was said earlier, which shows what a fixed state keeps.
 */

import { openHuggingFaceFolder } from "../../formats/huggingface.ts";
import { pathOf } from "../../io/node.ts";
import { folderAt } from "../../io/place.ts";
import type { ModelSource } from "../../weights/source.ts";

export type HearthFile = "recall.jsonl" | "recall-expected.json" | "recall-plain.json";

/** Opens the embedded model. In a browser its files are fetched from beside this module. */
export function openHearth(): Promise<ModelSource> {
  return openHuggingFaceFolder(folderAt(new URL("./", import.meta.url)));
}

/**
 * The path of a file that belongs to the model: tales with questions, and which of them a reference answers under each
 * policy (with `recall-plain.json`: the same model before it was trained for a bounded state).
 */
export function hearthFile(name: HearthFile): string {
  return pathOf(new URL(`./${name}`, import.meta.url));
}
