/** `eval recall`: where answers lie among the tokens, what counts as right, and the recorded answers of a reference. */
import { readFile, writeFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { hearthFile, openHearth } from "../../models/embedded/hearth/index.ts";
import { prepare, type Reading, readTales, recall, tokenSpans } from "../../models/eval/recall.ts";
import { openModel } from "../../models/index.ts";
import { streamOf, type Tokenizer } from "../../models/tokenizers/tokenizer.ts";
import { shared } from "../models/formats/shared.ts";
import { temporary } from "../models/formats/temporary.ts";
import { adaptersUnderTest } from "../support/gpu.ts";
import { cli, cliJson } from "./run.ts";

interface Expected {
  readonly tale_of_each_question: number[];
  readonly policies: Readonly<Record<string, { readonly each: string; readonly questions: number }>>;
}

const at = temporary();
const [fastest = ""] = adaptersUnderTest();
const expected = JSON.parse(await readFile(hearthFile("recall-expected.json"), "utf8")) as Expected;

/** A tokenizer whose tokens are the bytes of UTF-8, behind a BOS. */
const byBytes: Tokenizer = {
  encode: (text) => [256, ...new TextEncoder().encode(text)],
  decode: (ids) => new TextDecoder("utf-8", { ignoreBOM: true }).decode(new Uint8Array(ids.filter((id) => id < 256))),
  stream: () => streamOf(byBytes.decode),
  vocab: 257,
  bos: 256,
};

describe("tokens and characters", () => {
  test("tokens that make up one character together all cover it; a BOS covers nothing", () => {
    const spans = tokenSpans(byBytes, byBytes.encode("aé𝄞b"));
    expect(spans.map(({ from, to }) => [from, to])).toEqual([
      [0, 0],
      [0, 1],
      ...[1, 1].map((from) => [from, from + 1]),
      ...[2, 2, 2, 2].map((from) => [from, from + 1]),
      [3, 4],
    ]);
  });

  test("an answer is every token that touches it, and questions beyond the context are left out", () => {
    const text = "é is it? é.";
    const questions = [
      { at: 9, answer: "é." },
      { at: 0, answer: "é" },
    ];
    expect(prepare({ text, questions }, byBytes, 100).answers).toEqual([
      [11, 12, 13],
      [1, 2],
    ]);
    const cut = prepare({ text, questions }, byBytes, 13);
    expect(cut.ids).toHaveLength(13);
    expect(cut.answers).toEqual([[1, 2]]);
  });

  test("in hearth's tales every answer's tokens spell the answer, and there are as many questions as recorded", async () => {
    const [tales, source] = [await readTales(hearthFile("recall.jsonl")), await openHearth()];
    const tokenizer = await source.tokenizer();
    const counts: number[] = [];
    for (const tale of tales) {
      const { ids, answers } = prepare(tale, tokenizer, source.config.context);
      counts.push(answers.length);
      const spelled = answers.map((places) => tokenizer.decode(places.map((i) => ids[i] ?? 0)));
      for (const [i, words] of spelled.entries()) expect(words).toContain(tale.questions[i]?.answer);
    }
    const recorded = tales.map((_, i) => expected.tale_of_each_question.filter((tale) => tale === i).length);
    expect(counts).toEqual(recorded);
  });

  const path = shared("models/stories260K/stories260K.bin");
  test.skipIf(path === undefined)("llama2.c tokens cover their characters, too", async () => {
    const tokenizer = await (await openModel(path)).tokenizer();
    const text = "Once upon a time, Zoë's cat said: ¡hola!";
    const { ids, answers } = prepare({ text, questions: [{ at: 24, answer: "cat" }] }, tokenizer, 1000);
    expect(tokenizer.decode((answers[0] ?? []).map((i) => ids[i] ?? 0)).trim()).toBe("cat");
  });
});

test("right means: every token of the answer was foretold", async () => {
  const readings: Reading[] = [
    { ids: [5, 6, 7, 8], answers: [[1], [2, 3], [3]] },
    { ids: [1, 2], answers: [[1]] },
  ];
  const foretold = [
    [6, 0, 8, 0],
    [9, 0],
  ];
  const done: number[] = [];
  let tale = 0;
  const reader = { predict: async (): Promise<Uint32Array> => new Uint32Array(foretold[tale++] ?? []) };
  const score = await recall(reader, readings, (n) => done.push(n));
  expect(score).toMatchObject({ right: 2, questions: 4, each: "1010", tokens: 6 });
  expect(done).toEqual([1, 2]);
});

test("the first tale's questions are answered as recorded, in a window and by TOVA", async () => {
  const states = ["window:128", "tova:128"];
  const got = await cliJson<{
    tales: number;
    states: Record<string, { right: number; questions: number; each: string; state_bytes: number; tokens: number }>;
  }>("eval", "recall", "--limit", "1", "--adapter", fastest, ...states.flatMap((s) => ["--state", s]));
  expect(got.tales).toBe(1);
  expect(Object.keys(got.states)).toEqual(states);
  for (const state of states) {
    const result = got.states[state];
    const each = expected.policies[state]?.each.slice(0, result?.questions) ?? "";
    expect(result?.questions).toBe(14);
    expect(result?.right).toBe(result?.each.replaceAll("0", "").length);
    expect(result?.each, state).toBe(each);
  }
  expect(got.states["tova:128"]?.state_bytes).toBe(got.states["window:128"]?.state_bytes);
});

test("one's own tales, in a table", async () => {
  const tale = { text: "A tale from Ashwick. A tale from Ashwick.", questions: [{ at: 33, answer: "Ashwick" }] };
  await writeFile(at("tales.jsonl"), `${JSON.stringify(tale)}\n\n${JSON.stringify(tale)}\n`);
  const file = at("tales.jsonl");
  const { code, out } = await cli("eval", "recall", "--tales", file, "--state", "tova:9", "--adapter", fastest);
  expect(code).toBe(0);
  expect(out.split("\n")[0]).toMatch(/^state +right +state bytes +tokens\/s$/);
  expect(out).toMatch(/^tova:9 +\d\/2 +[\d.]+ % +[\d.]+ KiB +[\d.]+$/m);
});

describe("tales that cannot be read", () => {
  test.each([
    ["nothing.jsonl", undefined, /: cannot read the tales \(ENOENT/],
    ["empty.jsonl", "\n\n", /: no tales in it: expected one JSON object a line\n/],
    ["broken.jsonl", '{"text": "a", "questions": []}\n{"text"', /:2: not valid JSON \(/],
    ["shape.jsonl", '{"text": 5}', /:1: expected \{"text": "…", "questions": \[/],
    ["question.jsonl", '{"text": "a", "questions": [{"at": "x"}]}', /:1: a question needs "at" .* got \{"at":"x"\}\n/],
  ])("%s", async (name, text, message) => {
    if (text !== undefined) await writeFile(at(name), text);
    const { code, out, err } = await cli("eval", "recall", "--tales", at(name));
    expect([code, out]).toEqual([1, ""]);
    expect(err.startsWith(`error: ${at(name)}`)).toBe(true);
    expect(err).toMatch(message);
  });
});
