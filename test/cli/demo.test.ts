/** The demo: it runs to its end with every part of its story, and the tales it reads are typical of all. */
import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { TYPICAL } from "../../cli/commands/demo.ts";
import { hearthFile } from "../../models/hearth/index.ts";
import { adaptersUnderTest } from "../support/gpu.ts";
import { cli } from "./run.ts";

interface Expected {
  readonly tale_of_each_question: number[];
  readonly policies: Readonly<Record<string, { readonly each: string }>>;
}

const [fastest = ""] = adaptersUnderTest();

async function recorded(): Promise<Expected> {
  return JSON.parse(await readFile(hearthFile("recall-expected.json"), "utf8")) as Expected;
}

test("its tales come out like all of them together, however many are read", async () => {
  const { tale_of_each_question: tales, policies } = await recorded();
  const shown = [
    "full:0",
    ...[512, 256, 128].flatMap((c) => [`window:${c}`, `tova:${c}`]),
    "tova-r16:128",
    "tova-r16:256",
  ];
  const share = (each: string, of: (tale: number) => boolean): number => {
    const digits = [...each].filter((_, i) => of(tales[i] ?? -1));
    return digits.filter((d) => d === "1").length / digits.length;
  };
  for (let n = 1; n <= TYPICAL.length; n++) {
    const read = new Set(TYPICAL.slice(0, n));
    for (const name of shown) {
      const each = policies[name]?.each ?? "";
      const off = Math.abs(share(each, (t) => read.has(t)) - share(each, () => true));
      expect(off, `${n} tales, ${name}`).toBeLessThan(n === 1 ? 0.09 : n === 2 ? 0.05 : 0.03);
    }
  }
});

test("adapter, memory, a tale and the table", async () => {
  const args = ["--adapter", fastest, "--tokens", "12", "--cut", "260", "--seconds", "280"];
  const { code, out, err } = await cli("demo", ...args);
  expect([code, err]).toEqual([0, ""]);
  expect(out).toMatch(/^adapter {2}.*rung L\d$/m);
  expect(out).toMatch(/^memory {3}hearth, .*weights .*, state .* \(tova:128, 128 \+ 1 slots/m);
  expect(out).toContain("A tale from ");
  expect(out).toMatch(/^12 tokens at [\d.]+ tokens\/s$/m);
  const { tale_of_each_question: tales, policies } = await recorded();
  const rows = ["full", ...[128, 256, 512].flatMap((c) => [`window:${c}`, `tova:${c}`, `tova:${c},recent=16`])];
  for (const state of rows) {
    const slots = Number(/:(\d+)/.exec(state)?.[1] ?? 1024);
    const part = state === "full" ? "all" : `1/${1024 / slots}`;
    const found = new RegExp(`^${state} +${part} +(\\d+)/(\\d+) +[\\d.]+ % +[\\d.]+ [KM]iB +[\\d.]+$`, "m").exec(out);
    const [right, questions] = [Number(found?.[1]), Number(found?.[2])];
    expect(questions, `${state} in:\n${out}`).toBeGreaterThanOrEqual(3);
    // A table of the right form may still be nonsense: the numbers are those of the reference, up to one close call.
    const name = state === "full" ? "full:0" : state.endsWith("16") ? `tova-r16:${slots}` : state;
    const each = policies[name]?.each;
    if (each === undefined) continue;
    const first = [...each].filter((_, i) => tales[i] === TYPICAL[0]).slice(0, questions);
    const expected = first.filter((digit) => digit === "1").length;
    expect(expected, name).toBeGreaterThanOrEqual(2);
    expect(Math.abs(right - expected), `${state}: ${right}, recorded ${expected}`).toBeLessThanOrEqual(1);
  }
  expect(out).toContain("an ordinary checkpoint will show a smaller gap");
});

test("where time is short the larger states are left out, and named", async () => {
  const args = ["--adapter", fastest, "--tokens", "2", "--cut", "60", "--seconds", "1"];
  const { code, out } = await cli("demo", ...args);
  expect(code).toBe(0);
  expect(out).toMatch(/^tova:128,recent=16 +1\/8 /m);
  expect(out).toMatch(/^\(left out for lack of time, --seconds gives more: .*tova:512,recent=16\)$/m);
});
