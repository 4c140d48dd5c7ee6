/**
 * The end of a text as the tokenizer's files tell it: `eos_token` by its name, or `eos_token_id`, in
 * tokenizer_config.json.
 */
import { UserError } from "../../runtime/common/errors.ts";
import type { Folder } from "../io/bytes.ts";
import { readJson } from "../io/json.ts";

type Json = Readonly<Record<string, unknown>>;

/**
 * What a folder's tokenizer_config.json says about the end of a text, as a config with the ids under `eos_token_id`;
 * undefined where it says nothing. A file that cannot be read, or a name that no token has, is noted: whoever needs the
 * tokenizer is told then.
 */
export async function endOfText(
  folder: Folder,
  note: (text: string) => void,
): Promise<{ readonly where: string; readonly json: Json } | undefined> {
  const file = await folder.open("tokenizer_config.json");
  if (file === undefined) return undefined;
  const settings = await tolerant(async () => record(await readJson(file)), note);
  if (settings === undefined) return undefined;
  const ids = list(settings.eos_token_id);
  const name = contentOf(settings.eos_token);
  if (name !== undefined) {
    const id = namedIn(settings, name) ?? (await tolerant(() => namedByTokenizer(folder, name), note));
    if (id !== undefined) ids.push(id);
    else note(`${file.where}: "eos_token": no token is called ${JSON.stringify(name)}, so it ends no text`);
  }
  return { where: file.where, json: { eos_token_id: ids } };
}

/** A token is given as its text or as an object around it. */
export function contentOf(token: unknown): string | undefined {
  const text = typeof token === "object" && token !== null && "content" in token ? token.content : token;
  return typeof text === "string" ? text : undefined;
}

async function tolerant<T>(read: () => Promise<T>, note: (text: string) => void): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    note(error.message);
    return undefined;
  }
}

/** Most files list their special tokens with their ids, which spares reading the vocabulary. */
function namedIn(settings: Json, name: string): number | undefined {
  for (const [id, token] of Object.entries(record(settings.added_tokens_decoder))) {
    if (contentOf(token) === name) return Number(id);
  }
  return undefined;
}

async function namedByTokenizer(folder: Folder, name: string): Promise<number | undefined> {
  const file = await folder.open("tokenizer.json");
  if (file === undefined) return undefined;
  const json = record(await readJson(file));
  for (const token of Array.isArray(json.added_tokens) ? json.added_tokens : []) {
    const { id, content } = record(token);
    if (content === name && typeof id === "number") return id;
  }
  const { vocab } = record(json.model);
  if (Array.isArray(vocab)) {
    const at = vocab.findIndex((entry) => Array.isArray(entry) && entry[0] === name);
    return at < 0 ? undefined : at;
  }
  const id = Object.entries(record(vocab)).find(([text]) => text === name)?.[1];
  return typeof id === "number" ? id : undefined;
}

function list(value: unknown): unknown[] {
  return value == null ? [] : Array.isArray(value) ? [...value] : [value];
}

function record(value: unknown): Json {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : {};
}
