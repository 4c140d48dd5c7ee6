/**
 * Several sequences at once: each is what it would be alone, whoever else is there, whenever it came, and however
 * slowly its reader reads.
 */
import { beforeAll, describe, expect, test } from "vitest";
import type { BatchToken, Decoder, GenerateOptions, ModelSource } from "../../../models/index.ts";
import { Decoder as Loader } from "../../../models/index.ts";
import { open } from "../../../runtime/index.ts";
import { counted, pipelinesIn } from "../../support/counted.ts";
import { continued, gpuOf, withDecoder } from "../../support/decoders.ts";
import { adaptersUnderTest } from "../../support/gpu.ts";
import { randomIds } from "../../support/random.ts";
import { randomModel } from "../../support/random-model.ts";
import { complaint, temporary } from "../formats/temporary.ts";

const SEED = 15_485;
const VOCAB = 64;
const at = temporary();
let model: ModelSource;
beforeAll(async () => {
  model = await randomModel(at("model"), SEED, { layers: 2, heads: 4, groups: 2, vocab: VOCAB });
});

/** Prompts shorter and longer than a state of 12, and of one token. */
const PROMPTS = [5, 30, 1, 12, 40, 13].map((length, i) => randomIds(SEED + i, length, VOCAB));
const OPTIONS: GenerateOptions = { tokens: 24, stop: [], temperature: 0.8, seed: 7 };

/** What each prompt becomes, and what is kept of it, when nobody else is there. */
async function alone(adapter: string, state: string): Promise<{ texts: number[][]; kept: number[][][] }> {
  return withDecoder(adapter, model, { state }, async (decoder) => {
    const texts: number[][] = [];
    const kept: number[][][] = [];
    for (const [sequence, prompt] of PROMPTS.entries()) {
      texts.push(await continued(decoder, prompt, { ...OPTIONS, sequence }));
      kept.push(await decoder.kept());
    }
    return { texts, kept };
  });
}

async function collect(tokens: AsyncIterable<BatchToken>): Promise<number[][]> {
  const texts: number[][] = PROMPTS.map(() => []);
  for await (const { sequence, id } of tokens) texts[sequence]?.push(id);
  return texts;
}

describe.each(adaptersUnderTest())(`batches on %s, seed ${SEED}`, (adapter) => {
  test.each(["tova:12", "tova:12,recent=3,first=1", "window:12,first=2", "full:80"])(
    "%s: each sequence is what it is alone",
    async (state) => {
      const { texts, kept } = await alone(adapter, state);
      await withDecoder(adapter, model, { state, batch: 3 }, async (decoder) => {
        expect(decoder.batch).toBe(3);
        // More prompts than rows: three join when others have left.
        expect(await collect(decoder.generateAll(PROMPTS, OPTIONS))).toEqual(texts);

        // Three at once, begun one after the other; rows are taken in order.
        const going = PROMPTS.slice(0, 3).map((prompt, sequence) => decoder.generate(prompt, { ...OPTIONS, sequence }));
        const made: number[][] = [[], [], []];
        const take = async (i: number, count: number): Promise<void> => {
          for (let n = 0; n < count; n++) made[i]?.push((await going[i]?.next())?.value as number);
        };
        await take(0, 11);
        await take(1, 3);
        await take(2, 24);
        await take(0, 13);
        await take(1, 21);
        expect(made).toEqual(texts.slice(0, 3));
        for (const row of [0, 1, 2]) expect(await decoder.kept(row), `row ${row}`).toEqual(kept[row]);
      });
    },
  );

  test("equal prompts under one seed become different texts, the same ones whatever rows they get", async () => {
    const [prompt = []] = PROMPTS;
    const equal = [prompt, prompt, prompt];
    const gather = async (tokens: AsyncIterable<BatchToken>): Promise<number[][]> => {
      const texts: number[][] = equal.map(() => []);
      for await (const { sequence, id } of tokens) texts[sequence]?.push(id);
      return texts;
    };
    const drawn: GenerateOptions = { tokens: 12, stop: [], temperature: 1, seed: 3 };
    const texts = await withDecoder(adapter, model, { state: "tova:12", batch: 3 }, async (decoder) => {
      const made = await gather(decoder.generateAll(equal, drawn));
      expect(new Set(made.map(String)).size).toBe(3);
      for (const text of made) expect(text).toHaveLength(12);
      expect(await gather(decoder.generateAll(equal, drawn))).toEqual(made);
      // Who says which sequence each is gets that.
      const twice = await gather(decoder.generateAll(equal, (i) => ({ ...drawn, sequence: i === 0 ? 2 : 1 })));
      expect(twice).toEqual([made[2], made[1], made[1]]);
      return made;
    });
    await withDecoder(adapter, model, { state: "tova:12", batch: 2 }, async (decoder) => {
      expect(await gather(decoder.generateAll(equal, drawn))).toEqual(texts);
    });
    await withDecoder(adapter, model, { state: "tova:12" }, async (decoder) => {
      expect(await continued(decoder, prompt, drawn)).toEqual(texts[0]);
      for (const sequence of [0, 1, 2])
        expect(await continued(decoder, prompt, { ...drawn, sequence })).toEqual(texts[sequence]);
      for (const sequence of [-1, 0.5, 2 ** 32])
        expect(await complaint(() => continued(decoder, prompt, { ...drawn, sequence }))).toBe(
          `the number of the sequence must be whole, from 0 to 4294967295, got ${sequence}`,
        );
    });
  });

  test("a row that is left early is free for another, and the others do not notice", async () => {
    const { texts, kept } = await alone(adapter, "tova:12");
    await withDecoder(adapter, model, { state: "tova:12", batch: 2 }, async (decoder) => {
      const stays = decoder.generate(PROMPTS[0] ?? [], OPTIONS);
      const first = [(await stays.next()).value as number];
      for (let i = 1; i < PROMPTS.length; i++) {
        let made = 0;
        for await (const id of decoder.generate(PROMPTS[i] ?? [], { ...OPTIONS, sequence: i })) {
          expect(id).toBe(texts[i]?.[made]);
          if (++made === 3 * i) break;
        }
        expect(made).toBe(3 * i);
        first.push((await stays.next()).value as number);
      }
      for await (const id of stays) first.push(id);
      expect(first).toEqual(texts[0]);
      expect(await decoder.kept(0)).toEqual(kept[0]);
    });
  });

  test("a reader who sleeps holds up nobody, and finds its own text when it wakes", async () => {
    const long: GenerateOptions = { ...OPTIONS, tokens: 300 };
    const expected = await withDecoder(adapter, model, { state: "tova:12" }, async (decoder) => [
      await continued(decoder, PROMPTS[0] ?? [], long),
      await continued(decoder, PROMPTS[1] ?? [], long),
    ]);
    await withDecoder(adapter, model, { state: "tova:12", batch: 2 }, async (decoder) => {
      const asleep = decoder.generate(PROMPTS[0] ?? [], long);
      const text = [(await asleep.next()).value as number];
      expect(await continued(decoder, PROMPTS[1] ?? [], long)).toEqual(expected[1]);
      // It rests: 64 tokens wait at most, and two bursts of 32 were under way.
      expect(decoder.seen).toBeLessThan((PROMPTS[0]?.length ?? 0) + 1 + 64 + 2 * 32);
      for await (const id of asleep) text.push(id);
      expect(text).toEqual(expected[0]);
    });
  });

  test("one text more than there are rows is refused, and so is anything else in a state that is in use", async () => {
    await withDecoder(adapter, model, { state: "tova:12" }, async (decoder) => {
      const going = decoder.generate(PROMPTS[0] ?? [], OPTIONS);
      await going.next();
      const busy = 'the decoder of "model" is writing a text already, and has a state for one sequence';
      const [prompt = []] = PROMPTS;
      expect(await complaint(() => continued(decoder, prompt, OPTIONS))).toBe(busy);
      expect(await complaint(() => decoder.forward(prompt))).toBe(busy);
      expect(await complaint(() => decoder.predict(prompt))).toBe(busy);
      expect(await complaint(() => decoder.start(prompt))).toBe(busy);
      expect(await complaint(() => decoder.reset())).toBe(busy);
      await going.return(undefined);
      expect(await continued(decoder, prompt, OPTIONS)).toHaveLength(OPTIONS.tokens);
    });
    await withDecoder(adapter, model, { state: "tova:12", batch: 2 }, async (decoder) => {
      const going = [0, 1].map((i) => decoder.generate(PROMPTS[i] ?? [], OPTIONS));
      for (const text of going) await text.next();
      expect(await complaint(() => continued(decoder, PROMPTS[2] ?? [], OPTIONS))).toBe(
        'all 2 rows of the decoder of "model" are writing texts',
      );
      // Reading needs no row.
      expect(await decoder.predict(PROMPTS[2] ?? [])).toHaveLength(PROMPTS[2]?.length ?? 0);
      expect(await complaint(() => decoder.start(PROMPTS[2] ?? []))).toBe(
        "a batch of 2 sequences cannot be stepped one by one",
      );
      for (const text of going) await text.return(undefined);
    });
    const gpuHere = await gpuOf(adapter);
    expect(await complaint(() => Loader.load(gpuHere, model, { piece: 32 }))).toBe(
      "a piece of a prompt has 16, 64, 256 tokens at most, got 32",
    );
    for (const batch of [0, 1.5, 257]) {
      expect(await complaint(() => Loader.load(gpuHere, model, { batch }))).toBe(
        `batch must be a whole number from 1 to 256, got ${batch}`,
      );
    }
  });

  test("a stop token ends one text and leaves its state as the last token left it", async () => {
    const { texts } = await alone(adapter, "tova:12");
    const stopped = texts.map((text) => {
      // Late enough for bursts to be long.
      const end = text.findIndex((id, i) => i > 12 && text.indexOf(id) === i);
      return end < 0 ? text.length : end;
    });
    const index = stopped.findIndex((end, i) => end < (texts[i]?.length ?? 0));
    expect(index).toBeGreaterThanOrEqual(0);
    const [prompt, text, end] = [PROMPTS[index] ?? [], texts[index] ?? [], stopped[index] ?? 0];
    const until: GenerateOptions = { ...OPTIONS, stop: [text[end] ?? -1], sequence: index };
    const read = [...prompt, ...text.slice(0, end)];
    const look = async (decoder: Decoder): Promise<void> => {
      for (let again = 0; again < 3; again++) {
        expect(await continued(decoder, prompt, until)).toEqual(text.slice(0, end));
        expect(decoder.seen).toBe(read.length);
        const kept = await decoder.kept();
        await decoder.forward(read);
        if (decoder.batch === 1) expect(kept).toEqual(await decoder.kept());
        else kepts.push(kept);
      }
    };
    const kepts: number[][][] = [];
    await withDecoder(adapter, model, { state: "tova:12" }, async (decoder) => {
      await look(decoder);
      await decoder.forward(read);
      kepts.push(await decoder.kept());
    });
    await withDecoder(adapter, model, { state: "tova:12", batch: 2 }, look);
    expect(kepts).toHaveLength(4);
    for (const kept of kepts) expect(kept).toEqual(kepts[0]);
  });
});

test("after warming up nothing is created on the device: prompts in pieces, joining, leaving, bursts", async () => {
  const gpu = await open({ adapter: adaptersUnderTest()[0] });
  try {
    const counts = counted(gpu.device.raw);
    const decoder = await Loader.load(gpu, model, { state: "tova:12", batch: 3 });
    const long: GenerateOptions = { ...OPTIONS, tokens: 150 };
    const texts = await collect(decoder.generateAll(PROMPTS, long));
    const warm = { ...counts };
    for (const name of ["createBuffer", "createBindGroup"]) expect(warm[name], name).toBeGreaterThan(0);
    expect(pipelinesIn(warm)).toBe(gpu.device.pipelines);
    expect(gpu.device.pipelines).toBeGreaterThan(0);
    const before = gpu.device.allocated;
    expect(await collect(decoder.generateAll(PROMPTS, long))).toEqual(texts);
    for await (const { sequence } of decoder.generateAll(PROMPTS, long)) if (sequence === 1) break;
    expect(await continued(decoder, PROMPTS[3] ?? [], { ...long, sequence: 3 })).toEqual(texts[3]);
    expect(counts).toEqual(warm);
    expect(gpu.device.allocated).toBe(before);
    decoder.destroy();
  } finally {
    await gpu.close();
  }
});
