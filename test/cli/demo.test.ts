/** The demo: it runs to its end with every part of its story, and the tales it reads are typical of all. */
import { expect, test } from "vitest";
import { ASKED, TYPICAL } from "../../cli/demo/compare.ts";
import { hearthFile } from "../../models/embedded/hearth/index.ts";
import { answerTo, questionOf, readTales } from "../../models/eval/recall.ts";
import { type Recorded, readRecorded, recordedAnswers, recordedName } from "../../models/eval/recorded.ts";
import { openModel } from "../../models/index.ts";
import { withDecoder } from "../support/decoders.ts";
import { adaptersUnderTest } from "../support/gpu.ts";
import { cli } from "./run.ts";

const [fastest = ""] = adaptersUnderTest();

const [hearth, plain]: readonly [Recorded, Recorded] = [
  await readRecorded(hearthFile("recall-expected.json")),
  await readRecorded(hearthFile("recall-plain.json")),
];

const STATES = ["full", ...[128, 256, 512].flatMap((c) => [`window:${c}`, `tova:${c}`, `tova:${c},recent=16`])];

test("its tales come out like all of them together, however many are read, for both models", () => {
  const share = (each: string): number => each.replaceAll("0", "").length / each.length;
  const off = (recorded: Recorded, state: string, read: readonly number[]): number => {
    const all = recorded.policies[recordedName(state)]?.each ?? "";
    return Math.abs(share(read.map((t) => recordedAnswers(recorded, state, t, 99)).join("")) - share(all));
  };
  const shown = STATES.filter((state) => hearth.policies[recordedName(state)] !== undefined);
  expect(shown).toHaveLength(9); // all but tova:512,recent=16
  expect(new Set(TYPICAL).size).toBe(8);
  for (let n = 1; n <= TYPICAL.length; n++) {
    const read = TYPICAL.slice(0, n);
    for (const state of shown) {
      for (const [name, recorded] of [
        ["hearth", hearth],
        ["plain", plain],
      ] as const) {
        const most = n === 1 ? 0.1 : n === 2 ? 0.075 : 0.045;
        expect(off(recorded, state, read), `${n} tales, ${name}, ${state}`).toBeLessThan(most);
      }
    }
  }
});

test("recorded names and answers", () => {
  expect(["full", "tova:128", "tova:64,recent=16", "window:128,first=4"].map(recordedName)).toEqual([
    "full:0",
    "tova:128",
    "tova-r16:64",
    "window+4:128",
  ]);
  expect(recordedAnswers(hearth, "tova:7", 0, 3)).toBeUndefined();
  // Every question of every tale, in the order of the file.
  const all = Array.from({ length: 48 }, (_, tale) => recordedAnswers(plain, "window:128", tale, 99)).join("");
  expect(all).toBe(plain.policies["window:128"]?.each);
  expect(recordedAnswers(plain, "window:128", 3, 2)).toHaveLength(2);
});

test("the question it asks: TOVA still knows what a window of the same size has lost", async () => {
  const source = await openModel(undefined);
  const tokenizer = await source.tokenizer();
  const tale = (await readTales(hearthFile("recall.jsonl")))[TYPICAL[0] ?? -1];
  if (tale === undefined) throw new Error("the first tale of the demo is not there");
  const asked = questionOf(tale, ASKED, tokenizer);
  expect(asked.question).toBe("Where is the yellow flute?");
  expect(asked.distance).toBeGreaterThan(300);
  expect(asked.ids).toEqual(tokenizer.encode(tale.text).slice(0, asked.ids.length));
  expect(tokenizer.decode(asked.ids).endsWith("Where is the yellow flute? Answer:")).toBe(true);
  const said: Record<string, string> = {};
  for (const state of ["full", "tova:128", "window:128"]) {
    said[state] = await withDecoder(fastest, source, { state }, (decoder) => answerTo(asked, decoder, tokenizer));
  }
  expect(said).toEqual({
    full: "in the well",
    "tova:128": "in the well",
    "window:128": expect.stringMatching(/^in the /),
  });
  expect(said["window:128"]).not.toBe("in the well");
  expect(() => questionOf(tale, 99, tokenizer)).toThrow(/19 questions/);
});

test("adapter, memory, a tale and the table", async () => {
  const args = ["--adapter", fastest, "--tokens", "12", "--cut", "400", "--seconds", "280"];
  const { code, out, err } = await cli("demo", ...args);
  expect([code, err]).toEqual([0, ""]);
  expect(out).toMatch(/^adapter {2}.*feature level L\d$/m);
  expect(out).toMatch(/^memory {3}hearth, .*weights .*, state .* \(tova:128, 128 \+ 1 slots/m);
  expect(out).toContain("A tale from ");
  expect(out).toMatch(/^12 tokens at [\d.]+ tokens\/s$/m);
  for (const state of STATES) {
    const slots = Number(/:(\d+)/.exec(state)?.[1] ?? 1024);
    const part = state === "full" ? "all" : `1/${1024 / slots}`;
    const cells = `^${state} +${part} +(\\d+)/(\\d+) +[\\d.]+ % +(\\d+ %|-) +[\\d.]+ [KM]iB +[\\d.]+$`;
    const found = new RegExp(cells, "m").exec(out);
    const [right, questions] = [Number(found?.[1]), Number(found?.[2])];
    expect(questions, `${state} in:\n${out}`).toBeGreaterThanOrEqual(3);
    // A table of the right form may still be nonsense: the numbers are those of the reference.
    const first = recordedAnswers(hearth, state, TYPICAL[0] ?? -1, questions);
    const before = recordedAnswers(plain, state, TYPICAL[0] ?? -1, questions);
    expect(first === undefined).toBe(state === "tova:512,recent=16");
    if (first !== undefined && before !== undefined) {
      const expected = first.replaceAll("0", "").length;
      expect(expected, state).toBeGreaterThanOrEqual(2);
      expect(right, state).toBe(expected);
      expect(found?.[3]).toBe(`${Math.round((100 * before.replaceAll("0", "").length) / before.length)} %`);
    }
  }
  expect(out).toContain("there a\nwindow does better than TOVA");
});

test("where time is short the larger states are left out, and named", async () => {
  const args = ["--adapter", fastest, "--tokens", "2", "--cut", "60", "--seconds", "1"];
  const { code, out } = await cli("demo", ...args);
  expect(code).toBe(0);
  expect(out).toMatch(/^tova:128,recent=16 +1\/8 /m);
  expect(out).toMatch(/^\(left out for lack of time, --seconds gives more: .*tova:512,recent=16\)$/m);
});
