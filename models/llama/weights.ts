/**
 * Weights on the GPU, in the shapes the kernels want.
 *
 * q, k and v become one matrix, so that one kernel makes all three; each of its heads is two halves of rows, the pairs that RoPE rotates. f16 and bf16 stay as
 * they are stored, except where q, k and v differ in format, and f16 on adapters without half precision: those unpack it so slowly that f32 is faster. Any
 * other format is made here, on the way: the block formats by rounding 32 neighbours of a row to a common scale.
 */
import { type DType, decodeBF16, decodeF16 } from "../../runtime/dtype.ts";
import type { DeviceTensor } from "../../runtime/index.ts";
import { panelProblem } from "../../runtime/panels.ts";
import { settle } from "../../runtime/wait.ts";
import {
  type CanonicalName,
  elements,
  type LayerPart,
  type ModelSource,
  type WeightData,
  type WeightDType,
  type WeightTensor,
} from "../formats/weights.ts";
import { formatOf, type WeightFormat } from "./memory.ts";
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

/** Rows of a panel on adapters where panels help: as many as lavapipe has lanes. SwiftShader's four lanes gain nothing, and GPUs were not measured. */
function panelOn({ kind, subgroups }: Maker["capabilities"]): number {
  return kind === "software" && subgroups !== undefined && subgroups.max >= 8 ? subgroups.max : 1;
}

/** Elements of a large tensor that are in memory at a time, where its source can give it in parts. */
const PIECE: number = 4 << 20;
/** Bytes that may wait to be copied to the GPU: Dawn keeps what is written in memory of its own until the device gets to it. */
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

  /** Matrices whose parts can all lie in panels do, where that helps. */
  #panelOf(shapes: readonly (readonly number[])[], format: DType): number {
    const panel = panelOn(this.#gpu.capabilities);
    return shapes.every((shape) => panelProblem(shape, format, panel) === undefined) ? panel : 1;
  }

  async one(name: CanonicalName): Promise<DeviceTensor> {
    const t = this.#source.tensor(name);
    const format = this.formatOf(name);
    const panel = this.#panelOf([t.shape], format);
    const tensor = this.#gpu.tensor(t.shape, format, { label: t.name, sliced: true, panel });
    await this.#fill(tensor, t, 0);
    return tensor;
  }

  /** Several matrices of one width below one another. */
  async stacked(names: readonly CanonicalName[], shape: readonly number[], label: string): Promise<DeviceTensor> {
    const format = this.formatOf(names[0] as CanonicalName);
    const panel = this.#panelOf(
      names.map((name) => this.#source.tensor(name).shape),
      format,
    );
    const tensor = this.#gpu.tensor(shape, format, { label, sliced: true, panel });
    let at = 0;
    for (const name of names) {
      const t = this.#source.tensor(name);
      await this.#fill(tensor, t, at);
      at += elements(t.shape);
    }
    return tensor;
  }

  async #fill(to: DeviceTensor, t: WeightTensor, at: number): Promise<void> {
    const count = elements(t.shape);
    // Whole panels.
    const unit = to.panel * (t.shape.at(-1) ?? 1);
    const piece = to.panel === 1 ? PIECE : Math.ceil(PIECE / unit) * unit;
    for (let from = 0; from < count; from += t.part === undefined ? count : piece) {
      const data = t.part === undefined ? await t.data() : await t.part(from, Math.min(piece, count - from));
      to.write(to.dtype === t.dtype ? data : floats(data, t.dtype), at + from);
      this.#waiting += data.byteLength;
      if (this.#waiting > WAITING) await this.settle();
    }
    await this.#gpu.device.drain();
  }

  async settle(): Promise<void> {
    await settle(this.#gpu.device, "weights");
    this.#waiting = 0;
  }
}

/** Reads every weight and puts it on the GPU in the format that `memory.ts` says. */
export async function loadWeights(gpu: Maker, source: ModelSource, format: WeightFormat = "stored"): Promise<Weights> {
  const { layers: count, heads, groups, headDim, dim } = source.config;
  const loader = new Loader(gpu, source, format);
  const layers: LayerWeights[] = [];
  const embed = await loader.one("embed");
  for (let i = 0; i < count; i++) {
    const part = (name: LayerPart): CanonicalName => `layers.${i}.${name}`;
    const shape = [heads + 2 * groups, 2, headDim / 2, dim];
    layers.push({
      attentionNorm: await loader.one(part("attention_norm")),
      qkv: await loader.stacked([part("q"), part("k"), part("v")], shape, `layer ${i} q, k and v`),
      o: await loader.one(part("o")),
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
