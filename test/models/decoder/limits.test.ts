/**
 * A decoder on what every browser promises and no more: 8 storage buffers a kernel, fewer than the q/k/v kernel has
 * tensors. Once with the adapter's features and once without any, which is feature level L0.
 */
import { describe, expect, test } from "vitest";
import { Decoder, openModel } from "../../../models/index.ts";
import { openDawn } from "../../../runtime/adapters/dawn.ts";
import { openDevice } from "../../../runtime/device/device.ts";
import { Gpu } from "../../../runtime/index.ts";
import { continued, gpuOf } from "../../support/decoders.ts";
import { golden } from "../../support/goldens.ts";
import { adaptersUnderTest } from "../../support/gpu.ts";

const [adapter = ""] = adaptersUnderTest();
/** Tokens of the tale that are told. */
const TOLD = 40;

async function modest<T>(featured: boolean, use: (gpu: Gpu) => Promise<T>): Promise<T> {
  const dawn = await openDawn({ adapter });
  const wanted = ["shader-f16", "subgroups"].filter((name) => featured && dawn.adapter.features.has(name));
  const raw = await dawn.adapter.requestDevice({
    requiredFeatures: wanted as GPUFeatureName[],
    requiredLimits: { maxStorageBuffersPerShaderStage: 8 },
  });
  const device = await openDevice({ device: raw });
  try {
    return await use(new Gpu(device));
  } finally {
    await device.close();
    raw.destroy();
    dawn.release();
  }
}

describe.each([
  ["the adapter's features", true],
  ["no features", false],
])(`8 storage buffers and %s, on ${adapter}`, (_, featured) => {
  test("hearth tells its recorded tale", async () => {
    const { greedy } = await golden("hearth");
    const ids = await modest(featured, async (gpu) => {
      expect(gpu.target.storageBuffers).toBe(8);
      expect(gpu.capabilities.featureLevel === "L0").toBe(!featured);
      const decoder = await Decoder.load(gpu, await openModel("hearth"));
      const made = await continued(decoder, greedy.prompt_ids, { tokens: TOLD, stop: [] });
      decoder.destroy();
      return made;
    });
    expect([...greedy.prompt_ids, ...ids]).toEqual(greedy.ids.slice(0, greedy.prompt_ids.length + TOLD));
  });

  test("TOVA keeps what it keeps elsewhere, also after a prompt that was read at once", async () => {
    const { greedy } = await golden("hearth");
    const prompt = greedy.ids.slice(0, 48);
    const told = async (gpu: Gpu): Promise<{ ids: number[]; kept: number[][] }> => {
      const decoder = await Decoder.load(gpu, await openModel("hearth"), { state: "tova:16,recent=2" });
      const ids = await continued(decoder, prompt, { tokens: 12, stop: [], prefill: "oneshot" });
      const kept = await decoder.kept();
      decoder.destroy();
      return { ids, kept };
    };
    expect(await modest(featured, told)).toEqual(await told(await gpuOf(adapter)));
  });
});

test("weights longer than a binding, in parts: the recorded tale", async () => {
  const { greedy } = await golden("hearth");
  const gpu = new Gpu((await gpuOf(adapter)).device);
  // As much as what is written takes, which is less than the embedding has in its 16-bit format.
  const bindingBytes = 256 << 10;
  Object.defineProperty(gpu, "target", { value: { ...gpu.target, bindingBytes } });
  const source = await openModel("hearth");
  expect(2 * source.tensor("embed").shape.reduce((a, b) => a * b, 1)).toBeGreaterThan(bindingBytes);
  const decoder = await Decoder.load(gpu, source, { state: "full:128" });
  const made = await continued(decoder, greedy.prompt_ids, { tokens: TOLD, stop: [] });
  decoder.destroy();
  expect([...greedy.prompt_ids, ...made]).toEqual(greedy.ids.slice(0, greedy.prompt_ids.length + TOLD));
});
