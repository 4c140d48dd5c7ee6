/**
 * What a tokenizer.json may ask for, and how the library is asked so that it does the same as the Rust one.
 *
 * The library reads most of the format, some of it with other results and some not at all: it knows one behaviour of
 * `Punctuation` and two of `Split`, takes ASCII for all of Unicode in places, and skips what it does not know. So every
 * part of a file is looked up in the tables below when it is loaded. A part is passed on as it is, written in words
 * that the library reads right, or refused by its name. What is not in a table is refused. Two differences are known
 * and left: beside a token with `lstrip` or `rstrip` the library takes U+FEFF for white space and U+0085 not, and
 * `(?i:…)` folds letters of ASCII only, so that "'ſ" is not taken for "'s".
 */
import { UserError } from "../../runtime/common/errors.ts";
import { type Behaviour, literal, mayBeEmpty, patternProblem, splitAs } from "./regex.ts";

export type Json = Readonly<Record<string, unknown>>;
type Part = (part: Json, at: Place) => Json;

/** Where in the file a part stands. */
export interface Place {
  readonly file: string;
  /** As in `pre_tokenizer.pretokenizers[1]`. */
  readonly path: string;
  /** Number in its sequence. */
  readonly index: number;
}

/**
 * The file with every part as the library has to be given it. Throws a `UserError` naming the part that cannot be done
 * as the Rust library does it.
 */
export function faithful(json: Json, file: string): Json {
  const at = (path: string): Place => ({ file, path, index: 0 });
  if (!isRecord(json.model)) throw new UserError(`${file}: not a usable tokenizer (it has no model)`);
  const pretokenizer = optional(json.pre_tokenizer, PRE_TOKENIZERS, at("pre_tokenizer"));
  if (/"prepend_scheme":"first"/.test(JSON.stringify(pretokenizer))) checkFirst(json, at("pre_tokenizer"));
  return {
    ...json,
    normalizer: optional(json.normalizer, NORMALIZERS, at("normalizer")),
    pre_tokenizer: pretokenizer,
    model: model(json.model, pretokenizer, at("model")),
    decoder: optional(json.decoder, DECODERS, at("decoder")),
    added_tokens: addedTokens(json.added_tokens, at("added_tokens")),
    // What it puts in front is found by `prefixOf`; nothing else of it matters here.
    post_processor: null,
  };
}

/**
 * The Rust library looks for the beginning of the text as it was given, the library for the first section of what is
 * left of it.
 */
function checkFirst(json: Json, at: Place): void {
  if (json.normalizer == null) return;
  const what = 'with the scheme "first" is not known together with a normalizer that';
  if (/"type":"Strip"|"content":""/.test(JSON.stringify(json.normalizer))) {
    refuse(at, { type: "Metaspace" }, `${what} shortens the text`);
  }
  if (list(json.added_tokens).some((token) => isRecord(token) && token.normalized === true)) {
    refuse(at, { type: "Metaspace" }, `${what} changes added tokens`);
  }
}

/** Ids that the post-processor puts in front of a text. Throws a `UserError` for a kind that is not known. */
export function prefixOf(processor: unknown, file: string): readonly number[] {
  if (processor == null) return [];
  const at: Place = { file, path: "post_processor", index: 0 };
  const part = isRecord(processor) ? processor : {};
  switch (part.type) {
    case "ByteLevel":
      return [];
    case "Sequence":
      // Each is put around what the ones before it made.
      return [...list(part.processors)].reverse().flatMap((each) => prefixOf(each, file));
    case "BertProcessing":
    case "RobertaProcessing":
      return list(part.cls).filter((id) => typeof id === "number");
    case "TemplateProcessing":
      return templatePrefix(part, at);
    default:
      return refuse(at, part, "is not known");
  }
}

function templatePrefix(part: Json, at: Place): readonly number[] {
  const single = list(part.single);
  const text = single.findIndex((piece) => isRecord(piece) && "Sequence" in piece);
  if (text < 0) return refuse(at, part, "has no place for the text");
  return single.slice(0, text).flatMap((piece) => {
    const token = isRecord(piece) && isRecord(piece.SpecialToken) ? String(piece.SpecialToken.id) : "";
    const found = isRecord(part.special_tokens) ? part.special_tokens[token] : undefined;
    const ids = isRecord(found) ? list(found.ids).filter((id) => typeof id === "number") : [];
    if (ids.length === 0) return refuse(at, part, `puts "${token}" in front, which its special_tokens do not have`);
    return ids;
  });
}

const asItIs: Part = (part) => part;

const NORMALIZERS: Readonly<Record<string, Part>> = {
  Sequence: (part, at) => sequence(part, "normalizers", NORMALIZERS, at),
  NFC: asItIs,
  NFD: asItIs,
  NFKC: asItIs,
  NFKD: asItIs,
  Replace: replace,
  // The library would put it in front of nothing, too, which what comes first is never given.
  Prepend: (part, at) => (at.index === 0 ? part : refuse(at, part, "is only known as the first of a sequence")),
  // JavaScript's idea of white space is another one.
  Strip: (part) => {
    const side = (on: unknown, Regex: string): Json[] =>
      on === false ? [] : [{ type: "Replace", pattern: { Regex }, content: "" }];
    const normalizers = [...side(part.strip_left, String.raw`\A\s+`), ...side(part.strip_right, String.raw`\s+\z`)];
    return { type: "Sequence", normalizers };
  },
};

/**
 * The words, numbers and signs that GPT-2 splits a text into, as the `ByteLevel` pre-tokenizer of the Rust library
 * does.
 */
const WORDS: string = String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`;
const PUNCTUATION: string = String.raw`[\p{P}!-/:-@\[-\x60{-~]`;
const WORD_SIGNS: string = String.raw`\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}`;

const PRE_TOKENIZERS: Readonly<Record<string, Part>> = {
  Sequence: (part, at) => sequence(part, "pretokenizers", PRE_TOKENIZERS, at),
  Split: (part, at) => {
    const [source, how] = [pattern(part, at), behaviour(part, at)];
    const joins = how !== "Isolated" && how !== "Removed";
    if (joins && mayBeEmpty(source)) return refuse(at, part, `of behavior ${how} has a pattern that matches nothing`);
    return splitAs(source, how, part.invert === true);
  },
  CharDelimiterSplit: (part) => splitAs(literal(String(part.delimiter)), "Removed", false),
  // The library takes all signs of punctuation in a row as one, whatever is asked for.
  Punctuation: (part, at) => splitAs(PUNCTUATION, behaviour(part, at, "Isolated"), false),
  // Digits of ASCII are all that the library knows.
  Digits: (part) => splitAs(String.raw`\p{N}`, part.individual_digits === true ? "Isolated" : "Contiguous", false),
  Whitespace: () => splitAs(String.raw`[${WORD_SIGNS}]+|[^${WORD_SIGNS}\s]+`, "Removed", true),
  WhitespaceSplit: () => splitAs(String.raw`\s`, "Removed", false),
  BertPreTokenizer: () => chain(splitAs(String.raw`\s`, "Removed", false), splitAs(PUNCTUATION, "Isolated", false)),
  ByteLevel: byteLevel,
  Metaspace: metaspace,
};

/** White space is JavaScript's in the library's own pattern, so the splitting is done by a `Split` of ours. */
function byteLevel(part: Json): Json {
  const bytes = { type: "ByteLevel", add_prefix_space: false, use_regex: false };
  const space = { type: "Replace", pattern: { Regex: String.raw`\A[^ ]` }, content: " $&" };
  const before = part.add_prefix_space === false ? [] : [space];
  const words = part.use_regex === false ? [] : [splitAs(WORDS, "Isolated", false)];
  return chain(...before, ...words, bytes);
}

/** The library does not split, and counts sections where the Rust library looks at the beginning of the text. */
function metaspace(part: Json, at: Place): Json {
  const { replacement = "▁", prepend_scheme: scheme = "always", str_rep: written = replacement } = part;
  if (typeof replacement !== "string" || written !== replacement) return refuse(at, part, "writes one sign as another");
  if (part.add_prefix_space === false && scheme !== "never") {
    return refuse(at, part, `has add_prefix_space false and the scheme "${scheme}"`);
  }
  if (scheme === "first" && at.index > 0)
    return refuse(at, part, 'with the scheme "first" is only known in first place');
  const spaces = { type: "Metaspace", replacement, prepend_scheme: scheme };
  return part.split === false ? spaces : chain(spaces, splitAs(literal(replacement), "MergedWithNext", false));
}

const DECODERS: Readonly<Record<string, Part>> = {
  Sequence: (part, at) => sequence(part, "decoders", DECODERS, at),
  Fuse: asItIs,
  ByteFallback: asItIs,
  Strip: (part, at) =>
    [...String(part.content)].length === 1 ? part : refuse(at, part, "has to strip one character, and no more"),
  Replace: replace,
  // In a sequence the library forgets which tokens are no bytes.
  ByteLevel: (part, at) => (at.path === "decoder" ? part : refuse(at, part, "is not known inside a sequence")),
  // The library takes one space off the beginning, whatever the scheme; the Rust library takes all, and loses text.
  Metaspace: (part) => {
    const { replacement = "▁", prepend_scheme: scheme = "always" } = part;
    if (scheme !== "never") return part;
    return { type: "Replace", pattern: { String: replacement }, content: " " };
  },
};

function model(part: Json, pretokenizer: unknown, at: Place): Json {
  const { type = "BPE", vocab, merges, unk_token: unknown } = part;
  if (type !== "BPE") return refuse(at, { type }, "is not known (BPE is)");
  if (!isRecord(vocab) || !Array.isArray(merges)) return refuse(at, { type }, "has no vocabulary or no merges");
  if (part.dropout != null && part.dropout !== 0) return refuse(at, { type }, "with dropout draws its tokens");
  for (const key of ["continuing_subword_prefix", "end_of_word_suffix"]) {
    if (part[key] != null && part[key] !== "")
      return refuse(at, { type }, `with ${key} ${show(part[key])} is not known`);
  }
  checkMerges(merges, vocab, at);
  // The library fuses over the borders of words, which shows where words are known and bytes are not.
  if (part.fuse_unk === true && unknown != null && pretokenizer !== null && !hasBytes(part, vocab)) {
    return refuse(at, { type }, "with fuse_unk is not known together with a pre_tokenizer");
  }
  return { ...part, type };
}

/** Whether no text can come to an unknown token. */
function hasBytes(part: Json, vocab: Json): boolean {
  if (part.byte_fallback !== true) return false;
  const name = (byte: number): string => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`;
  return Array.from({ length: 256 }, (_, byte) => name(byte)).every((token) => Object.hasOwn(vocab, token));
}

/**
 * Each merge joins two tokens to a third. A file where one does not is broken, and the Rust library refuses it as well.
 */
function checkMerges(merges: readonly unknown[], vocab: Json, at: Place): void {
  const has = (token: unknown): boolean => typeof token === "string" && Object.hasOwn(vocab, token);
  for (let i = 0; i < merges.length; i++) {
    const merge = merges[i];
    const pair = typeof merge === "string" ? merge.split(" ") : list(merge);
    if (pair.length === 2 && has(pair[0]) && has(pair[1]) && has(`${pair[0]}${pair[1]}`)) continue;
    throw new UserError(`${at.file}: ${at.path}.merges[${i}]: ${show(merge)} does not join two tokens to a third`);
  }
}

function addedTokens(given: unknown, at: Place): readonly Json[] {
  const fail = (i: number, what: string): never => {
    throw new UserError(`${at.file}: ${at.path}[${i}]: ${what}`);
  };
  const tokens = list(given).map((token, i): Json => {
    if (!isRecord(token) || typeof token.content !== "string" || typeof token.id !== "number") {
      return fail(i, `expected an id and its content, got ${show(token)}`);
    }
    if (token.single_word === true) return fail(i, `single_word, as of ${show(token.content)}, is not known`);
    return token;
  });
  // The library lets one token take white space off another.
  const white = tokens.findIndex(({ content }) => String(content).trim() !== content);
  if (white >= 0 && tokens.some(({ lstrip, rstrip }) => lstrip === true || rstrip === true)) {
    fail(white, "white space at the edge of a token is not known together with lstrip and rstrip");
  }
  return tokens;
}

function replace(part: Json, at: Place): Json {
  const { content } = part;
  if (typeof content !== "string") return refuse(at, part, "has no content");
  // In JavaScript "$" in a replacement means something else than itself.
  return { ...part, pattern: { Regex: pattern(part, at) }, content: content.replaceAll("$", "$$$$") };
}

/** The pattern of a part as a regular expression. */
function pattern(part: Json, at: Place): string {
  const given = isRecord(part.pattern) ? part.pattern : {};
  if (typeof given.String === "string" && given.String !== "") return literal(given.String);
  if (typeof given.Regex !== "string") return refuse(at, part, `has the pattern ${show(part.pattern)}`);
  const problem = patternProblem(given.Regex);
  return problem === undefined ? given.Regex : refuse(at, part, `has ${problem} in its pattern ${show(given.Regex)}`);
}

const BEHAVIOURS: readonly string[] = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"];

function behaviour(part: Json, at: Place, byDefault?: Behaviour): Behaviour {
  const named = part.behavior ?? byDefault;
  // Older files write it small.
  const found = BEHAVIOURS.find((each) => each.toLowerCase() === String(named).toLowerCase().replaceAll("_", ""));
  return (found as Behaviour | undefined) ?? refuse(at, part, `has the behavior ${show(named)}`);
}

function optional(part: unknown, table: Readonly<Record<string, Part>>, at: Place): Json | null {
  return part == null ? null : convert(part, table, at);
}

function convert(part: unknown, table: Readonly<Record<string, Part>>, at: Place): Json {
  const record = isRecord(part) ? part : {};
  const known = typeof record.type === "string" && Object.hasOwn(table, record.type) ? table[record.type] : undefined;
  return known === undefined ? refuse(at, record, "is not known") : known(record, at);
}

function sequence(part: Json, key: string, table: Readonly<Record<string, Part>>, at: Place): Json {
  const parts = list(part[key]);
  // A sequence of one is that one.
  if (parts.length === 1) return convert(parts[0], table, at);
  const place = (i: number): Place => ({ ...at, path: `${at.path}.${key}[${i}]`, index: at.index + i });
  return { type: "Sequence", [key]: parts.map((each, i) => convert(each, table, place(i))) };
}

function chain(...pretokenizers: readonly Json[]): Json {
  return { type: "Sequence", pretokenizers };
}

function refuse(at: Place, { type }: Json, why: string): never {
  throw new UserError(`${at.file}: ${at.path}: ${show(type)} ${why}`, {
    hint: "give token ids instead of text: only what would be split as the model was trained is accepted",
  });
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? "nothing";
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function isRecord(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
