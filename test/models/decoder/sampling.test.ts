/**
 * Generation: what a seed, a temperature, top-k and top-p do to a text, where it ends, and that long texts and long
 * prompts cross the rings of waiting tokens unharmed.
 */
import { beforeAll, describe, expect, test } from "vitest";
import { type ModelSource, openModel, type Sampling } from "../../../models/index.ts";
import { continued, withDecoder } from "../../support/decoders.ts";
import { adaptersUnderTest } from "../../support/gpu.ts";
import { argmax, row } from "../../support/logits.ts";
import { randomIds } from "../../support/random.ts";
import { randomModel } from "../../support/random-model.ts";
import { complaint, temporary } from "../formats/temporary.ts";

const SEED = 7_919;
const VOCAB = 64;
const at = temporary();
let model: ModelSource;
beforeAll(async () => {
  model = await randomModel(at("model"), SEED, { layers: 2, groups: 2, vocab: VOCAB });
});

const PROMPT: readonly number[] = randomIds(SEED, 8, VOCAB);

describe.each(adaptersUnderTest())(`generation on %s, seed ${SEED}`, (adapter) => {
  test("a seed is a text", async () => {
    await withDecoder(adapter, model, { state: "tova:16" }, async (decoder) => {
      const say = (sampling: Sampling): Promise<number[]> =>
        continued(decoder, PROMPT, { tokens: 40, stop: [], ...sampling });
      const greedy = await say({});
      expect(greedy).toHaveLength(40);
      expect(await say({ seed: 5 })).toEqual(greedy);

      const drawn = await say({ temperature: 1, seed: 1 });
      expect(await say({ temperature: 1, seed: 1 })).toEqual(drawn);
      expect(await say({ temperature: 1, seed: 2 })).not.toEqual(drawn);
      expect(await say({ temperature: 1, seed: 2 ** 32 - 1 })).not.toEqual(drawn);
      expect(await say({ temperature: 1 })).toEqual(await say({ temperature: 1, seed: 0 }));
      expect(drawn).not.toEqual(greedy);

      for (const temperature of [1e-3, 1e-6, 1e-30, Number.MIN_VALUE])
        expect(await say({ temperature, seed: 1 }), `temperature ${temperature}`).toEqual(greedy);
      expect(await say({ temperature: 2, topK: 1, seed: 1 })).toEqual(greedy);
      expect(await say({ temperature: 1, topP: 1e-6, seed: 1 })).toEqual(greedy);
      expect(await say({ temperature: 1, topK: 1_000_000, topP: 1, seed: 1 })).toEqual(drawn);
    });
  });

  test("draws follow the probabilities, and top-k and top-p cut them off", async () => {
    await withDecoder(adapter, model, {}, async (decoder) => {
      const logits = row(await decoder.forward(PROMPT), PROMPT.length - 1, VOCAB);
      const peak = Math.max(...logits);
      const heat = 2.5;
      const raw = [...logits].map((x) => Math.exp((x - peak) / heat));
      const total = raw.reduce((a, b) => a + b, 0);
      const share = raw.map((x) => x / total);
      const order = [...share.keys()].sort((a, b) => (share[b] ?? 0) - (share[a] ?? 0));
      const draws = async (count: number, sampling: Sampling): Promise<Map<number, number>> => {
        const seen = new Map<number, number>();
        for (let seed = 0; seed < count; seed++) {
          const [id = -1] = await continued(decoder, PROMPT, {
            tokens: 1,
            stop: [],
            temperature: heat,
            seed: SEED + seed,
            ...sampling,
          });
          seen.set(id, (seen.get(id) ?? 0) + 1);
        }
        return seen;
      };
      const count = 400;
      const free = await draws(count, {});
      // A binomial count strays five of its deviations about once in a million; the seeds are fixed.
      for (const [id, p] of share.entries()) {
        expect(Math.abs((free.get(id) ?? 0) - count * p), `id ${id}`).toBeLessThan(5 * Math.sqrt(count * p) + 3);
      }
      const few = await draws(60, { topK: 3 });
      expect(few.size).toBeGreaterThan(1);
      expect(order.slice(0, 3)).toEqual(expect.arrayContaining([...few.keys()]));

      let held = 0;
      const core = order.filter((id) => {
        const inside = held < 0.5;
        held += share[id] ?? 0;
        return inside;
      });
      const nucleus = await draws(60, { topP: 0.5 });
      expect(nucleus.size).toBeGreaterThan(1);
      expect(core).toEqual(expect.arrayContaining([...nucleus.keys()]));
      expect(core.length).toBeLessThan(VOCAB / 2);
    });
  });

  test("noise is fresh at every position", async () => {
    await withDecoder(adapter, model, { state: "tova:16" }, async (decoder) => {
      // So hot that the logits hardly count: every id is about as likely everywhere.
      const ids = await continued(decoder, PROMPT, { tokens: 8 * VOCAB, stop: [], temperature: 1e4, seed: SEED });
      const counts = Array.from({ length: VOCAB }, (_, id) => ids.filter((other) => other === id).length);
      expect(Math.min(...counts)).toBeGreaterThan(0);
      expect(Math.max(...counts)).toBeLessThan(8 + 5 * Math.sqrt(8));
      const repeats = ids.filter((id, i) => id === ids[i - 1]).length;
      expect(repeats).toBeLessThan(8 + 5 * Math.sqrt(8));
    });
  });

  test.each([1, 3])("ids that the tokenizer does not know are never chosen, batch %i", async (batch) => {
    const known = 50;
    const hot = { tokens: 120, stop: [], temperature: 1e30, seed: SEED };
    await withDecoder(adapter, model, { state: "tova:16", batch }, async (decoder) => {
      // All ids come up where all may.
      expect(Math.max(...(await continued(decoder, PROMPT, hot)))).toBeGreaterThanOrEqual(known);
    });
    const logits = await withDecoder(adapter, model, {}, (decoder) => decoder.forward(PROMPT));
    await withDecoder(adapter, model, { state: "tova:16", batch, vocab: known }, async (decoder) => {
      const ids = await continued(decoder, PROMPT, hot);
      expect(ids).toHaveLength(120);
      expect(Math.max(...ids)).toBeLessThan(known);
      for (const sampling of [{ topK: known + 5 }, { topP: 0.999 }, { temperature: 0 }])
        expect(Math.max(...(await continued(decoder, PROMPT, { ...hot, ...sampling })))).toBeLessThan(known);
      const top = PROMPT.map((_, t) => argmax(row(logits, t, VOCAB).subarray(0, known)));
      expect([...(await decoder.predict(PROMPT))]).toEqual(top);
      expect(await decoder.forward(PROMPT)).toEqual(logits);
    });
    for (const vocab of [0, 1.5, VOCAB + 1])
      expect(await complaint(() => withDecoder(adapter, model, { vocab }, async () => {}))).toBe(
        `the ids that may be chosen are a whole number from 1 to ${VOCAB}, got ${vocab}`,
      );
  });

  test("a text ends where it should", async () => {
    const text = await withDecoder(adapter, model, { state: "tova:16" }, (decoder) =>
      continued(decoder, PROMPT, { tokens: 60, stop: [] }),
    );
    // The first id that comes up for the first time well inside a burst.
    const end = text.findIndex((id, i) => i >= 12 && text.indexOf(id) === i);
    expect(end).toBeGreaterThan(0);
    const stop = text[end] ?? -1;
    const ending = await randomModel(at(`ending-${adapter}`), SEED, { layers: 2, groups: 2, vocab: VOCAB, eos: stop });
    await withDecoder(adapter, ending, { state: "tova:16" }, async (decoder) => {
      expect(await continued(decoder, PROMPT, { tokens: 60 })).toEqual(text.slice(0, end));
      expect(await continued(decoder, PROMPT, { tokens: 60, stop: [] })).toEqual(text);
      expect(await continued(decoder, PROMPT, { tokens: 60, stop: [text[3] ?? -1] })).toEqual(
        text.slice(0, text.indexOf(text[3] ?? -1)),
      );
      expect(await continued(decoder, PROMPT, { tokens: Number.POSITIVE_INFINITY })).toEqual(text.slice(0, end));
      for (const tokens of [1, 2, 8, 9, 10, 17])
        expect(await continued(decoder, PROMPT, { tokens, stop: [] })).toEqual(text.slice(0, tokens));
      // Whoever stops listening may begin anew.
      for await (const id of decoder.generate(PROMPT, { tokens: 60, stop: [] })) if (id === text[10]) break;
      expect(await continued(decoder, PROMPT, { tokens: 60, stop: [] })).toEqual(text);
    });
  });

  test("a text goes on where it ended", async () => {
    await withDecoder(adapter, model, { state: "tova:16" }, async (decoder) => {
      const drawn = { stop: [], temperature: 0.9, seed: SEED };
      const text = await continued(decoder, PROMPT, { ...drawn, tokens: 60 });
      for (const cut of [1, 5, 9, 30]) {
        expect(await continued(decoder, PROMPT, { ...drawn, tokens: cut })).toEqual(text.slice(0, cut));
        expect(await continued(decoder, [], { ...drawn, tokens: 9, resume: true })).toEqual(text.slice(cut, cut + 9));
        const rest = await continued(decoder, text.slice(cut + 9, cut + 20), { ...drawn, tokens: 5, resume: true });
        expect(rest).toEqual(text.slice(cut + 20, cut + 25));
        expect(decoder.seen).toBe(PROMPT.length + cut + 24);
      }
      // After a stop token, which is no part of the text, something else may follow.
      const end = text.findIndex((id, i) => i >= 5 && text.indexOf(id) === i);
      const until = { ...drawn, tokens: 60, stop: [text[end] ?? -1] };
      expect(await continued(decoder, PROMPT, until)).toEqual(text.slice(0, end));
      expect(await complaint(() => continued(decoder, [], { ...drawn, tokens: 3, resume: true }))).toBe(
        "no tokens to read: the prompt is empty",
      );
      const on = await continued(decoder, text.slice(end, end + 3), { ...drawn, tokens: 8, resume: true });
      expect(on).toEqual(text.slice(end + 3, end + 11));

      for await (const id of decoder.generate(PROMPT, { ...drawn, tokens: 60 })) if (id === text[4]) break;
      expect(await complaint(() => continued(decoder, PROMPT, { ...drawn, tokens: 3, resume: true }))).toBe(
        "the last text was left before its end: its state has read tokens that nobody has seen",
      );
    });
    await withDecoder(adapter, model, { state: "full:20" }, async (decoder) => {
      await continued(decoder, PROMPT, { tokens: 5, stop: [] });
      expect(await complaint(() => continued(decoder, PROMPT, { tokens: 5, stop: [], resume: true }))).toBe(
        'the text and the prompt have 21 tokens, more than the 20 positions of state "full:20"',
      );
    });
  });

  test("a full cache ends the text when it is full", async () => {
    await withDecoder(adapter, model, { state: "full:20" }, async (decoder) => {
      const text = await continued(decoder, PROMPT, { tokens: 100, stop: [] });
      // The last token is chosen by the step that fills the last position, and needs none itself.
      expect(text).toHaveLength(20 - PROMPT.length + 1);
      expect(decoder.seen).toBe(20);
      expect(await decoder.kept()).toEqual([0, 1].map(() => Array.from({ length: 20 }, (_, i) => i)));
      const whole = [...PROMPT, ...text.slice(0, -1)];
      expect(await continued(decoder, whole, { tokens: 100, stop: [] })).toEqual(text.slice(-1));
      await withDecoder(adapter, model, {}, async (roomy) => {
        expect((await continued(roomy, PROMPT, { tokens: 30, stop: [] })).slice(0, text.length)).toEqual(text);
      });
    });
  });

  test("a text longer than the rings goes on as if it had been begun there", async () => {
    await withDecoder(adapter, model, { state: "tova:16,recent=2" }, async (decoder) => {
      const options = { stop: [], temperature: 0.7, seed: SEED };
      const text = await continued(decoder, PROMPT, { ...options, tokens: 1100 });
      expect(text).toHaveLength(1100);
      for (const from of [500, 1010, 1030]) {
        const prompt = [...PROMPT, ...text.slice(0, from)];
        expect(await continued(decoder, prompt, { ...options, tokens: 40 })).toEqual(text.slice(from, from + 40));
      }
    });
  });

  test("prompts of every length around half a ring and a ring are read alike by all ways of reading", async () => {
    await withDecoder(adapter, model, { state: "tova:16" }, async (decoder) => {
      const ids = randomIds(SEED + 3, 1540, VOCAB);
      // Step by step, up to a whole ring; first of all, while the ring holds nothing of an earlier reading.
      decoder.start(ids.slice(0, 1024));
      for (let t = 0; t < 1024; t++) decoder.advanceOne();
      const stepped = await decoder.kept();
      const logits = await decoder.forward(ids);
      const top = ids.map((_, t) => argmax(row(logits, t, VOCAB)));
      expect([...(await decoder.predict(ids))]).toEqual(top);
      for (const length of [1, 2, 32, 33, 512, 513, 514, 1024, 1025, 1536, 1537]) {
        const next = await continued(decoder, ids.slice(0, length), { tokens: 1, stop: [] });
        expect(next, `prompt of ${length}`).toEqual([top[length - 1]]);
      }
      await decoder.forward(ids.slice(0, 1024));
      expect(await decoder.kept()).toEqual(stepped);
    });
  });
});

test("hearth tells a tale of its own at a temperature", async () => {
  const adapter = adaptersUnderTest()[0] ?? "";
  const source = await openModel(undefined);
  const tokenizer = await source.tokenizer();
  const prompt = tokenizer.encode("A tale from");
  await withDecoder(adapter, source, { state: "tova:128,recent=16" }, async (decoder) => {
    const tell = (seed: number): Promise<number[]> =>
      continued(decoder, prompt, { tokens: 60, temperature: 0.8, topK: 40, topP: 0.95, seed });
    const [one, again, other] = [await tell(1), await tell(1), await tell(2)];
    expect(again).toEqual(one);
    expect(other).not.toEqual(one);
    expect(tokenizer.decode(one)).toMatch(/lived/);
  });
});
