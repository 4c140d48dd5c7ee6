/**
 * Which questions about a tale hearth answers under each state, against a float32 reference of another program.
 *
 * Eight tales of about 950 tokens under five states take minutes on a software adapter, so one adapter has to do.
 */
import { readFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { prepare, readTales, recall } from "../../../models/eval/recall.ts";
import { hearthFile } from "../../../models/hearth/index.ts";
import { openModel } from "../../../models/index.ts";
import { withDecoder } from "../../support/decoders.ts";
import { adaptersUnderTest } from "../../support/gpu.ts";

const TALES = 8;
/** Where two answers are nearly as likely, f32 sums in another order may swap them. */
const MAY_DIFFER = 0.02;

/** The states that are compared, and their names in the file. */
const STATES = [
  ["full", "full:0"],
  ["tova:128", "tova:128"],
  ["tova:128,recent=16", "tova-r16:128"],
  ["tova:256", "tova:256"],
  ["window:128", "window:128"],
] as const;

interface Expected {
  readonly tokens_per_tale_at_most: number;
  readonly tale_of_each_question: number[];
  readonly policies: Record<string, { readonly each: string }>;
}

describe("recall of hearth", () => {
  const adapter = adaptersUnderTest()[0] ?? "";
  test.each(STATES)(
    "under %s",
    async (state, name) => {
      const expected = JSON.parse(await readFile(hearthFile("recall-expected.json"), "utf8")) as Expected;
      const count = expected.tale_of_each_question.filter((tale) => tale < TALES).length;
      const each = expected.policies[name]?.each.slice(0, count) ?? "";

      const source = await openModel(undefined);
      const tokenizer = await source.tokenizer();
      const tales = await readTales(hearthFile("recall.jsonl"), TALES);
      expect(tales).toHaveLength(TALES);
      const readings = tales.map((tale) => prepare(tale, tokenizer, expected.tokens_per_tale_at_most));
      expect(readings.map(({ answers }) => answers.length)).toEqual(
        tales.map((_, tale) => expected.tale_of_each_question.filter((of) => of === tale).length),
      );

      const score = await withDecoder(adapter, source, { state }, (decoder) => recall(decoder, readings));
      expect(score.questions).toBe(count);
      const different = [...each].filter((digit, i) => digit !== score.each[i]).length;
      console.log(`${state}: ${score.right} of ${count} right, ${different} unlike the reference`);
      expect(count).toBeGreaterThan(100);
      expect(different / count).toBeLessThanOrEqual(MAY_DIFFER);
    },
    900_000,
  );
});
