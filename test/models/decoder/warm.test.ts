/**
 * Warming up: afterwards nothing is made on the device, whatever is read and written, and every text is that of a
 * decoder that was not warmed up.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Decoder, type DecoderOptions, type GenerateOptions, type ModelSource } from "../../../models/index.ts";
import { type Gpu, open } from "../../../runtime/index.ts";
import { counted, pipelinesIn } from "../../support/counted.ts";
import { continued, withDecoder } from "../../support/decoders.ts";
import { adaptersUnderTest } from "../../support/gpu.ts";
import { randomModel } from "../../support/random-model.ts";
import { complaint, temporary } from "../formats/temporary.ts";

const at = temporary();
let model: ModelSource;
beforeAll(async () => {
  model = await randomModel(at("model"), 31, { layers: 2, dim: 64, heads: 4, groups: 2, headDim: 16 });
});

/** Ids of a prompt. */
function prompt(length: number): number[] {
  return Array.from({ length }, (_, i) => (i * 29 + 7 * length) % 64);
}

/** One by one, in padded and full pieces, with room and beyond it. */
const PROMPTS: readonly (readonly number[])[] = [1, 5, 40, 100].map(prompt);
const OPTIONS: GenerateOptions = { tokens: 20, temperature: 0.8, topK: 20, topP: 0.9, seed: 3 };

/** The text of each prompt, all of them asked for at once. */
async function textsOf(decoder: Decoder): Promise<number[][]> {
  const texts = PROMPTS.map((): number[] => []);
  for await (const { sequence, id } of decoder.generateAll(PROMPTS, OPTIONS)) texts[sequence]?.push(id);
  return texts;
}

const CASES: readonly DecoderOptions[] = ["full", "window:24,first=2", "tova:24"].flatMap((state) =>
  [1, 3].map((batch) => ({ state, batch })),
);

describe.each(adaptersUnderTest())("on %s", (adapter) => {
  let gpu: Gpu;
  let counts: Record<string, number>;
  beforeAll(async () => {
    gpu = await open({ adapter });
    counts = counted(gpu.device.raw);
  });
  afterAll(() => gpu.close());

  test.each(CASES)("$state, batch $batch", async (options) => {
    const cold = await withDecoder(adapter, model, options, textsOf);
    expect(cold.map((text) => text.length)).toEqual(PROMPTS.map(() => OPTIONS.tokens));
    const decoder = await Decoder.load(gpu, model, options);
    try {
      const loaded = gpu.device.pipelines;
      const parts = await decoder.warm();
      const made = parts.reduce((n, { pipelines }) => n + pipelines, 0);
      expect(gpu.device.pipelines).toBe(loaded + made);
      expect([decoder.seen, await decoder.kept()]).toEqual([0, [[], []]]);
      const warm = { ...counts };
      expect(pipelinesIn(warm)).toBe(gpu.device.pipelines);
      expect(await textsOf(decoder)).toEqual(cold);
      for (const [sequence, ids] of PROMPTS.entries())
        expect(await continued(decoder, ids, { ...OPTIONS, sequence })).toEqual(cold[sequence]);
      expect(counts).toEqual(warm);
      // Again in the midst of its life: nothing left to make, and nothing left behind.
      expect((await decoder.warm()).map(({ pipelines }) => pipelines)).toEqual(parts.map(() => 0));
      expect(await textsOf(decoder)).toEqual(cold);
      expect(counts).toEqual(warm);
    } finally {
      decoder.destroy();
    }
  });

  test("a text can go on from the empty state that warming up leaves", async () => {
    await withDecoder(adapter, model, { state: "tova:24" }, async (decoder) => {
      for (const ids of PROMPTS) {
        const text = await continued(decoder, ids, OPTIONS);
        await decoder.warm();
        expect(await continued(decoder, ids, { ...OPTIONS, resume: true })).toEqual(text);
      }
    });
  });
});

// The null backend: what is counted is made there as anywhere.
test("decoders of one model compile everything once, one after the other and side by side", async () => {
  const gpu = await open({ adapter: "null" });
  const made = async (): Promise<readonly number[]> => {
    const before = gpu.device.pipelines;
    const decoder = await Decoder.load(gpu, model, { state: "tova:24" });
    const loaded = gpu.device.pipelines;
    await decoder.warm();
    decoder.destroy();
    return [loaded - before, gpu.device.pipelines - loaded];
  };
  const [load = 0, warm = 0] = await made();
  expect(load).toBeGreaterThan(5);
  expect(warm).toBeGreaterThan(5);
  expect(await made()).toEqual([0, 0]);
  await gpu.close();
  const other = await open({ adapter: "null" });
  const counts = counted(other.device.raw);
  const both = [1, 2].map(() => Decoder.load(other, model, { state: "tova:24" }));
  await Promise.all((await Promise.all(both)).map((d) => d.warm()));
  expect((counts.createComputePipeline ?? 0) + (counts.createComputePipelineAsync ?? 0)).toBe(load + warm);
  expect(other.device.pipelines).toBe(load + warm);
  await other.close();
});

describe("what is warmed up is what prompts lead to", () => {
  const NAMES: readonly [DecoderOptions, string][] = [
    [{ state: "full:20" }, "token"],
    [{ state: "full:40" }, "token, 16"],
    [{ state: "full" }, "token, 16"],
    [{ state: "tova:6" }, "token, 16 evicting"],
    [{ state: "tova:24" }, "token, 16, 16 evicting"],
    [{ state: "full:7", piece: 64 }, "token"],
    [{ state: "full", piece: 64 }, "token, 16, 64"],
    [{ state: "window:24", piece: 64 }, "token, 16, 16 evicting, 64 evicting"],
  ];
  test.each(NAMES)("%j on a software adapter: %s", async (options, expected) => {
    const [adapter = ""] = adaptersUnderTest();
    const names = await withDecoder(adapter, model, options, async (decoder) => {
      return (await decoder.warm()).map(({ name }) => name);
    });
    const prompts = expected.split(", ").map((name) => {
      const [size = "", way] = name.split(" ");
      return `prompt: ${size === "token" ? size : `${size} tokens${way === undefined ? "" : ", evicting"}`}`;
    });
    expect(names).toEqual([...prompts, "choice", "step"]);
  });

  // Dawn's null backend makes pipelines like any other and computes nothing, so that many lengths take no time.
  test.each(["full", "full:12", "window:5", "window:40,first=2", "tova:200"])(
    "%s: no length of a prompt needs another pipeline on a GPU",
    async (state) => {
      const gpu = await open({ adapter: "null" });
      try {
        const decoder = await Decoder.load(gpu, model, { state });
        const sizes = (await decoder.warm()).map(({ name }) => name);
        const counts = counted(gpu.device.raw);
        const before = { ...counts };
        const longest = Math.min(decoder.positions, 330);
        for (let length = 1; length <= longest; length++) {
          const ids = prompt(length);
          expect(await continued(decoder, ids, { tokens: 1, stop: [] }), `${length} tokens`).toHaveLength(1);
        }
        expect(counts, sizes.join(", ")).toEqual(before);
      } finally {
        await gpu.close();
      }
    },
  );
});

test("not while a text is being written, and not after the end", async () => {
  const [adapter = ""] = adaptersUnderTest();
  const decoder = await withDecoder(adapter, model, {}, async (decoder) => {
    const text = decoder.generate([1], { tokens: 3 });
    await text.next();
    expect(await complaint(() => decoder.warm())).toContain("is writing a text already");
    await text.return(undefined);
    await decoder.warm();
    return decoder;
  });
  expect(await complaint(() => decoder.warm())).toContain("was destroyed");
});
