/**
 * The one form in which every checkpoint format hands over its weights.
 *
 * A format knows its own names, layouts and quirks; the decoder knows only the names below. Rows of q and k are always
 * in rotate-half order, in which RoPE turns element i with element i + headDim/2: formats that keep the pairs side by
 * side are put in order while they are read.
 */

import { UserError } from "../../runtime/common/errors.ts";
import type { DType } from "../../runtime/memory/dtype.ts";
import type { LayerSpec, ModelSpec } from "../config/spec.ts";
import type { LayerPart } from "../config/weight-map.ts";
import type { Tokenizer } from "../tokenizers/tokenizer.ts";

/** Storage formats that weights may have. */
export type WeightDType = Extract<DType, "f32" | "f16" | "bf16">;

/** f32 as numbers, f16 and bf16 as their raw bits. */
export type WeightData = Float32Array<ArrayBuffer> | Uint16Array<ArrayBuffer>;

/** The name of a weight in every format: of the model, or of one of its layers, counted from 0. */
export type CanonicalName = "embed" | "norm" | "head" | `layers.${number}.${LayerPart}`;

/** A stored weight; its numbers are read when they are asked for. */
export interface WeightTensor {
  /** What the file calls it. */
  readonly name: string;
  /** Rows first: a matrix is [outputs, inputs]. */
  readonly shape: readonly number[];
  /** Format of the numbers. */
  readonly dtype: WeightDType;
  /** Reads the tensor, row-major; a fresh copy each time. */
  data(): Promise<WeightData>;
  /**
   * Reads a part, where a source can give parts of a large tensor without making all of it.
   * @param start first element
   * @param count how many
   */
  part?(start: number, count: number): Promise<WeightData>;
}

/** An opened checkpoint: shapes and dtypes are known and checked, no weight has been read. */
export interface ModelSource {
  /** What it computes. */
  readonly config: ModelSpec;
  /** The file or folder it came from. */
  readonly where: string;
  /** What is odd about its files and does no harm: a line each, to be shown once. */
  readonly notes: readonly string[];
  /**
   * Opens the tokenizer.
   * @throws UserError when the model has no tokenizer files
   */
  tokenizer(): Promise<Tokenizer>;
  /**
   * A weight. A tied model gives the very same object for "embed" and "head".
   * @param name of the weight
   * @throws RangeError for a name that the model does not have
   */
  tensor(name: CanonicalName): WeightTensor;
}

/** The parts of a layer with their shapes, in the order a token meets them: a matrix is [outputs, inputs]. */
function partShapes({ attention, mlp }: LayerSpec, dim: number): readonly (readonly [LayerPart, readonly number[]])[] {
  const { heads, kvHeads, keyDim, valueDim, bias } = attention;
  const [queries, keys, values] = [heads * keyDim, kvHeads * keyDim, kvHeads * valueDim];
  const parts: (readonly [LayerPart, readonly number[]] | undefined)[] = [
    ["attention_norm", [dim]],
    ["q", [queries, dim]],
    ["k", [keys, dim]],
    ["v", [values, dim]],
    bias.qkv ? ["q_bias", [queries]] : undefined,
    bias.qkv ? ["k_bias", [keys]] : undefined,
    bias.qkv ? ["v_bias", [values]] : undefined,
    ["o", [dim, heads * valueDim]],
    bias.o ? ["o_bias", [dim]] : undefined,
    ["ffn_norm", [dim]],
    ["gate", [mlp.width, dim]],
    ["up", [mlp.width, dim]],
    ["down", [dim, mlp.width]],
  ];
  return parts.filter((part) => part !== undefined);
}

/** Every canonical name with the shape that the spec asks for, in the order a token meets them. */
export function canonicalShapes({ dim, vocab, layers }: ModelSpec): ReadonlyMap<CanonicalName, readonly number[]> {
  const shapes = new Map<CanonicalName, readonly number[]>([["embed", [vocab, dim]]]);
  for (const [i, layer] of layers.entries()) {
    for (const [part, shape] of partShapes(layer, dim)) shapes.set(`layers.${i}.${part}`, shape);
  }
  return shapes.set("norm", [dim]).set("head", [vocab, dim]);
}

/** Whether a name is a vector's, a norm's weights or a bias: a few numbers each. */
export function isVector(name: CanonicalName): boolean {
  return name.endsWith("norm") || name.endsWith("_bias");
}

/** Number of elements of a shape. */
export function elements(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** Throws a `UserError` naming file and tensor when the stored shape is not the one the config asks for. */
export function checkShape(where: string, tensor: string, expected: readonly number[], got: readonly number[]): void {
  if (expected.length !== got.length || expected.some((size, axis) => size !== got[axis])) {
    throw new UserError(
      `${where}: tensor "${tensor}": expected shape [${expected.join(", ")}], got [${got.join(", ")}]`,
    );
  }
}

/** Looks a canonical name up; asking for one that the config does not have is a defect of the caller. */
export function lookup(tensors: ReadonlyMap<CanonicalName, WeightTensor>, name: CanonicalName): WeightTensor {
  const found = tensors.get(name);
  if (found === undefined) throw new RangeError(`no weight is called "${name}" in this model`);
  return found;
}

/** The bytes of a tensor as typed numbers. Little-endian, as every supported platform is. */
export function typed(bytes: Uint8Array<ArrayBuffer>, dtype: WeightDType): WeightData {
  return dtype === "f32"
    ? new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4)
    : new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2);
}
