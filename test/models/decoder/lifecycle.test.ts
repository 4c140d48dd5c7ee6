/**
 * A decoder from load to destroy: what it holds, what starting anew means, several on one device, and what it says to
 * those who ask for what cannot be.
 */
import { beforeAll, describe, expect, test } from "vitest";
import { Decoder, type GenerateOptions, type ModelSource } from "../../../models/index.ts";
import { continued, gpuOf, keptByStep, withDecoder } from "../../support/decoders.ts";
import { adaptersUnderTest } from "../../support/gpu.ts";
import { randomIds } from "../../support/random.ts";
import { randomModel } from "../../support/random-model.ts";
import { complaint, temporary } from "../formats/temporary.ts";

const SEED = 104_729;
const VOCAB = 64;
const at = temporary();
let model: ModelSource;
beforeAll(async () => {
  model = await randomModel(at("little"), SEED, { layers: 2, groups: 2, vocab: VOCAB });
});

const IDS: readonly number[] = randomIds(SEED, 40, VOCAB);
const PROMPT: readonly number[] = IDS.slice(0, 10);
const PLAIN: GenerateOptions = { tokens: 30, stop: [] };

describe.each(adaptersUnderTest())(`a decoder on %s, seed ${SEED}`, (adapter) => {
  test("starts from nothing each time", async () => {
    await withDecoder(adapter, model, { state: "tova:8" }, async (decoder) => {
      expect(decoder.seen).toBe(0);
      expect(await decoder.kept()).toEqual([[], []]);
      const first = await decoder.forward(IDS);
      expect(decoder.seen).toBe(IDS.length);
      const kept = await decoder.kept();
      expect(kept.map((layer) => layer.length)).toEqual([8, 8]);

      const text = await continued(decoder, PROMPT, PLAIN);
      // The last token is never read.
      expect(decoder.seen).toBe(PROMPT.length + PLAIN.tokens - 1);
      expect(await continued(decoder, PROMPT, PLAIN)).toEqual(text);
      expect(await decoder.forward(IDS)).toEqual(first);
      expect(await decoder.kept()).toEqual(kept);
      expect((await keptByStep(decoder, IDS)).at(-1)).toEqual(kept);

      decoder.reset();
      expect(decoder.seen).toBe(0);
      expect(await decoder.kept()).toEqual([[], []]);
      expect(await decoder.forward(IDS)).toEqual(first);
    });
  });

  test("is as large as it says, and gone when destroyed", async () => {
    const { device } = await gpuOf(adapter);
    for (const state of ["full", "tova:8", "window:100,first=4"]) {
      const before = device.allocated;
      const decoder = await Decoder.load(await gpuOf(adapter), model, { state });
      const { weights, state: held, scratch, kept, slots } = decoder.contract;
      const said = weights + held + scratch;
      const took = device.allocated - before;
      // Every tensor is padded to 16 bytes; the model has 9 a layer and 3 more, the state 3 a layer and 2 more, the
      // scratch 19. Of the state's 3, which share a buffer, 2 start where a binding may, at multiples of 256. Matrices
      // may lie in textures, with rows of 1 KiB: 5 a layer and 2 more.
      expect(took, state).toBeGreaterThanOrEqual(said);
      const layers = model.config.layers.length;
      const padding = 16 * (12 * layers + 24) + 2 * 256 * layers + 1024 * (5 * layers + 2);
      expect(took - said, state).toBeLessThan(padding);
      expect(slots - kept, state).toBe(1);

      await decoder.forward(IDS);
      await continued(decoder, IDS, { ...PLAIN, prefill: "oneshot" });
      expect(device.allocated, state).toBe(before + took);
      decoder.destroy();
      expect(device.allocated, state).toBe(before);
      decoder.destroy();
      expect(device.allocated, state).toBe(before);
    }
  });

  test("a step is 5 dispatches a layer and 4 more, and a policy adds one in all", async () => {
    for (const [state, once] of [
      ["tova:8", 5],
      ["window:8", 5],
      ["full", 4],
    ] as const) {
      const of = (batch: number): Promise<number> =>
        withDecoder(adapter, model, { state, batch }, async (decoder) => decoder.dispatches);
      expect(await of(1), state).toBe(5 * model.config.layers.length + once);
      expect(await of(2), state).toBe(5 * model.config.layers.length + once);
    }
  });

  test("says so when it is asked for something after its end", async () => {
    const gpu = await gpuOf(adapter);
    const decoder = await Decoder.load(gpu, model, { state: "tova:8" });
    const dead = 'the decoder of "little" was destroyed';
    const going = decoder.generate(PROMPT, { tokens: 100, stop: [] });
    await going.next();
    decoder.destroy();
    const rest = async (): Promise<void> => {
      for await (const id of going) expect(id).toBeLessThan(VOCAB);
    };
    expect(await complaint(rest)).toBe(dead);
    expect(await complaint(() => decoder.forward(IDS))).toBe(dead);
    expect(await complaint(() => decoder.predict(IDS))).toBe(dead);
    expect(await complaint(() => continued(decoder, PROMPT, PLAIN))).toBe(dead);
    expect(await complaint(() => decoder.kept())).toBe(dead);
    expect(await complaint(() => decoder.reset())).toBe(dead);
    expect(await complaint(() => decoder.start(IDS))).toBe(dead);
    expect(await complaint(() => decoder.advanceOne())).toBe(dead);
    // Nothing of this reached the device.
    await gpu.wait();
  });

  test("shares the device with others", async () => {
    const alone = async (state: string): Promise<number[]> =>
      withDecoder(adapter, model, { state }, (decoder) => continued(decoder, PROMPT, PLAIN));
    const [tova, window] = [await alone("tova:8"), await alone("window:8")];
    await withDecoder(adapter, model, { state: "tova:8" }, (a) =>
      withDecoder(adapter, model, { state: "window:8" }, async (b) => {
        const [left, right] = [a.generate(PROMPT, PLAIN), b.generate(PROMPT, PLAIN)];
        const texts: [number[], number[]] = [[], []];
        for (let i = 0; i < PLAIN.tokens; i++) {
          for (const [which, side] of [left, right].entries()) texts[which]?.push((await side.next()).value as number);
        }
        expect(texts).toEqual([tova, window]);
        // Both at once.
        expect(await Promise.all([continued(a, PROMPT, PLAIN), continued(b, PROMPT, PLAIN)])).toEqual([tova, window]);
      }),
    );
  });

  test("leaves nothing behind when it cannot be loaded", async () => {
    const gpu = await gpuOf(adapter);
    const before = gpu.device.allocated;
    const broken: ModelSource = {
      ...model,
      tensor(name) {
        const tensor = model.tensor(name);
        return name === "layers.1.up"
          ? { ...tensor, data: () => Promise.reject(new Error("the disk is gone")) }
          : tensor;
      },
    };
    await expect(Decoder.load(gpu, broken, { state: "tova:8" })).rejects.toThrow("the disk is gone");
    expect(gpu.device.allocated).toBe(before);

    const wide = await randomModel(at(`wide-${adapter}`), SEED, { layers: 1, groups: 4, headDim: 16 });
    const slots = gpu.capabilities.limits.bindingBytes / (4 * 16 * 4) + 1;
    expect(await complaint(() => Decoder.load(gpu, wide, { state: `full:${slots}` }))).toMatch(
      /^wide-.*: state "full:\d+" keeps \d+ tokens, .* tensor "layer 0 key cache" \[1, 4, \d+, 16\] f32 needs \d+ bytes, but the largest storage binding of this adapter/,
    );
    expect(await complaint(() => Decoder.load(gpu, model, { state: "tova:0" }))).toBe(
      'state "tova:0": the number of slots must be a whole number of at least 1, got "0"',
    );
    expect(gpu.device.allocated).toBe(before);
  });

  test("refuses what it cannot read, and keeps what it has", async () => {
    await withDecoder(adapter, model, { state: "full:20" }, async (decoder) => {
      await decoder.forward(PROMPT);
      const kept = await decoder.kept();
      const refused = async (ids: readonly number[], message: string): Promise<void> => {
        expect(await complaint(() => decoder.forward(ids))).toBe(message);
        expect(await complaint(() => decoder.predict(ids))).toBe(message);
        expect(await complaint(() => decoder.start(ids))).toBe(message);
        expect(await complaint(() => continued(decoder, ids, PLAIN))).toBe(message);
        expect(await complaint(() => continued(decoder, ids, { ...PLAIN, prefill: "oneshot" }))).toBe(message);
      };
      await refused([], "no tokens to read: the prompt is empty");
      await refused([1, 2, VOCAB], "token id 64 (number 3) is outside the vocabulary of 64");
      await refused([-1], "token id -1 (number 1) is outside the vocabulary of 64");
      await refused([3, 1.5], "token id 1.5 (number 2) is outside the vocabulary of 64");
      await refused([Number.NaN], "token id NaN (number 1) is outside the vocabulary of 64");
      await refused(IDS.slice(0, 21), 'the prompt has 21 tokens, more than the 20 positions of state "full:20"');
      expect(await decoder.kept()).toEqual(kept);
      expect(decoder.seen).toBe(PROMPT.length);

      const odd = (options: Partial<GenerateOptions>): Promise<string> =>
        complaint(() => continued(decoder, PROMPT, { ...PLAIN, ...options }));
      const count = "the number of tokens to generate must be a whole number of at least 1, got";
      for (const tokens of [0, -1, 1.5, Number.NaN]) expect(await odd({ tokens })).toBe(`${count} ${tokens}`);
      for (const temperature of [-0.1, Number.NaN, Number.POSITIVE_INFINITY])
        expect(await odd({ temperature })).toBe(`temperature must be 0 or more, got ${temperature}`);
      for (const topP of [0, 1.01, Number.NaN])
        expect(await odd({ topP })).toBe(`top-p must be above 0 and at most 1, got ${topP}`);
      for (const topK of [-1, 1.5])
        expect(await odd({ topK })).toBe(`top-k must be a whole number of at least 0, got ${topK}`);
      for (const seed of [-1, 0.5, 2 ** 32])
        expect(await odd({ seed })).toBe(`the seed must be a whole number from 0 to 4294967295, got ${seed}`);
      expect(await decoder.kept()).toEqual(kept);

      decoder.start(IDS.slice(0, 20));
      for (let t = 0; t < 20; t++) decoder.advanceOne();
      expect(await complaint(() => decoder.advanceOne())).toBe('state "full:20" holds no more than 20 positions');
    });
  });
});
