/**
 * Weights in other formats than the files have: each format is the model that its rounded numbers make, by a reference
 * in float64 that reads those numbers from the host's own rounding; the memory contract says what they take.
 */
import { describe, expect, test } from "vitest";
import { llamaDims, llamaSpec } from "../../../models/config/families/llama.ts";
import type { ModelSpec } from "../../../models/config/spec.ts";
import { randomSource, SHAPES } from "../../../models/formats/random.ts";
import { contract, type ModelSource, parsePolicy, type WeightFormat } from "../../../models/index.ts";
import { canonicalShapes, elements } from "../../../models/weights/source.ts";
import { bytesOf, type DType, decodeFloats, encodeFloats } from "../../../runtime/memory/dtype.ts";
import { dequantise, quantise } from "../../../runtime/memory/quantise.ts";
import { continued, gpuOf, withDecoder } from "../../support/decoders.ts";
import { adaptersUnderTest } from "../../support/gpu.ts";
import { argmax, largestDifference, spread } from "../../support/logits.ts";
import { randomIds } from "../../support/random.ts";
import { causal, referenceRun } from "../../support/reference-llama.ts";
import { widened } from "../formats/reference.ts";
import { complaint } from "../formats/temporary.ts";

const TINY: ModelSpec = llamaSpec({
  ...llamaDims(SHAPES["TinyLlama-1.1B"] as ModelSpec),
  ...{ name: "tiny", layers: 2, dim: 64, heads: 4, kvHeads: 2, headDim: 16, ff: 96, vocab: 80, context: 64 },
});
const IDS: readonly number[] = randomIds(7, 24, TINY.vocab);

/** A model whose matrices hold what is left of them in the format. */
function rounded(source: ModelSource, format: WeightFormat): ModelSource {
  const round = (x: Float32Array): Float32Array<ArrayBuffer> =>
    format === "f16" || format === "fp8"
      ? decodeFloats(encodeFloats(x, format), format)
      : format === "q8" || format === "q4" || format === "q4_1"
        ? dequantise(quantise(x, format), x.length, format)
        : Float32Array.from(x);
  return {
    ...source,
    tensor(name) {
      const t = source.tensor(name);
      const { part: _, ...rest } = t;
      const data = async (): Promise<Float32Array<ArrayBuffer>> => {
        const values = await widened(t);
        return name.endsWith("norm") ? Float32Array.from(values) : round(values);
      };
      return { ...rest, dtype: "f32", data };
    },
  };
}

/** The same source without its ability to give parts, as files are. */
function inOnePiece(source: ModelSource): ModelSource {
  const tensor: ModelSource["tensor"] = (name) => {
    const { part: _, ...rest } = source.tensor(name);
    return rest;
  };
  return { ...source, tensor };
}

describe.each(adaptersUnderTest())("weights on %s", (adapter) => {
  test.each([
    ["f16", "f32"],
    ["q8", "f32"],
    ["q4", "f32"],
    ["q8", "bf16"],
    ["fp8", "f32"],
    ["q4_1", "f32"],
    ["q4_1", "f16"],
    ["f32", "f16"],
  ] as const)("%s made of stored %s", async (weights, stored) => {
    const source = randomSource(TINY, { stored });
    const reference = await referenceRun(rounded(source, weights), IDS, causal);
    const expected = Float32Array.from(reference.logits.flatMap((row) => [...row]));
    await withDecoder(adapter, source, { weights }, async (decoder) => {
      const logits = await decoder.forward(IDS);
      expect(largestDifference(logits, expected) / spread(expected)).toBeLessThan(1e-4);
      const [next] = await continued(decoder, IDS, { tokens: 1, stop: [] });
      expect(next).toBe(argmax(reference.logits.at(-1) ?? []));
    });
    // The rounding is there: the unrounded model says something else. In f32 everything that was stored is there.
    const exact = await referenceRun(source, IDS, causal);
    const away = largestDifference(expected, Float32Array.from(exact.logits.flatMap((r) => [...r])));
    expect([away === 0, away > 1e-4]).toEqual(weights === "f32" ? [true, false] : [false, true]);
  });

  test("are the same whether a source gives parts or not, and as large as the contract says", async () => {
    const gpu = await gpuOf(adapter);
    for (const weights of ["stored", "f32", "q8"] as const) {
      const source = randomSource(TINY, { stored: "f16" });
      const before = gpu.device.allocated;
      const [parts, whole] = [source, inOnePiece(source)].map((model) =>
        withDecoder(adapter, model, { weights }, async (decoder) => {
          const { weights: bytes, state, scratch } = decoder.contract;
          return { logits: await decoder.forward(IDS), said: bytes + state + scratch };
        }),
      );
      expect((await parts)?.logits).toEqual((await whole)?.logits);
      expect(gpu.device.allocated).toBe(before);
      await withDecoder(adapter, source, { weights }, async (decoder) => {
        const took = gpu.device.allocated - before;
        const said = (await parts)?.said ?? Number.NaN;
        expect(decoder.contract.weights).toBe(
          contract(source, parsePolicy("full"), gpu.capabilities.f16, 1, weights).weights,
        );
        expect(took, weights).toBeGreaterThanOrEqual(said);
        // Tensors are padded to 16 bytes, and two of the three of a layer of the state, which share a buffer, to 256;
        // matrices may lie in textures, with rows of 1 KiB.
        const layers = TINY.layers.length;
        const padding = 16 * (13 * layers + 16) + 2 * 256 * layers + 1024 * (5 * layers + 2);
        expect(took - said, weights).toBeLessThan(padding);
      });
    }
  });

  test("are refused where rows cannot be cut into blocks", async () => {
    const gpu = await gpuOf(adapter);
    const before = gpu.device.allocated;
    const odd = randomSource(llamaSpec({ ...llamaDims(TINY), name: "odd", ff: 80 }));
    const load = (weights: WeightFormat): Promise<unknown> => withDecoder(adapter, odd, { weights }, async () => {});
    for (const weights of ["q8", "q4", "q4_1"] as const) {
      expect(await complaint(() => load(weights))).toBe(
        `odd: ${weights} weights are blocks of 32 along each row, but the feed-forward layer of this model is 80, no multiple of it`,
      );
    }
    await load("f16");
    expect(gpu.device.allocated).toBe(before);
  });
});

describe("the contract", () => {
  test("counts matrices in the format asked for, and norms in f32", () => {
    for (const weights of ["f32", "f16", "fp8", "q8", "q4", "q4_1"] as const) {
      let bytes = 0;
      for (const [name, shape] of canonicalShapes(TINY)) {
        const dtype: DType = name.endsWith("norm") ? "f32" : weights;
        bytes += elements(shape) * bytesOf(dtype);
      }
      expect(contract(randomSource(TINY), parsePolicy("tova:8"), true, 1, weights).weights).toBe(bytes);
    }
    const big = contract(randomSource("Llama-3.1-8B"), parsePolicy("tova:128"), true, 1, "q4");
    expect(big.weights / big.parameters).toBeCloseTo(0.5625, 3);
  });

  test("refuses the block formats for rows that do not fit", () => {
    const odd = randomSource(llamaSpec({ ...llamaDims(TINY), name: "odd", dim: 72, headDim: 18 }));
    expect(() => contract(odd, parsePolicy("full"), true, 1, "q8")).toThrow(
      "odd: q8 weights are blocks of 32 along each row, but the width",
    );
  });
});
