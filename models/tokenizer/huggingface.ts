/**
 * tokenizer.json through @huggingface/tokenizers, with BOS handled as the model's files say.
 *
 * The rule transformers follows: the post-processor of tokenizer.json puts BOS in front, unless tokenizer_config.json decides otherwise (`add_bos_token`). An
 * EOS that some files append to a text is left out: here a text is always the beginning of a longer one.
 */

import { UserError } from "../../runtime/errors.ts";
import { type Folder, message, readJson } from "../formats/bytes.ts";
import { streamOf, type Tokenizer } from "./tokenizer.ts";

type Json = Readonly<Record<string, unknown>>;

/** The part of the library that is used; written out because its own declarations do not resolve under every module setting. */
interface Library {
  encode(text: string, options?: { add_special_tokens?: boolean }): { ids: number[] };
  decode(ids: number[], options: { skip_special_tokens: boolean; clean_up_tokenization_spaces: boolean }): string;
  token_to_id(token: string): number | undefined;
  id_to_token(id: number): string | undefined;
  get_vocab(withAdded: boolean): Map<string, number>;
}

/** Loads the tokenizer of a model folder. `bos` is the id that the model's config names, for tokenizers that name none. Throws a `UserError` naming the file. */
export async function loadTokenizer(folder: Folder, bos?: number): Promise<Tokenizer> {
  const file = await folder.open("tokenizer.json");
  if (file === undefined) {
    throw new UserError(`${folder.where}: no tokenizer: expected tokenizer.json`, {
      hint: "token ids can be given instead of text",
    });
  }
  const json = asRecord(await readJson(file), file.where);
  const settingsFile = await folder.open("tokenizer_config.json");
  const settings = settingsFile === undefined ? {} : asRecord(await readJson(settingsFile), settingsFile.where);
  const { Tokenizer: Implementation } = await import("@huggingface/tokenizers");
  let library: Library;
  try {
    library = new Implementation(json, settings);
  } catch (cause) {
    throw new UserError(`${file.where}: not a usable tokenizer (${message(cause)})`, { cause });
  }
  return wrap(library, settings, file.where, bos);
}

function wrap(library: Library, settings: Json, where: string, fallback: number | undefined): Tokenizer {
  const plain = (text: string): number[] => library.encode(text, { add_special_tokens: false }).ids;
  const before = prefix(library);
  const bos = namedToken(library, settings.bos_token) ?? before[0] ?? fallback;
  const byDefault =
    settings.add_bos_token === false ? [] : settings.add_bos_token === true && bos !== undefined ? [bos] : before;
  const start = (wanted: boolean | undefined): readonly number[] => {
    if (wanted === undefined) return byDefault;
    if (!wanted) return [];
    if (bos === undefined) throw new UserError(`${where}: a BOS token was asked for, but the tokenizer has none`);
    return [bos];
  };
  const known = (id: number): boolean => library.id_to_token(id) !== undefined;
  // What the tokens spell, exactly: tidying spaces afterwards would change text that was encoded as it stood.
  const decode = (ids: readonly number[]): string => {
    const usable = ids.filter(known);
    return usable.length === 0
      ? ""
      : library.decode(usable, { skip_special_tokens: true, clean_up_tokenization_spaces: false });
  };
  return {
    encode: (text, options = {}) => [...start(options.bos), ...plain(text)],
    decode,
    stream: () => streamOf(decode),
    vocab: vocabSize(library),
    bos,
  };
}

/** What the post-processor puts in front of a text, found by trying it. */
function prefix(library: Library): readonly number[] {
  const bare = library.encode("a", { add_special_tokens: false }).ids;
  const dressed = library.encode("a").ids;
  for (let at = 0; at + bare.length <= dressed.length; at++) {
    if (bare.every((id, i) => dressed[at + i] === id)) return dressed.slice(0, at);
  }
  return [];
}

function vocabSize(library: Library): number {
  let size = 0;
  for (const id of library.get_vocab(true).values()) size = Math.max(size, id + 1);
  return size;
}

/** Settings give a token as its text or as an object around it. */
function namedToken(library: Library, token: unknown): number | undefined {
  const text = typeof token === "object" && token !== null && "content" in token ? token.content : token;
  return typeof text === "string" ? library.token_to_id(text) : undefined;
}

function asRecord(value: unknown, where: string): Json {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new UserError(`${where}: expected a JSON object`);
  }
  return value as Json;
}
