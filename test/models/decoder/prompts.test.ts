/**
 * Prompts are read in pieces, and the pieces must not show: whatever is read, and wherever it is cut, the state keeps what it keeps token by token, and says next
 * what it would have said.
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
/** Around one, a few, and the pieces of 16 and 64; around the size of the state; and more of everything, a piece of 256 too. */
const LENGTHS = [1, 2, 7, 8, 9, 15, 16, 17, C - 1, C, C + 1, C + 7, C + 8, C + 16, C + 17, 63, 64, 65, 90, 150, 300];
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
