/** Logits that are no numbers: one error that names the position, and no id outside the vocabulary. */
import { describe, expect, test } from "vitest";
import { LogitsError, type ModelSource, openModel } from "../../../models/index.ts";
import { brokenModel } from "../../support/broken-model.ts";
import { continued, withDecoder } from "../../support/decoders.ts";
import { adaptersUnderTest } from "../../support/gpu.ts";
import { randomIds } from "../../support/random.ts";
import { randomModel } from "../../support/random-model.ts";
import { complaint, temporary } from "../formats/temporary.ts";

const SEED = 60_331;
const VOCAB = 64;
const at = temporary();
const PROMPT: readonly number[] = randomIds(SEED, 8, VOCAB);

/** The error that a promise ends in. */
async function failure(of: Promise<unknown>): Promise<unknown> {
  return of.then(
    () => undefined,
    (error: unknown) => error,
  );
}

const MESSAGE = (position: number): string =>
  `no token can be chosen for position ${position}: the logits there are no finite numbers`;

describe.each(adaptersUnderTest())(`on %s, seed ${SEED}`, (adapter) => {
  const shape = { layers: 2, groups: 2, vocab: VOCAB };
  const broken = async (name: string, tensor: string, start?: number, end?: number): Promise<ModelSource> => {
    const [from, to] = [at(`whole-${name}-${adapter}`), at(`${name}-${adapter}`)];
    await randomModel(from, SEED, shape);
    return openModel(await brokenModel(to, from, tensor, start, end));
  };

  test.each([
    ["the last norm", "model.norm.weight", 0],
    ["one row of the output matrix", "lm_head.weight", 5 * 32],
    ["a matrix of the first layer", "model.layers.0.mlp.down_proj.weight", 7],
  ])("NaN in %s", async (_, tensor, start) => {
    const source = await broken(tensor, tensor, start);
    await withDecoder(adapter, source, { state: "tova:16" }, async (decoder) => {
      for (const sampling of [{}, { temperature: 1 }, { temperature: 1, topK: 3 }, { temperature: 1, topP: 0.5 }]) {
        const error = await failure(continued(decoder, PROMPT, { tokens: 20, stop: [], ...sampling }));
        expect(error, JSON.stringify(sampling)).toBeInstanceOf(LogitsError);
        expect(error).toMatchObject({ position: PROMPT.length, message: MESSAGE(PROMPT.length) });
        expect((error as LogitsError).hint).toMatch(/^weights /);
      }
      expect(await complaint(() => continued(decoder, [1], { tokens: 2, resume: true }))).toBe(MESSAGE(8));
      expect(await complaint(() => decoder.predict(PROMPT))).toBe(MESSAGE(1));
      // Logits are given as they are.
      expect((await decoder.forward(PROMPT)).some(Number.isNaN)).toBe(true);
    });
  });

  test("in the middle of a text: what came before is delivered, and the others of a batch go on", async () => {
    const whole = await randomModel(at(`whole-${adapter}`), SEED, shape);
    const drawn = { tokens: 40, stop: [], temperature: 1, seed: SEED };
    const text = await withDecoder(adapter, whole, { state: "tova:16" }, (decoder) =>
      continued(decoder, PROMPT, drawn),
    );
    const other = randomIds(SEED + 1, 5, VOCAB);
    // An id that the text comes to late, and that the other prompt's does not meet: reading it makes everything NaN.
    const rest = await withDecoder(adapter, whole, { state: "tova:16" }, (decoder) => continued(decoder, other, drawn));
    const place = text.findIndex(
      (id, i) => i >= 5 && text.indexOf(id) === i && ![...PROMPT, ...other, ...rest].includes(id),
    );
    expect(place).toBeGreaterThanOrEqual(5);
    const id = text[place] ?? 0;
    const source = await broken("late", "model.embed_tokens.weight", id * 32, (id + 1) * 32);
    await withDecoder(adapter, source, { state: "tova:16", batch: 2 }, async (decoder) => {
      const heard: number[] = [];
      const listen = async (): Promise<void> => {
        for await (const next of decoder.generate(PROMPT, drawn)) heard.push(next);
      };
      const [error, unharmed] = await Promise.all([failure(listen()), continued(decoder, other, drawn)]);
      expect(heard).toEqual(text.slice(0, place + 1));
      expect(error).toMatchObject({ name: "LogitsError", position: PROMPT.length + place + 1 });
      expect(unharmed).toEqual(rest);
      // The row is free again, and whoever takes it finds nothing of that text.
      expect(await continued(decoder, other, drawn)).toEqual(rest);
    });
  });
});
