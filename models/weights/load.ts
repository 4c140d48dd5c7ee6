/**
 * Weights on the GPU, in the shapes the kernels want.
 *
 * q, k and v become one matrix, so that one kernel makes all three; each of its heads is two halves of rows, the pairs
 * that RoPE rotates. f16 and bf16 stay as they are stored, except where q, k and v differ in format, and f16 on
 * adapters without half precision: those unpack it so slowly that f32 is faster. Any other format is made here, on the
 * way: the block formats by rounding 32 neighbours of a row to a common scale.
 */

import { guarded, owned } from "../../runtime/device/scopes.ts";
import { settle } from "../../runtime/device/wait.ts";
import type { DeviceTensor, Maker } from "../../runtime/index.ts";
import { bytesOf, type DType, decodeBF16, decodeF16 } from "../../runtime/memory/dtype.ts";
import type { TensorOptions } from "../../runtime/memory/layout.ts";
import { panelProblem } from "../../runtime/memory/panels.ts";
import { pitchFor } from "../../runtime/memory/texture.ts";
import type { LayerPart } from "../config/weight-map.ts";
import { Fit } from "./fit.ts";
import { formatOf, type WeightFormat } from "./formats.ts";
import {
  type CanonicalName,
  elements,
  type ModelSource,
  type WeightData,
  type WeightDType,
  type WeightTensor,
} from "./source.ts";

export interface LayerWeights {
  readonly attentionNorm: DeviceTensor;
  /** [heads + 2·kvHeads, 2, headDim/2, dim]. */
  readonly qkv: DeviceTensor;
  /** [heads + 2·kvHeads, 2, headDim/2]; it lies beside `attentionNorm`, with which it may share a binding. */
  readonly qkvBias: DeviceTensor | undefined;
  readonly o: DeviceTensor;
  /** [dim]. */
  readonly oBias: DeviceTensor | undefined;
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

/** Rows of a lane that a panel has at most. */
const SHARE = 4;

/**
 * Rows of a panel on adapters where panels and textures help: as many of its lanes' rows as one program takes together,
 * so that it reads one stream, and no head or half of one begins within a panel; 1 elsewhere.
 */
export function panelOn({ traits, subgroups }: Maker["capabilities"], rows: number): number {
  const lanes = subgroups?.max ?? 1;
  if (!traits.textureLoadsCheap || lanes === 1) return 1;
  let panel = SHARE * lanes;
  while (panel > lanes && rows % panel !== 0) panel /= 2;
  return panel;
}

/** Matrices that one kernel reads: those of the gated half of the feed-forward layer. */
const MATRICES = 2;

/** Elements of a large tensor that are in memory at a time, where its source can give it in parts. */
const PIECE: number = 4 << 20;
/**
 * Bytes that may wait to be copied to the GPU: Dawn keeps what is written in memory of its own until the device gets to
 * it.
 */
const WAITING: number = 256 << 20;

function floats(data: WeightData, dtype: WeightDType): Float32Array {
  if (data instanceof Float32Array) return data;
  return dtype === "f16" ? decodeF16(data) : decodeBF16(data);
}

/** Puts tensors on the GPU, one at a time and, where the source allows, piece by piece. */
class Loader {
  readonly #gpu: Maker;
  readonly #source: ModelSource;
  readonly #format: WeightFormat;
  #waiting = 0;

  constructor(gpu: Maker, source: ModelSource, format: WeightFormat) {
    this.#gpu = gpu;
    this.#source = source;
    this.#format = format;
  }

  formatOf(name: CanonicalName): DType {
    return formatOf(this.#source, name, this.#gpu.capabilities.f16, this.#format);
  }

  /** A matrix whose parts can all lie in panels does, and in a texture, where that helps. */
  #placeOf(
    shape: readonly number[],
    shapes: readonly (readonly number[])[],
    format: DType,
  ): Pick<TensorOptions, "panel" | "texture" | "sliced"> {
    const panel = panelOn(this.#gpu.capabilities, shape.at(-2) ?? 1);
    const inPanels = panel > 1 && shapes.every((shape) => panelProblem(shape, format, panel) === undefined);
    const bytes = shapes.reduce((sum, shape) => sum + elements(shape) * bytesOf(format), 0);
    const { storageTextures } = this.#gpu.capabilities.limits;
    const texture = inPanels && storageTextures >= MATRICES && pitchFor(this.#gpu.device, bytes) !== undefined;
    return { panel: inPanels ? panel : 1, texture, sliced: true };
  }

  async one(name: CanonicalName): Promise<DeviceTensor> {
    const t = this.#source.tensor(name);
    const format = this.formatOf(name);
    const place = this.#placeOf(t.shape, [t.shape], format);
    const tensor = await this.#make(t.shape, format, { label: t.name, ...place });
    await this.#fill(tensor, t, 0);
    return tensor;
  }

  /** Several matrices of one width below one another. */
  async stacked(names: readonly CanonicalName[], shape: readonly number[], label: string): Promise<DeviceTensor> {
    const format = this.formatOf(names[0] as CanonicalName);
    const parts = names.map((name) => this.#source.tensor(name).shape);
    const tensor = await this.#make(shape, format, { label, ...this.#placeOf(shape, parts, format) });
    await this.#fillAll(tensor, names);
    return tensor;
  }

  /**
   * A norm and the biases of what reads it, in one buffer: with a binding for each, the kernel would bind more than
   * browsers promise.
   */
  async normAndBias(
    norm: CanonicalName,
    biases: readonly CanonicalName[],
    shape: readonly number[],
  ): Promise<{ readonly norm: DeviceTensor; readonly bias: DeviceTensor }> {
    const t = this.#source.tensor(norm);
    const specs = {
      norm: { shape: t.shape, dtype: this.formatOf(norm), label: t.name },
      bias: { shape, dtype: this.formatOf(biases[0] as CanonicalName), label: `biases beside ${t.name}` },
    };
    const made = await guarded(this.#gpu.device, `tensor "${t.name}"`, () => this.#gpu.tensors(specs));
    await this.#fill(made.norm, t, 0);
    await this.#fillAll(made.bias, biases);
    return made;
  }

  async #fillAll(to: DeviceTensor, names: readonly CanonicalName[]): Promise<void> {
    let at = 0;
    for (const name of names) {
      const t = this.#source.tensor(name);
      await this.#fill(to, t, at);
      at += elements(t.shape);
    }
  }

  /** What goes wrong here is for whoever loads the model, and for nobody else on the device. */
  #make(shape: readonly number[], format: DType, options: TensorOptions): Promise<DeviceTensor> {
    return guarded(this.#gpu.device, `tensor "${options.label}"`, () => this.#gpu.tensor(shape, format, options));
  }

  async #fill(to: DeviceTensor, t: WeightTensor, at: number): Promise<void> {
    const count = elements(t.shape);
    // Whole panels.
    const unit = to.panel * (t.shape.at(-1) ?? 1);
    const piece = to.panel === 1 ? PIECE : Math.ceil(PIECE / unit) * unit;
    const fit = this.#format === "stored" ? undefined : new Fit(to.dtype);
    for (let from = 0; from < count; from += t.part === undefined ? count : piece) {
      const data = t.part === undefined ? await t.data() : await t.part(from, Math.min(piece, count - from));
      const values = to.dtype === t.dtype ? data : floats(data, t.dtype);
      fit?.take(values instanceof Float32Array ? values : floats(values, t.dtype));
      const { verdict } = owned(this.#gpu.device, `tensor "${to.label}"`, () => to.write(values, at + from));
      this.#waiting += data.byteLength;
      if (this.#waiting > WAITING) {
        await settle(this.#gpu.device, "weights", verdict);
        this.#waiting = 0;
      }
      const failure = await verdict;
      if (failure !== undefined) throw failure;
    }
    fit?.check(`${this.#source.where}: tensor "${t.name}"`);
  }
}

/** Reads every weight and puts it on the GPU in the format that `formats.ts` says. */
export async function loadWeights(gpu: Maker, source: ModelSource, format: WeightFormat = "stored"): Promise<Weights> {
  const { dim } = source.config;
  const loader = new Loader(gpu, source, format);
  const layers: LayerWeights[] = [];
  const embed = await loader.one("embed");
  for (const [i, { attention }] of source.config.layers.entries()) {
    const part = (name: LayerPart): CanonicalName => `layers.${i}.${name}`;
    const { heads, kvHeads, keyDim, bias } = attention;
    const rows = [heads + 2 * kvHeads, 2, keyDim / 2];
    const { norm, bias: qkvBias } = bias.qkv
      ? await loader.normAndBias(part("attention_norm"), [part("q_bias"), part("k_bias"), part("v_bias")], rows)
      : { norm: await loader.one(part("attention_norm")), bias: undefined };
    layers.push({
      attentionNorm: norm,
      qkv: await loader.stacked([part("q"), part("k"), part("v")], [...rows, dim], `layer ${i} q, k and v`),
      qkvBias,
      o: await loader.one(part("o")),
      oBias: bias.o ? await loader.one(part("o_bias")) : undefined,
      ffnNorm: await loader.one(part("ffn_norm")),
      gate: await loader.one(part("gate")),
      up: await loader.one(part("up")),
      down: await loader.one(part("down")),
    });
  }
  const tied = source.tensor("head") === source.tensor("embed");
  const norm = await loader.one("norm");
  return { embed, layers, norm, head: tied ? embed : await loader.one("head") };
}
