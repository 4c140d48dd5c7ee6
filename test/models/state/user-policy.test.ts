/**
 * A cache policy of a user's, with memory and an option: it keeps what its definition keeps, in float64 and without
 * slots, token by token, in pieces of prompts, after a reset, in texts that go on, and in batches whose rows begin and
 * end at different times.
 */
import { beforeAll, describe, expect, test } from "vitest";
import { Decoder, type DecoderOptions, type ModelSource } from "../../../models/index.ts";
import { continued, gpuOf, keptByStep, withDecoder } from "../../support/decoders.ts";
import { adaptersUnderTest } from "../../support/gpu.ts";
import { H2OReference, h2o } from "../../support/h2o.ts";
import { largestDifference, spread } from "../../support/logits.ts";
import { randomIds } from "../../support/random.ts";
import { randomModel } from "../../support/random-model.ts";
import { referenceRun } from "../../support/reference-llama.ts";
import { complaint, temporary } from "../formats/temporary.ts";

const SEED = 77_003;
const C = 12;
/** Below this f32 sums may rank two tokens otherwise than float64 does. */
const OPEN = 1e-5;
const policies = [h2o];
const text = randomIds(SEED, 72, 64);

const at = temporary();
let model: ModelSource;
beforeAll(async () => {
  model = await randomModel(at("model"), SEED, { layers: 3, heads: 4, groups: 2 });
});

/** What the definition keeps of `ids`, after each of them in each layer, and the logits that it leads to. */
async function expected(
  ids: readonly number[],
  options: { readonly recent?: number; readonly decay?: number } = {},
): Promise<{ readonly kept: number[][][]; readonly logits: Float64Array }> {
  const reference = new H2OReference(C, options);
  const { logits } = await referenceRun(model, ids, reference.visible, reference.observe);
  expect(reference.closest, "the seed leaves a choice open").toBeGreaterThan(OPEN);
  return { kept: reference.kept, logits: Float64Array.from(logits.flatMap((row) => [...row])) };
}

const stateOf = (state: string, more: DecoderOptions = {}): DecoderOptions => ({ state, policies, ...more });

describe.each(adaptersUnderTest())(`H2O as a policy of a user's on %s, seed ${SEED}`, (adapter) => {
  test.each([
    { state: `h2o:${C}`, options: {} },
    { state: `h2o:${C},recent=4`, options: { recent: 4 } },
    { state: `h2o:${C},recent=4,decay=0.9`, options: { recent: 4, decay: 0.9 } },
  ])("$state token by token", async ({ state, options }) => {
    const { kept } = await expected(text, options);
    const got = await withDecoder(adapter, model, stateOf(state), (decoder) => keptByStep(decoder, text));
    expect(got).toEqual(kept);
  });

  test("prompts in pieces, again after a reset and after another text", async () => {
    const { kept, logits } = await expected(text, { recent: 4 });
    await withDecoder(adapter, model, stateOf(`h2o:${C},recent=4`, { piece: 16 }), async (decoder) => {
      const check = async (): Promise<void> => {
        const got = await decoder.forward(text);
        expect(largestDifference(got, logits) / spread(got)).toBeLessThan(1e-4);
        expect(await decoder.kept()).toEqual(kept.at(-1));
      };
      await check();
      decoder.reset();
      await check();
      await decoder.predict(text.toReversed());
      await check();
    });
  });

  test("a text that goes on is one that was never interrupted", async () => {
    const prompt = text.slice(0, 30);
    await withDecoder(adapter, model, stateOf(`h2o:${C},recent=2`), async (decoder) => {
      const whole = await continued(decoder, prompt, { tokens: 24, stop: [] });
      const end = await decoder.kept();
      const parts = await continued(decoder, prompt, { tokens: 9, stop: [] });
      parts.push(...(await continued(decoder, [], { tokens: 15, stop: [], resume: true })));
      expect(parts).toEqual(whole);
      expect(await decoder.kept()).toEqual(end);
      const { kept } = await expected([...prompt, ...whole.slice(0, -1)], { recent: 2 });
      expect(end).toEqual(kept.at(-1));
    });
  });

  test("rows of a batch that begin and end at different times", async () => {
    const prompts = [text.slice(0, 5), text.slice(3, 40), text.slice(20, 34), text.slice(8, 60), text.slice(30, 33)];
    const tokens = [30, 4, 17, 9, 40];
    await withDecoder(adapter, model, stateOf(`h2o:${C},recent=2`, { batch: 2 }), async (decoder) => {
      const texts = prompts.map((): number[] => []);
      const generate = (i: number) => ({ tokens: tokens[i] ?? 0, stop: [] });
      for await (const { sequence, id } of decoder.generateAll(prompts, generate)) texts[sequence]?.push(id);
      for (const [i, ids] of texts.entries()) {
        const alone = await withDecoder(adapter, model, stateOf(`h2o:${C},recent=2`), (d) =>
          continued(d, prompts[i] ?? [], generate(i)),
        );
        expect(ids, `sequence ${i}`).toEqual(alone);
      }
      // The last text to begin was the longest; the row that it took has what it kept.
      const last = [...(prompts[4] ?? []), ...(texts[4] ?? []).slice(0, -1)];
      const { kept } = await expected(last, { recent: 2 });
      const rows = [await decoder.kept(0), await decoder.kept(1)];
      expect(rows).toContainEqual(kept.at(-1));
    });
  });

  test("what it cannot do is refused", async () => {
    const gpu = await gpuOf(adapter);
    await withDecoder(adapter, model, stateOf(`h2o:${C}`), async (decoder) => {
      expect(await complaint(() => continued(decoder, text, { tokens: 2, prefill: "oneshot" }))).toBe(
        `state "h2o:${C}" remembers what every token of a prompt attends to, so it cannot read one at once`,
      );
    });
    expect(await complaint(() => Decoder.load(gpu, model, stateOf("h2o:8,decay=2")))).toBe(
      'state "h2o:8,decay=2": decay must be a number from 0 to 1, got "2"',
    );
    expect(await complaint(() => Decoder.load(gpu, model, { state: "h2o:8" }))).toBe(
      'unknown state policy "h2o" in "h2o:8"; there are full, window, tova',
    );
  });
});
