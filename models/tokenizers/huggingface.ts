/**
 * tokenizer.json through @huggingface/tokenizers, with BOS and control tokens handled as the model's files say.
 *
 * What the library reads otherwise than the Rust one is put right or refused by rules.ts. The rule for BOS is the one
 * transformers follows: the post-processor of tokenizer.json puts it in front, unless tokenizer_config.json decides
 * otherwise (`add_bos_token`). A text that begins with it already gets no second one. An EOS that some files append to
 * a text is left out: here a text is always the beginning of a longer one.
 */

import { UserError } from "../../runtime/common/errors.ts";
import { type Folder, message } from "../io/bytes.ts";
import { readJson } from "../io/json.ts";
import { controlTokens, withoutControl } from "./control.ts";
import { contentOf } from "./ends.ts";
import { faithful, type Json, prefixOf } from "./rules.ts";
import { type EncodeOptions, streamOf, type Tokenizer } from "./tokenizer.ts";

/**
 * The part of the library that is used; written out because its own declarations do not resolve under every module
 * setting.
 */
interface Library {
  encode(text: string, options?: { add_special_tokens?: boolean }): { ids: number[] };
  decode(ids: number[], options: { skip_special_tokens: boolean; clean_up_tokenization_spaces: boolean }): string;
  token_to_id(token: string): number | undefined;
  id_to_token(id: number): string | undefined;
  get_vocab(withAdded: boolean): Map<string, number>;
}

type Make = (json: Json) => Library;

/**
 * Loads the tokenizer of a model folder. `bos` is the id that the model's config names, for tokenizers that name none,
 * and `ends` are those that end a text. Throws a `UserError` naming the file, and the part of it that cannot be done as
 * the Rust library does it.
 */
export async function loadTokenizer(folder: Folder, bos?: number, ends: readonly number[] = []): Promise<Tokenizer> {
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
  const made = faithful(json, file.where);
  // Of the settings the library would let some change the text; that is decided by tokenizer.json alone.
  const { additional_special_tokens } = settings;
  const more = Array.isArray(additional_special_tokens) ? additional_special_tokens.map(contentOf) : [];
  const make: Make = (given) => {
    try {
      return new Implementation(given, { additional_special_tokens: more });
    } catch (cause) {
      throw new UserError(`${file.where}: not a usable tokenizer (${message(cause)})`, { cause });
    }
  };
  const before = prefixOf(json.post_processor, file.where);
  return wrap({ make, json: made, settings, where: file.where, before, bos, ends });
}

interface Given {
  readonly make: Make;
  readonly json: Json;
  readonly settings: Json;
  readonly where: string;
  /** What the post-processor puts in front of a text. */
  readonly before: readonly number[];
  readonly bos: number | undefined;
  readonly ends: readonly number[];
}

function wrap({ make, json, settings, where, before, bos: fallback, ends }: Given): Tokenizer {
  const library = make(json);
  const bos = namedToken(library, settings.bos_token) ?? before[0] ?? fallback;
  let plain: Library | undefined;
  /** The same tokenizer without its control tokens; made when it is first needed. */
  const withoutTokens = (): Library => {
    const named = [bos, ...before, ...ends].flatMap((id) => (id === undefined ? [] : [id]));
    plain ??= make(withoutControl(json, controlTokens(json, settings, named)));
    return plain;
  };
  const ids = (text: string, special: EncodeOptions["special"]): number[] => {
    // What is no character in UTF-16 is none in UTF-8 either, where the vocabulary comes from.
    const whole = text.replaceAll(/\p{Surrogate}/gu, "\uFFFD");
    const from = special === "text" ? withoutTokens() : library;
    return from.encode(whole, { add_special_tokens: false }).ids;
  };
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
    encode(text, { bos: wanted, special = "parse" } = {}) {
      if (special !== "parse" && special !== "text") {
        throw new UserError(`special must be "parse" or "text", got ${JSON.stringify(special)}`);
      }
      return joined(start(wanted), ids(text, special));
    },
    decode,
    stream: () => streamOf(decode),
    vocab: vocabSize(library),
    bos,
  };
}

/**
 * Both in a row, where the second may begin with the end of the first: a prompt that was written with its BOS gets no
 * other.
 */
function joined(before: readonly number[], ids: readonly number[]): number[] {
  for (let shared = Math.min(before.length, ids.length); shared > 0; shared--) {
    if (before.slice(-shared).every((id, i) => id === ids[i])) return [...before, ...ids.slice(shared)];
  }
  return [...before, ...ids];
}

function vocabSize(library: Library): number {
  let size = 0;
  for (const id of library.get_vocab(true).values()) size = Math.max(size, id + 1);
  return size;
}

function namedToken(library: Library, token: unknown): number | undefined {
  const text = contentOf(token);
  return text === undefined ? undefined : library.token_to_id(text);
}

function asRecord(value: unknown, where: string): Json {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new UserError(`${where}: expected a JSON object`);
  }
  return value as Json;
}
