/**
 * What a comparison of an example kernel is made of: tensors with values, calls, and the numbers that must come out. It
 * needs no GPU.
 */
import { type DType, decodeBF16, decodeF16, encodeBF16, encodeF16 } from "../../runtime/memory/dtype.ts";
import { dequantise, quantise } from "../../runtime/memory/quantise.ts";

/** A tensor of a comparison: the numbers that its storage holds, or none where the kernel is to write them. */
export interface Given {
  readonly shape: readonly number[];
  readonly dtype: DType;
  readonly values: Float32Array | Uint32Array | Int32Array | undefined;
}

/** One call: the kernel's name, then names of tensors, and numbers for scalars. */
export type Call = readonly [kernel: string, ...args: (string | number)[]];

export interface Comparison {
  /** File in examples/kernels, or a file URL. */
  readonly file: string;
  readonly tensors: Readonly<Record<string, Given>>;
  readonly calls: readonly Call[];
  /** Numbers that tensors must hold afterwards. */
  readonly want: Readonly<Record<string, ArrayLike<number>>>;
  /** Largest difference, relative to the largest magnitude wanted (1e-5 unless told; 0 for integers). */
  readonly tolerance?: number;
  /**
   * Feature level L0 makes more barriers of it than lavapipe compiles in a minute: there, only SwiftShader runs that
   * feature level.
   */
  readonly manyBarriers?: boolean;
}

/** A tensor with values, rounded to what `dtype` can hold. */
export function given(shape: readonly number[], values: ArrayLike<number>, dtype: DType = "f32"): Given {
  const f32 = Float32Array.from(values);
  const rounded = (): Given["values"] => {
    if (dtype === "u32") return Uint32Array.from(values);
    if (dtype === "i32") return Int32Array.from(values);
    if (dtype === "f16") return decodeF16(encodeF16(f32));
    if (dtype === "bf16") return decodeBF16(encodeBF16(f32));
    return dtype === "f32" ? f32 : dequantise(quantise(f32, dtype), f32.length, dtype);
  };
  return { shape, dtype, values: rounded() };
}

/** A tensor that the kernels are to write. */
export function blank(shape: readonly number[], dtype: DType = "f32"): Given {
  return { shape, dtype, values: undefined };
}
