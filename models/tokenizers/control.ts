/**
 * Control tokens, and a tokenizer that no text can be turned into them with.
 *
 * It is not enough to stop looking for them in the text: they are in the vocabulary as well, under the characters that
 * spell them. So there they are called what no text can be.
 */
import { contentOf } from "./ends.ts";
import type { Json } from "./rules.ts";

/** Settings of tokenizer_config.json that name control tokens. */
const NAMED: readonly string[] = [
  "bos_token",
  "eos_token",
  "pad_token",
  "unk_token",
  "cls_token",
  "sep_token",
  "mask_token",
];
/** Tokens that are written as marks, also where a file forgets to call them special: "</s>", "<|user|>", "[INST]". */
const MARK = /^<[^\s<>]+>$|^\[\/?[A-Z_]+\]$/;

/** Ids of a tokenizer's control tokens; `more` are those that the model's config names. */
export function controlTokens(json: Json, settings: Json, more: readonly number[]): ReadonlySet<number> {
  const named = new Set<unknown>(NAMED.map((key) => contentOf(settings[key])));
  for (const list of [settings.additional_special_tokens, settings.extra_special_tokens]) {
    for (const token of Array.isArray(list) ? list : []) named.add(contentOf(token));
  }
  const ids = new Set<number>();
  for (const { id, content, special } of added(json)) {
    if (special === true || named.has(content) || more.includes(id) || MARK.test(content)) ids.add(id);
  }
  // Files that list no added tokens have them in the vocabulary. A full stop that ends texts is still a full stop.
  for (const [token, id] of Object.entries(vocabOf(json))) {
    if ((named.has(token) || more.includes(id)) && MARK.test(token)) ids.add(id);
  }
  return ids;
}

/** The tokenizer without these tokens; its other ids stay what they are. */
export function withoutControl(json: Json, control: ReadonlySet<number>): Json {
  const renamed = new Map<string, string>();
  const vocab: Record<string, number> = {};
  for (const [token, id] of Object.entries(vocabOf(json))) {
    // Half of a surrogate pair is in no text that reaches the tokenizer.
    const name = control.has(id) ? `\uD800${id}` : token;
    if (name !== token) renamed.set(token, name);
    vocab[name] = id;
  }
  const model = json.model as Json;
  const unknown = model.unk_token;
  const unk_token = typeof unknown === "string" ? (renamed.get(unknown) ?? unknown) : unknown;
  return {
    ...json,
    model: { ...model, vocab, unk_token },
    added_tokens: added(json).filter(({ id }) => !control.has(id)),
  };
}

interface Added extends Json {
  readonly id: number;
  readonly content: string;
}

function added(json: Json): readonly Added[] {
  return json.added_tokens as readonly Added[];
}

function vocabOf(json: Json): Readonly<Record<string, number>> {
  return (json.model as Json).vocab as Readonly<Record<string, number>>;
}
