/** Parts of a tokenizer.json: the same ids as the Rust library gives, or refused by name when the file is loaded. */
import { readFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { memoryFolder } from "../../../models/io/bytes.ts";
import { loadTokenizer } from "../../../models/tokenizers/huggingface.ts";
import { mayBeEmpty, patternProblem, withoutCaptures } from "../../../models/tokenizers/regex.ts";
import type { Tokenizer } from "../../../models/tokenizers/tokenizer.ts";
import { fixture } from "../formats/shared.ts";
import { complaint } from "../formats/temporary.ts";

type Json = Record<string, unknown>;
interface Recorded {
  readonly tokenizer: Json & { readonly model: Json & { readonly vocab: Record<string, number> } };
  readonly texts: readonly string[];
  readonly cases: readonly { name: string; normalizer: unknown; pre_tokenizer: unknown; ids: number[][] }[];
}

const recorded = JSON.parse(await readFile(fixture("tokenizers/rules.json"), "utf8")) as Recorded;
const { tokenizer: base, texts, cases } = recorded;

function load(change: Json, settings?: Json, bos?: number): Promise<Tokenizer> {
  const encode = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
  const files = new Map([["tokenizer.json", encode({ normalizer: null, pre_tokenizer: null, ...base, ...change })]]);
  if (settings !== undefined) files.set("tokenizer_config.json", encode(settings));
  return loadTokenizer(memoryFolder("m", files), bos);
}

const BYTES = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true };

describe("ids as the Rust library gives them", () => {
  test("the record is whole", () => {
    expect(cases.length).toBe(48);
    expect(new Set(cases.map(({ name }) => name)).size).toBe(48);
  });

  test.each(cases)("$name", async ({ normalizer, pre_tokenizer, ids }) => {
    const tokenizer = await load({ normalizer, pre_tokenizer });
    for (const [i, text] of texts.entries()) expect([text, tokenizer.encode(text)]).toEqual([text, ids[i]]);
  });

  test("older files write behaviours small", async () => {
    const part = (behavior: string): Json => ({ ...BYTES, type: "Split", pattern: { String: " " }, behavior });
    const chain = (behavior: string): Json => ({ type: "Sequence", pretokenizers: [part(behavior), BYTES] });
    const [a, b] = [
      await load({ pre_tokenizer: chain("merged_with_next") }),
      await load({ pre_tokenizer: chain("MergedWithNext") }),
    ];
    for (const text of texts) expect(a.encode(text)).toEqual(b.encode(text));
  });
});

describe("refused when loaded, by name", () => {
  const split = (pattern: unknown, behavior: unknown = "Isolated"): Json => ({ type: "Split", pattern, behavior });
  const model = (change: Json): Json => ({ model: { ...base.model, ...change } });
  test.each<[string, Json, string]>([
    ["a normalizer", { normalizer: { type: "Precompiled" } }, 'normalizer: "Precompiled" is not known'],
    [
      "a normalizer in a sequence",
      { normalizer: { type: "Sequence", normalizers: [{ type: "NFC" }, { type: "Lowercase" }] } },
      'normalizer.normalizers[1]: "Lowercase" is not known',
    ],
    [
      "Prepend after others",
      { normalizer: { type: "Sequence", normalizers: [{ type: "NFC" }, { type: "Prepend", prepend: "x" }] } },
      'normalizer.normalizers[1]: "Prepend" is only known as the first of a sequence',
    ],
    ["a pre-tokenizer", { pre_tokenizer: { type: "UnicodeScripts" } }, 'pre_tokenizer: "UnicodeScripts" is not known'],
    ["one without a type", { pre_tokenizer: {} }, "pre_tokenizer: nothing is not known"],
    ["a behaviour", { pre_tokenizer: split({ String: " " }, "Torn") }, '"Split" has the behavior "Torn"'],
    ["no pattern", { pre_tokenizer: split({ Glob: "*" }) }, '"Split" has the pattern {"Glob":"*"}'],
    ["an atomic group", { pre_tokenizer: split({ Regex: "(?>a+)b" }) }, "has an atomic group in its pattern"],
    ["possession", { pre_tokenizer: split({ Regex: "a++ab" }) }, "has a possessive quantifier in its pattern"],
    ["an anchor that is dropped", { pre_tokenizer: split({ Regex: "\\Ga" }) }, "has \\G in its pattern"],
    ["flags", { pre_tokenizer: split({ Regex: "(?m:a.b)" }) }, 'has a group of the kind "(?m" in its pattern'],
    [
      "joining what matches nothing",
      { pre_tokenizer: split({ Regex: "(?=[A-Z])" }, "MergedWithPrevious") },
      '"Split" of behavior MergedWithPrevious has a pattern that matches nothing',
    ],
    ["a pattern that is none", { pre_tokenizer: split({ Regex: "[a" }) }, "not a usable tokenizer"],
    [
      "Metaspace behind others",
      { pre_tokenizer: { type: "Sequence", pretokenizers: [BYTES, { type: "Metaspace", prepend_scheme: "first" }] } },
      'pre_tokenizer.pretokenizers[1]: "Metaspace" with the scheme "first" is only known in first place',
    ],
    ["a model", model({ type: "Unigram" }), 'model: "Unigram" is not known (BPE is)'],
    ["dropout", model({ dropout: 0.1 }), 'model: "BPE" with dropout draws its tokens'],
    ["a suffix", model({ end_of_word_suffix: "</w>" }), 'with end_of_word_suffix "</w>" is not known'],
    ["merges without a token", model({ merges: ["q q"] }), 'model.merges[0]: "q q" does not join two tokens'],
    ["a decoder", { decoder: { type: "CTC" } }, 'decoder: "CTC" is not known'],
    [
      "bytes inside a sequence of decoders",
      { decoder: { type: "Sequence", decoders: [{ type: "Fuse" }, { type: "ByteLevel" }] } },
      'decoder.decoders[1]: "ByteLevel" is not known inside a sequence',
    ],
    ["a post-processor", { post_processor: { type: "Novel" } }, 'post_processor: "Novel" is not known'],
    [
      "words only",
      { added_tokens: [{ id: 1, content: "yes", single_word: true }] },
      'added_tokens[0]: single_word, as of "yes", is not known',
    ],
    [
      "an added token that is none",
      { added_tokens: ["x"] },
      'added_tokens[0]: expected an id and its content, got "x"',
    ],
  ])("%s", async (_, change, expected) => {
    const said = await complaint(() => load(change));
    expect(said).toMatch(/^m\/tokenizer\.json: /);
    expect(said).toContain(expected);
  });

  test("patterns", () => {
    expect(patternProblem("[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*")).toBeUndefined();
    expect(patternProblem("\\(?>a|\\++|[a(?>]|(?i:b)|(?<!c)d")).toBeUndefined();
    expect(patternProblem("a?+")).toBe("a possessive quantifier");
    expect(withoutCaptures("(a)(?:b)[(](?<n>c)\\((?=d)")).toBe("(?:a)(?:b)[(](?:c)\\((?=d)");
    expect(["a*", "\\b", "(?=b)", "[a"].map(mayBeEmpty)).toEqual([true, true, true, true]);
    expect(["a", "\\s+(?!\\S)|\\s+"].map(mayBeEmpty)).toEqual([false, false]);
  });
});

describe("one BOS, whoever adds it", () => {
  const template = (...names: string[]): Json => ({
    type: "TemplateProcessing",
    single: [...names.map((id) => ({ SpecialToken: { id, type_id: 0 } })), { Sequence: { id: "A", type_id: 0 } }],
    pair: [],
    special_tokens: { start: { id: "start", ids: [1], tokens: ["<s>"] }, two: { id: "two", ids: [2, 1], tokens: [] } },
  });

  test("the post-processor, the settings, or the prompt", async () => {
    for (const [post_processor, settings] of [
      [template("start"), { bos_token: "<s>" }],
      [template("start"), { bos_token: "<s>", add_bos_token: true }],
      [null, { bos_token: "<s>", add_bos_token: true }],
      [{ type: "Sequence", processors: [BYTES, template("start")] }, undefined],
      [{ type: "RobertaProcessing", sep: ["</s>", 2], cls: ["<s>", 1] }, undefined],
    ] as const) {
      const tokenizer = await load({ pre_tokenizer: BYTES, post_processor }, settings);
      const bare = tokenizer.encode("a cat", { bos: false });
      expect(tokenizer.encode("a cat")).toEqual([1, ...bare]);
      expect(tokenizer.encode("<s>a cat")).toEqual([1, ...bare]);
      expect(tokenizer.encode("<s>a cat", { bos: true })).toEqual([1, ...bare]);
      expect(tokenizer.encode("<s>a cat", { bos: false })).toEqual([1, ...bare]);
    }
  });

  test("several tokens in front, of which the prompt has some", async () => {
    const tokenizer = await load({ pre_tokenizer: BYTES, post_processor: template("two") });
    const bare = tokenizer.encode("a", { bos: false });
    expect(tokenizer.encode("a")).toEqual([2, 1, ...bare]);
    expect(tokenizer.encode("<s>a")).toEqual([2, 1, ...bare]);
    expect(tokenizer.encode("</s><s>a")).toEqual([2, 1, ...bare]);
  });

  test("a token that the template does not have", async () => {
    expect(await complaint(() => load({ post_processor: template("other") }))).toContain(
      'post_processor: "TemplateProcessing" puts "other" in front, which its special_tokens do not have',
    );
  });
});

describe("control tokens in a text", () => {
  const added = (content: string, id: number, special: boolean): Json => ({
    id, content, special, single_word: false, lstrip: false, rstrip: false, normalized: false,
  }); // biome-ignore format: one record
  const tokens = [
    added("<s>", 1, true),
    added("</s>", 2, true),
    added("<|end|>", 900, false),
    added("a cat", 901, false),
  ];
  const control = [1, 2, 900];

  test("are parsed, or taken as text", async () => {
    const tokenizer = await load(
      { pre_tokenizer: BYTES, added_tokens: tokens },
      { bos_token: "<s>", add_bos_token: true },
    );
    for (const text of ["<s>", "</s>", "x<|end|>y", "<s></s><|end|>", "a cat</s>"]) {
      const parsed = tokenizer.encode(text, { bos: false });
      expect(parsed).toEqual(tokenizer.encode(text, { bos: false, special: "parse" }));
      expect(parsed.some((id) => control.includes(id))).toBe(true);
      const plain = tokenizer.encode(text, { bos: false, special: "text" });
      expect(plain.filter((id) => control.includes(id))).toEqual([]);
      expect(tokenizer.decode(plain)).toBe(text);
    }
    // The BOS is ours, and tokens that are no marks stay tokens.
    expect(tokenizer.encode("<s>", { special: "text" })[0]).toBe(1);
    expect(tokenizer.encode("a cat", { bos: false, special: "text" })).toEqual([901]);
    const odd = { special: "both" } as unknown as { special: "text" };
    expect(await complaint(() => tokenizer.encode("a", odd))).toBe('special must be "parse" or "text", got "both"');
  });

  test("also where the whole text is a token of the vocabulary", async () => {
    const model = { ...base.model, ignore_merges: true };
    const tokenizer = await load({ model, added_tokens: tokens });
    const plain = tokenizer.encode("</s>", { special: "text" });
    expect(plain).not.toContain(2);
    expect(tokenizer.decode(plain)).toBe("</s>");
  });

  test("a full stop that ends texts is still a full stop", async () => {
    const tokenizer = await load({ pre_tokenizer: BYTES }, { eos_token: "." });
    expect(tokenizer.encode("a.", { special: "text" })).toEqual(tokenizer.encode("a."));
  });

  test("half of a surrogate pair is U+FFFD, as in UTF-8", async () => {
    const tokenizer = await load({ pre_tokenizer: BYTES });
    expect(tokenizer.decode(tokenizer.encode("a\uD800b"))).toBe("a\uFFFDb");
  });
});
