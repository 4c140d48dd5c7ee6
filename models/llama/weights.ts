/**
 * Weights on the GPU, in the shapes the kernels want.
 *
 * q, k and v become one matrix, so that one kernel makes all three; each of its heads is two halves of rows, the pairs that RoPE rotates. f16 and bf16 stay as
 * they are stored, except where q, k and v differ in format, and f16 on adapters without half precision: those unpack it so slowly that f32 is faster.
 */
import { decodeBF16, decodeF16 } from "../../runtime/dtype.ts";
import type { DeviceTensor } from "../../runtime/index.ts";
import type { ModelSource, WeightTensor } from "../formats/weights.ts";
import type { LlamaConfig } from "./config.ts";
import { keptAs } from "./memory.ts";
import type { Maker } from "./scratch.ts";

export interface LayerWeights {
  readonly attentionNorm: DeviceTensor;
  /** [heads + 2·groups, 2, headDim/2, dim]. */
  readonly qkv: DeviceTensor;
  readonly o: DeviceTensor;
  readonly ffnNorm: DeviceTensor;
  readonly gate: DeviceTensor;
  readonly up: DeviceTensor;
  readonly down: DeviceTensor;
}

export interface Weights {
  readonly embed: DeviceTensor;
  readonly layers: readonly LayerWeights[];
  readonly norm: DeviceTensor;
  /** The same tensor as `embed` when the model ties them. */
  readonly head: DeviceTensor;
}

async function floats(t: WeightTensor): Promise<Float32Array> {
  const data = await t.data();
  if (data instanceof Float32Array) return data;
  return t.dtype === "f16" ? decodeF16(data) : decodeBF16(data);
}

/** Reads every weight and puts it on the GPU, one at a time. */
export async function loadWeights(gpu: Maker, source: ModelSource): Promise<Weights> {
  const { config } = source;
  const upload = async (t: WeightTensor): Promise<DeviceTensor> => {
    const dtype = keptAs(t.dtype, gpu.capabilities.f16);
    const tensor = gpu.tensor(t.shape, dtype, {
      label: t.name,
      data: dtype === t.dtype ? await t.data() : await floats(t),
    });
    await gpu.device.drain();
    return tensor;
  };
  const layers: LayerWeights[] = [];
  const embed = await upload(source.tensor("embed"));
  for (let i = 0; i < config.layers; i++) {
    const part = (name: "attention_norm" | "o" | "ffn_norm" | "gate" | "up" | "down"): Promise<DeviceTensor> =>
      upload(source.tensor(`layers.${i}.${name}`));
    layers.push({
      attentionNorm: await part("attention_norm"),
      qkv: await fuse(gpu, config, i, [
        source.tensor(`layers.${i}.q`),
        source.tensor(`layers.${i}.k`),
        source.tensor(`layers.${i}.v`),
      ]),
      o: await part("o"),
      ffnNorm: await part("ffn_norm"),
      gate: await part("gate"),
      up: await part("up"),
      down: await part("down"),
    });
  }
  const tied = source.tensor("head") === source.tensor("embed");
  return {
    embed,
    layers,
    norm: await upload(source.tensor("norm")),
    head: tied ? embed : await upload(source.tensor("head")),
  };
}

async function fuse(
  gpu: Maker,
  config: LlamaConfig,
  layer: number,
  parts: readonly WeightTensor[],
): Promise<DeviceTensor> {
  const stored = parts.every((p) => p.dtype === parts[0]?.dtype) ? (parts[0]?.dtype ?? "f32") : "f32";
  const dtype = keptAs(stored, gpu.capabilities.f16);
  const shape = [config.heads + 2 * config.groups, 2, config.headDim / 2, config.dim];
  const data = dtype === "f32" ? await Promise.all(parts.map(floats)) : await Promise.all(parts.map((p) => p.data()));
  const length = data.reduce((n, d) => n + d.length, 0);
  const whole = dtype === "f32" ? new Float32Array(length) : new Uint16Array(length);
  let at = 0;
  for (const d of data) {
    whole.set(d, at);
    at += d.length;
  }
  return gpu.tensor(shape, dtype, { label: `layer ${layer} q, k and v`, data: whole });
}
