/**
 * What a tensor is made of: shape, element type and place, checked against what the device allows before anything is allocated.
 */
import type { Device } from "./device.ts";
import { bytesOf, type DType } from "./dtype.ts";
import { UserError } from "./errors.ts";
import { panelProblem } from "./panels.ts";
import { mostTexelBytes, pitchFor } from "./texture.ts";

/** Numbers for a tensor. A Uint8Array is always taken as raw little-endian bytes, a Uint16Array as raw bits of f16 or bf16. */
export type TensorData =
  | readonly number[]
  | Float32Array
  | Float64Array
  | Uint32Array
  | Int32Array
  | Uint16Array
  | Uint8Array;

/** Extents in order, or named: `{ heads: 4, dim: 64 }`. */
export type ShapeLike = readonly number[] | Readonly<Record<string, number>>;

/** Options of `createTensor`. */
export interface TensorOptions {
  readonly label?: string | undefined;
  readonly data?: TensorData | undefined;
  /** It may be longer than what the adapter binds at once: it is sliced, or only read, and then bound in parts. */
  readonly sliced?: boolean | undefined;
  /** Rows whose pieces lie side by side, see panels.ts; 1, row after row, unless given. Kernels may read such a tensor and not write it. */
  readonly panel?: number | undefined;
  /** It lies in a texture, see texture.ts. Kernels may read such a tensor and not write it. */
  readonly texture?: boolean | undefined;
}

/** Shape and padded size of a tensor that fits this device. */
export function checkedLayout(
  device: Device,
  shape: ShapeLike,
  dtype: DType,
  { label = "tensor", sliced = false, panel = 1, texture = false }: TensorOptions,
): Omit<Layout, "memory" | "offset"> & { readonly padded: number } {
  const dims = Array.isArray(shape) ? undefined : Object.keys(shape);
  const extents: readonly number[] = Array.isArray(shape) ? shape : Object.values(shape);
  const bad = extents.find((extent) => !Number.isSafeInteger(extent) || extent < 1);
  if (bad !== undefined) {
    throw new UserError(
      `tensor "${label}" [${extents.join(", ")}]: expected extents that are integers above 0, got ${bad}`,
    );
  }
  const padded = Math.ceil((extents.reduce((a, b) => a * b, 1) * bytesOf(dtype)) / 16) * 16;
  const last = extents.at(-1) ?? 0;
  if ((dtype === "q8" || dtype === "q4") && last % 32 !== 0) {
    throw new UserError(
      `tensor "${label}" [${extents.join(", ")}] ${dtype}: the last dim must be a multiple of 32, the block that shares a scale`,
    );
  }
  const problem = panel === 1 ? undefined : panelProblem(extents, dtype, panel);
  if (problem !== undefined) throw new UserError(`tensor "${label}" [${extents.join(", ")}] ${dtype}: ${problem}`);
  if (texture) {
    const pitch = pitchFor(device, padded);
    if (pitch !== undefined) return { shape: extents, dims, dtype, label, panel, padded, pitch };
    throw new UserError(
      `tensor "${label}" [${extents.join(", ")}] ${dtype} needs ${padded} bytes, but the largest texture of this adapter (${device.capabilities.name}) is ${mostTexelBytes(device)} bytes, rows filled`,
    );
  }
  const { bindingBytes, bufferBytes } = device.capabilities.limits;
  const [limit, kind] =
    sliced || bufferBytes < bindingBytes ? [bufferBytes, "buffer"] : [bindingBytes, "storage binding"];
  if (padded > limit) {
    throw new UserError(
      `tensor "${label}" [${extents.join(", ")}] ${dtype} needs ${padded} bytes, but the largest ${kind} of this adapter (${device.capabilities.name}) is ${limit} bytes`,
    );
  }
  return { shape: extents, dims, dtype, label, panel, padded, pitch: undefined };
}

/** How a tensor lies in memory. */
export interface Layout {
  readonly shape: readonly number[];
  readonly dims: readonly string[] | undefined;
  readonly dtype: DType;
  readonly label: string;
  readonly panel: number;
  /** Texels in a row of the texture, where it lies in one. */
  readonly pitch: number | undefined;
  readonly memory: GPUBuffer | GPUTexture;
  readonly offset: number;
}
