/** Decoders for tests: on the adapter under test, freed when the test file ends, and watched step by step. */
import { afterAll } from "vitest";
import { Decoder, type DecoderOptions, type GenerateOptions, type ModelSource } from "../../models/index.ts";
import { Gpu } from "../../runtime/index.ts";
import { closeDevices, withDevice } from "./gpu.ts";

const gpus: Map<string, Gpu> = new Map();

afterAll(async () => {
  gpus.clear();
  await closeDevices();
});

/** The GPU of an adapter, one for each test file. */
export async function gpuOf(adapter: string): Promise<Gpu> {
  const device = await withDevice(adapter);
  let gpu = gpus.get(adapter);
  if (gpu?.device !== device) {
    gpu = new Gpu(device);
    gpus.set(adapter, gpu);
  }
  return gpu;
}

/** Loads a decoder, hands it to `use`, and frees it whatever happens. */
export async function withDecoder<T>(
  adapter: string,
  source: ModelSource,
  options: DecoderOptions,
  use: (decoder: Decoder) => Promise<T>,
): Promise<T> {
  const decoder = await Decoder.load(await gpuOf(adapter), source, options);
  try {
    return await use(decoder);
  } finally {
    decoder.destroy();
  }
}

/** What is kept after each token: [token][layer][position, ascending]. */
export async function keptByStep(decoder: Decoder, ids: readonly number[]): Promise<number[][][]> {
  decoder.start(ids);
  const kept: number[][][] = [];
  for (let t = 0; t < ids.length; t++) {
    decoder.advanceOne();
    kept.push(await decoder.kept());
  }
  return kept;
}

/** All ids of a continuation. */
export async function continued(
  decoder: Decoder,
  prompt: readonly number[],
  options: GenerateOptions,
): Promise<number[]> {
  const ids: number[] = [];
  for await (const id of decoder.generate(prompt, options)) ids.push(id);
  return ids;
}
