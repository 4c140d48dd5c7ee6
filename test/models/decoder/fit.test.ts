/** What does not fit: values in a format, and a state on an adapter. */
import { describe, expect, test } from "vitest";
import { llamaDims, llamaSpec } from "../../../models/config/families/llama.ts";
import type { ModelSpec } from "../../../models/config/spec.ts";
import { Decoder } from "../../../models/decode/decoder.ts";
import { randomSource } from "../../../models/formats/random.ts";
import { Fit } from "../../../models/weights/fit.ts";
import type { WeightFormat } from "../../../models/weights/formats.ts";
import type { ModelSource, WeightTensor } from "../../../models/weights/source.ts";
import { Gpu, UserError } from "../../../runtime/index.ts";
import { encodeBF16 } from "../../../runtime/memory/dtype.ts";
import { adaptersUnderTest, withDevice } from "../../support/gpu.ts";
import { complaint } from "../formats/temporary.ts";

const CONFIG: ModelSpec = llamaSpec({
  name: "tiny", layers: 1, dim: 32, heads: 2, kvHeads: 1, headDim: 16, ff: 32, vocab: 64,
  context: 64, eps: 1e-5, ropeTheta: 1e4,
  tied: false, bos: [], eos: [],
}); // biome-ignore format: one record

/** The random model with some values of one tensor replaced. */
function spoiled(name: string, values: readonly number[]): ModelSource {
  const source = randomSource(CONFIG);
  const tensor = (asked: Parameters<ModelSource["tensor"]>[0]): WeightTensor => {
    const t = source.tensor(asked);
    if (asked !== name) return t;
    const data = async () => {
      const floats = Float32Array.from(await t.data());
      values.forEach((value, i) => void floats.set([value], 3 + 40 * i));
      return encodeBF16(floats);
    };
    return { name: "some.weight", shape: t.shape, dtype: "bf16", data };
  };
  return { ...source, where: "m", tensor };
}

describe("values that do not fit a format", () => {
  test.each<[WeightFormat, readonly number[], string]>([
    ["f16", [1e5], "1 of 1024 value does not fit f16 (the first is 99840 at index 3)"],
    ["f16", [1, -7e4, 1e30], "2 of 1024 values do not fit f16 (the first is -70144 at index 43)"],
    ["q8", [1e8], "1 of 1024 value does not fit q8 (the first is 100139008 at index 3)"],
    ["q4", [1e6, -1e7], "2 of 1024 values do not fit q4 (the first is 999424 at index 3)"],
    ["q4", [Number.NaN], "1 of 1024 value does not fit q4 (the first is NaN at index 3)"],
    ["f32", [Number.NaN, -Infinity], "2 of 1024 values do not fit f32 (the first is NaN at index 3)"],
  ])("%s %j", async (weights, values, expected) => {
    const gpu = new Gpu(await withDevice(adaptersUnderTest()[0] as string));
    for (const name of ["layers.0.v", "layers.0.down"]) {
      expect(await complaint(() => Decoder.load(gpu, spoiled(name, values), { weights }))).toBe(
        `m: tensor "some.weight": ${expected.replaceAll("1024", name === "layers.0.v" ? "512" : "1024")}`,
      );
    }
  });

  test("the largest that fit, and what is kept as it is stored", async () => {
    const gpu = new Gpu(await withDevice(adaptersUnderTest()[0] as string));
    for (const [weights, value] of [
      ["f16", 65280],
      ["q8", 8e6],
      ["q4", 5e5],
      ["stored", 1e5],
    ] as const) {
      (await Decoder.load(gpu, spoiled("layers.0.down", [value]), { weights })).destroy();
    }
  });

  test("the bounds are those of rounding to half precision", () => {
    const misfit = (format: "f16" | "q8" | "q4", ...values: number[]): boolean => {
      const fit = new Fit(format);
      fit.take(Float32Array.from(values));
      try {
        fit.check("x");
        return false;
      } catch {
        return true;
      }
    };
    expect([misfit("f16", 65519), misfit("f16", -65520)]).toEqual([false, true]);
    expect([misfit("q8", 65519 * 127), misfit("q8", 65520 * 127)]).toEqual([false, true]);
    expect([misfit("q4", -65519 * 8), misfit("q4", -65520 * 8)]).toEqual([false, true]);
  });
});

test("a context too long for a full cache: what it takes in all, and smaller states that do fit", async () => {
  const gpu = new Gpu(await withDevice(adaptersUnderTest()[0] as string));
  const layers = 4;
  const context = 2 ** 30;
  const source = randomSource(llamaSpec({ ...llamaDims(CONFIG), layers, context }));
  const bytes = layers * (2 * 16 * (context + 1) * 4 + (context + 1) * 4 + 4);
  const error = await Decoder.load(gpu, source).catch((e: unknown) => e);
  if (!(error instanceof UserError)) throw error;
  expect(error.message).toContain(`tiny: state "full" keeps ${context} tokens, which takes ${bytes} bytes (528.0 GiB)`);
  expect(error.hint).toBe("ask for a smaller state: full:4096, or tova:512");
  for (const state of ["full:4096", "tova:512"]) (await Decoder.load(gpu, source, { state })).destroy();
});
