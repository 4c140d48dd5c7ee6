/**
 * Prompts are read in pieces, and the pieces must not show: whatever is read, and wherever it is cut, the state keeps
 * what it keeps token by token, and says next what it would have said.
 */
import { beforeAll, describe, expect, test } from "vitest";
import type { ModelSource } from "../../../models/index.ts";
import { continued, keptByStep, withDecoder } from "../../support/decoders.ts";
import { adaptersUnderTest } from "../../support/gpu.ts";
import { argmax, largestDifference, row, spread } from "../../support/logits.ts";
import { randomIds } from "../../support/random.ts";
import { randomModel } from "../../support/random-model.ts";
import { temporary } from "../formats/temporary.ts";

const SEED = 30_011;
const VOCAB = 64;
const C = 20;
/**
 * Around one, a few, and pieces of 16 (software adapters take no others, and those from 32 tokens up); around the size
 * of the state; and many of everything.
 */
const LENGTHS = [1, 2, C - 1, C, C + 1, 31, 32, 33, C + 16, C + 17, C + 23, C + 24, 47, 48, 49, 64, 90, 150];
const ids: readonly number[] = randomIds(SEED, Math.max(...LENGTHS), VOCAB);

const at = temporary();
let model: ModelSource;
beforeAll(async () => {
  model = await randomModel(at("model"), SEED, { layers: 2, heads: 4, groups: 2, vocab: VOCAB });
});

describe.each(adaptersUnderTest())(`prompts on %s, seed ${SEED}`, (adapter) => {
  test.each(["full", `window:${C}`, `window:${C},first=3`, `tova:${C}`, `tova:${C},recent=5,first=2`])(
    "%s: pieces keep and say what single tokens do",
    async (state) => {
      await withDecoder(adapter, model, { state }, async (decoder) => {
        const kept = await keptByStep(decoder, ids);
        const all = await decoder.forward(ids);
        expect(await decoder.kept()).toEqual(kept.at(-1));
        for (const length of LENGTHS) {
          const prompt = ids.slice(0, length);
          const where = `${length} tokens`;
          // One token is chosen and not read, so the state is that of the prompt.
          const next = await continued(decoder, prompt, { tokens: 1, stop: [] });
          expect(await decoder.kept(), where).toEqual(kept[length - 1]);
          expect(decoder.seen, where).toBe(length);
          const logits = await decoder.forward(prompt);
          expect(await decoder.kept(), where).toEqual(kept[length - 1]);
          expect(largestDifference(logits, all.subarray(0, logits.length)) / spread(all), where).toBeLessThan(1e-5);
          expect(next, where).toEqual([argmax(row(all, length - 1, VOCAB))]);
        }
      });
    },
  );

  // SwiftShader compiles them in no time; what they are is the same everywhere.
  const sizes = adapter === adaptersUnderTest().at(-1) ? [16, 64, 256] : [];
  test.each(sizes)("pieces of up to %i tokens, as GPUs take them", async (piece) => {
    const long = randomIds(SEED + 1, 420, VOCAB);
    for (const state of ["full:500", `tova:${C},recent=5,first=2`]) {
      const one = await withDecoder(adapter, model, { state }, async (decoder) => {
        const kept = await keptByStep(decoder, long);
        return { kept, logits: await decoder.forward(long) };
      });
      await withDecoder(adapter, model, { state, piece }, async (decoder) => {
        for (const length of [8, 9, 12, 40, 63, 64, 65, 200, 290, 420]) {
          const [next] = await continued(decoder, long.slice(0, length), { tokens: 1, stop: [] });
          expect(await decoder.kept(), `${length}`).toEqual(one.kept[length - 1]);
          expect(next, `${length}`).toBe(argmax(row(one.logits, length - 1, VOCAB)));
        }
        const logits = await decoder.forward(long);
        expect(largestDifference(logits, one.logits) / spread(one.logits)).toBeLessThan(1e-5);
        expect(await decoder.kept()).toEqual(one.kept.at(-1));
      });
    }
  });

  test("a text goes on from its own beginning as it went on the first time, wherever it is cut", async () => {
    await withDecoder(adapter, model, { state: `tova:${C},recent=2` }, async (decoder) => {
      const prompt = ids.slice(0, 5);
      const sampling = { stop: [], temperature: 0.7, seed: SEED };
      const text = await continued(decoder, prompt, { ...sampling, tokens: 120 });
      for (const cut of [1, 10, 11, 14, 15, 27, 75, 100]) {
        const longer = [...prompt, ...text.slice(0, cut)];
        expect(await continued(decoder, longer, { ...sampling, tokens: 20 }), `${cut}`).toEqual(
          text.slice(cut, cut + 20),
        );
      }
    });
  });
});
