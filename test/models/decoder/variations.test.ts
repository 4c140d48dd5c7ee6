/**
 * What a Llama may have beside the plain one, on random weights of sizes that fit nothing: biases of attention, and
 * every kind of scaled RoPE. Prompts in pieces and token by token, through a full and a bounded state, alone and in a
 * batch.
 *
 * The reference reads the whole text at once in float64; its angles are worked out with none of the project's code.
 */
import { beforeAll, describe, expect, test } from "vitest";
import { Decoder, type ModelSource } from "../../../models/index.ts";
import { Gpu } from "../../../runtime/index.ts";
import { keptByStep, withDecoder } from "../../support/decoders.ts";
import { adaptersUnderTest, withDevice } from "../../support/gpu.ts";
import { argmax, largestDifference, spread } from "../../support/logits.ts";
import { randomIds } from "../../support/random.ts";
import { type RandomShape, randomModel } from "../../support/random-model.ts";
import { causal, referenceRun, visibleFrom } from "../../support/reference-llama.ts";
import { temporary } from "../formats/temporary.ts";

const SEED = 31_007;
const VOCAB = 70;
const C = 12;
/** Three query heads for each of two KV heads; no size is a multiple of 8. */
const ODD: RandomShape = { layers: 2, dim: 36, heads: 6, groups: 2, headDim: 10, ff: 52, vocab: VOCAB };
/** Contexts of 16 tokens, so that the texts here go beyond them. */
const within = { original_max_position_embeddings: 16, rope_theta: 500 };

const VARIATIONS: Readonly<Record<string, RandomShape>> = {
  biases: { ...ODD, bias: true },
  llama3: { ...ODD, rope: { ...within, rope_type: "llama3", factor: 8, low_freq_factor: 1, high_freq_factor: 4 } },
  linear: { ...ODD, rope: { rope_theta: 500, rope_type: "linear", factor: 4 } },
  yarn: { ...ODD, bias: true, rope: { ...within, rope_type: "yarn", factor: 4, beta_fast: 4, beta_slow: 0.5 } },
};
const IDS: readonly number[] = randomIds(SEED, 45, VOCAB);

const at = temporary();
const models: Map<string, ModelSource> = new Map();
beforeAll(async () => {
  for (const [name, shape] of Object.entries(VARIATIONS)) models.set(name, await randomModel(at(name), SEED, shape));
});

function model(name: string): ModelSource {
  const found = models.get(name);
  if (found === undefined) throw new Error(`there is no variation "${name}"`);
  return found;
}

function flat(rows: readonly Float64Array[]): Float64Array {
  return Float64Array.from(rows.flatMap((row) => [...row]));
}

describe.each(adaptersUnderTest())(`on %s, seed ${SEED}`, (adapter) => {
  describe.each(Object.keys(VARIATIONS))("%s", (name) => {
    test.each([16, 64])("a prompt in pieces of at most %i gives the logits of the reference", async (piece) => {
      const reference = await referenceRun(model(name), IDS, causal);
      const logits = await withDecoder(adapter, model(name), { piece }, (decoder) => decoder.forward(IDS));
      expect(largestDifference(logits, flat(reference.logits)) / spread(logits)).toBeLessThan(1e-4);
    });

    test("it matters", async () => {
      const plain = await randomModel(at(`plain-${name}-${adapter}`), SEED, ODD);
      const [one, other] = [await referenceRun(plain, IDS, causal), await referenceRun(model(name), IDS, causal)];
      expect(largestDifference(flat(one.logits), flat(other.logits)) / spread(flat(one.logits))).toBeGreaterThan(0.1);
    });

    test("a bounded state is one parallel pass under its mask, in pieces and token by token", async () => {
      const { kept, logits } = await withDecoder(
        adapter,
        model(name),
        { state: `tova:${C}`, piece: 16 },
        async (d) => ({
          kept: await keptByStep(d, IDS),
          logits: await d.forward(IDS),
        }),
      );
      const reference = await referenceRun(model(name), IDS, visibleFrom(kept));
      expect(largestDifference(logits, flat(reference.logits)) / spread(logits)).toBeLessThan(1e-4);
    });

    test("texts of a batch are the most likely ones of the reference", async () => {
      const prompts = [IDS.slice(0, 21), IDS.slice(3, 8), IDS.slice(10, 40)];
      const texts: number[][] = prompts.map(() => []);
      await withDecoder(adapter, model(name), { batch: 2, state: "full:64" }, async (decoder) => {
        for await (const { sequence, id } of decoder.generateAll(prompts, { tokens: 9, stop: [] }))
          texts[sequence]?.push(id);
      });
      for (const [i, prompt] of prompts.entries()) {
        const text = texts[i] ?? [];
        expect(text).toHaveLength(9);
        const { logits } = await referenceRun(model(name), [...prompt, ...text.slice(0, -1)], causal);
        for (const [j, id] of text.entries()) {
          const row = logits[prompt.length - 1 + j] ?? new Float64Array();
          const ahead = (row[argmax(row)] ?? 0) - (row[id] ?? Number.NaN);
          expect(ahead / spread(row), `text ${i}, token ${j}`).toBeLessThan(1e-4);
        }
      }
    });
  });

  test("biases take no binding where an adapter has no more than browsers promise", async () => {
    const gpu = new Gpu(await withDevice(adapter));
    Object.defineProperty(gpu, "target", { value: { ...gpu.target, storageBuffers: 8 } });
    const decoder = await Decoder.load(gpu, model("biases"), { state: `tova:${C}` });
    try {
      const kernels = decoder.plan.dispatches.map(({ variant }) => variant.label.split(" ")[1]);
      expect(kernels).toContain("biasedQkv");
      expect(kernels).toContain("biasedProject");
      const logits = await decoder.forward(IDS.slice(0, C));
      const reference = await referenceRun(model("biases"), IDS.slice(0, C), causal);
      expect(largestDifference(logits, flat(reference.logits)) / spread(logits)).toBeLessThan(1e-4);
    } finally {
      decoder.destroy();
    }
  });
});
