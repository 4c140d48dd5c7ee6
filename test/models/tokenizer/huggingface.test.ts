/** tokenizer.json: recorded ids and texts, and BOS as the files say. */

import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { hearthFile } from "../../../models/embedded/hearth/index.ts";
import { memoryFolder } from "../../../models/io/bytes.ts";
import { diskFolder } from "../../../models/io/node.ts";
import { openModel } from "../../../models/open.ts";
import { loadTokenizer } from "../../../models/tokenizers/huggingface.ts";
import type { Tokenizer } from "../../../models/tokenizers/tokenizer.ts";
import { fixture, shared } from "../formats/shared.ts";
import { complaint, temporary } from "../formats/temporary.ts";

const at = temporary();
type Golden = Record<string, { prompt: string; prompt_ids: number[]; ids: number[]; text: string }>;
const golden = async (name: string): Promise<Golden> =>
  JSON.parse(await readFile(fixture(`golden/${name}.json`), "utf8")) as Golden;

function streamed(tokenizer: Tokenizer, ids: readonly number[]): string {
  const stream = tokenizer.stream();
  return ids.map((id) => stream.push(id)).join("") + stream.end();
}

describe("hearth", () => {
  test("recorded ids and texts, without a BOS", async () => {
    const tokenizer = await (await openModel(undefined)).tokenizer();
    const { greedy, teacher } = await golden("hearth");
    expect(tokenizer.vocab).toBe(1024);
    expect(tokenizer.encode(greedy?.prompt ?? "")).toEqual(greedy?.prompt_ids);
    expect(tokenizer.encode(greedy?.text ?? "")).toEqual(greedy?.ids);
    expect(tokenizer.encode(teacher?.text ?? "").slice(0, teacher?.ids.length)).toEqual(teacher?.ids);
    // The recorded teacher text goes on after its last recorded id.
    for (const { ids, text } of [greedy, teacher].filter((each) => each !== undefined)) {
      const told = ids === teacher?.ids ? text.slice(0, tokenizer.decode(ids).length) : text;
      expect(told.length).toBeGreaterThan(500);
      expect(tokenizer.decode(ids)).toBe(told);
      expect(streamed(tokenizer, ids)).toBe(told);
    }
  });

  test("BOS on demand; specials and unknown ids have no text", async () => {
    const tokenizer = await (await openModel(undefined)).tokenizer();
    expect(tokenizer.bos).toBe(1);
    expect(tokenizer.encode("A tale", { bos: true })[0]).toBe(1);
    expect(tokenizer.encode("A tale", { bos: false })).toEqual(tokenizer.encode("A tale"));
    expect(tokenizer.decode([1, ...tokenizer.encode("A tale"), 2, 5000])).toBe("A tale");
    expect(tokenizer.decode([])).toBe("");
    expect(tokenizer.decode([1, 2])).toBe("");
  });

  test("all recall tales survive, with characters the corpus does not have", async () => {
    const tokenizer = await (await openModel(undefined)).tokenizer();
    const lines = (await readFile(hearthFile("recall.jsonl"), "utf8")).trimEnd().split("\n");
    expect(lines).toHaveLength(48);
    for (const line of lines.slice(0, 6)) {
      const text = `${(JSON.parse(line) as { text: string }).text} naïve 東京 🙂`;
      const ids = tokenizer.encode(text);
      expect(Math.max(...ids)).toBeLessThan(1024);
      expect(tokenizer.decode(ids)).toBe(text);
      expect(streamed(tokenizer, ids)).toBe(text);
    }
  });
});

describe("BOS by default", () => {
  const json = async () =>
    JSON.parse(await readFile(hearthFile("recall.jsonl").replace("recall.jsonl", "tokenizer.json"), "utf8")) as Record<
      string,
      unknown
    >;
  const TEMPLATE = {
    type: "TemplateProcessing",
    single: [
      { SpecialToken: { id: "<s>", type_id: 0 } },
      { Sequence: { id: "A", type_id: 0 } },
      { SpecialToken: { id: "</s>", type_id: 0 } },
    ],
    pair: [],
    special_tokens: {
      "<s>": { id: "<s>", ids: [1], tokens: ["<s>"] },
      "</s>": { id: "</s>", ids: [2], tokens: ["</s>"] },
    },
  };
  const first = async (
    template: boolean,
    settings: Record<string, unknown> | undefined,
    bos?: number,
  ): Promise<readonly (number | undefined)[]> => {
    const files = new Map<string, Uint8Array>();
    const put = (name: string, value: unknown) => files.set(name, new TextEncoder().encode(JSON.stringify(value)));
    put("tokenizer.json", { ...(await json()), post_processor: template ? TEMPLATE : null });
    if (settings !== undefined) put("tokenizer_config.json", settings);
    const tokenizer = await loadTokenizer(memoryFolder("memory", files), bos);
    const ids = tokenizer.encode("A tale");
    const bare = tokenizer.encode("A tale", { bos: false });
    // Whatever stands in front, the text's own ids follow and no EOS comes after.
    expect(ids.slice(ids.length - bare.length)).toEqual(bare);
    return [tokenizer.bos, ...ids.slice(0, ids.length - bare.length)];
  };

  test("the post-processor decides", async () => {
    expect(await first(true, { bos_token: "<s>" })).toEqual([1, 1]);
    expect(await first(true, undefined)).toEqual([1, 1]);
    expect(await first(false, { bos_token: "<s>" })).toEqual([1]);
    expect(await first(false, undefined)).toEqual([undefined]);
  });

  test("add_bos_token overrules it", async () => {
    expect(await first(true, { bos_token: "<s>", add_bos_token: false })).toEqual([1]);
    expect(await first(false, { bos_token: { content: "<s>" }, add_bos_token: true })).toEqual([1, 1]);
    expect(await first(false, { add_bos_token: true })).toEqual([undefined]);
    expect(await first(false, { add_bos_token: true }, 1)).toEqual([1, 1]);
  });

  test("a BOS that does not exist cannot be asked for", async () => {
    const files = new Map([["tokenizer.json", new TextEncoder().encode(JSON.stringify(await json()))]]);
    const tokenizer = await loadTokenizer(memoryFolder("memory", files));
    expect(await complaint(() => tokenizer.encode("A tale", { bos: true }))).toBe(
      "memory/tokenizer.json: a BOS token was asked for, but the tokenizer has none",
    );
  });
});

describe("files that are none", () => {
  test("a folder without a tokenizer opens; only asking for the tokenizer fails", async () => {
    const folder = fixture("families/llama2-mha");
    const source = await openModel(folder);
    expect(source.tensor("norm").shape).toEqual([64]);
    expect(await complaint(() => source.tokenizer())).toBe(`${folder}: no tokenizer: expected tokenizer.json`);
  });

  test("tokenizer.json that is no tokenizer", async () => {
    await mkdir(at("bad"));
    for (const [content, expected] of [
      ["{", "not valid JSON"],
      ["[]", "expected a JSON object"],
      ["{}", "not a usable tokenizer"],
    ] as const) {
      await writeFile(at("bad/tokenizer.json"), content);
      const said = await complaint(() => loadTokenizer(diskFolder(at("bad"))));
      expect(said).toContain(`${at("bad/tokenizer.json")}: ${expected}`);
    }
  });
});

const story = shared("models/tinystories-656k-hf");
describe.skipIf(story === undefined)("tinystories-656k (needs the shared data)", () => {
  test("recorded ids and texts, with the BOS its files ask for", async () => {
    const tokenizer = await (await openModel(story)).tokenizer();
    const { greedy, greedy_from_bos, teacher } = await golden("tinystories-656k");
    expect(tokenizer).toMatchObject({ bos: 1, vocab: 2048 });
    expect(tokenizer.encode(greedy?.prompt ?? "")).toEqual(greedy?.prompt_ids);
    expect(tokenizer.encode(teacher?.text ?? "")).toEqual(teacher?.ids);
    for (const each of [greedy, greedy_from_bos, teacher]) {
      expect(tokenizer.decode(each?.ids ?? [])).toBe(each?.text);
      expect(streamed(tokenizer, each?.ids ?? [])).toBe(each?.text);
    }
  });

  test("the same without tokenizer_config.json", async () => {
    if (story === undefined) throw new Error("unreachable");
    await cp(story, at("story"), { recursive: true });
    await rm(at("story/tokenizer_config.json"), { force: true });
    const tokenizer = await loadTokenizer(diskFolder(at("story")));
    expect(tokenizer.encode("Once upon a time")).toEqual((await golden("tinystories-656k")).greedy?.prompt_ids);
  });
});

const smollm = shared("tokenizers/smollm2");
describe.skipIf(smollm === undefined)("smollm2 (needs the shared data)", () => {
  test("recorded ids; texts without specials come back", async () => {
    const tokenizer = await loadTokenizer(diskFolder(smollm ?? ""));
    const cases = JSON.parse(await readFile(`${smollm}/golden.json`, "utf8")) as { text: string; ids: number[] }[];
    expect(cases.length).toBeGreaterThan(0);
    for (const { text, ids } of cases) {
      expect(tokenizer.encode(text)).toEqual(ids);
      const plain = text.replaceAll(/<\|\w+\|>/g, "");
      expect(tokenizer.decode(ids)).toBe(plain);
      expect(streamed(tokenizer, ids)).toBe(plain);
    }
  });
});
