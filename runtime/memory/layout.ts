/**
 * What a tensor is made of: shape, element type and place, checked against what the device allows before anything is
 * allocated.
 */
import { blockOf, isFormat } from "../../compiler/ir/formats.ts";
import { awaitHint, describe, listed } from "../common/describe.ts";
import { UserError } from "../common/errors.ts";
import type { Device } from "../device/device.ts";
import { bytesOf, DTYPES, type DType } from "./dtype.ts";
import { panelProblem } from "./panels.ts";
import { mostTexelBytes, pitchFor } from "./texture.ts";

/**
 * Numbers for a tensor. A Uint8Array is always taken as raw little-endian bytes, a Uint16Array as raw bits of f16 or
 * bf16.
 */
export type TensorData =
  | readonly number[]
  | Float32Array
  | Float64Array
  | Uint32Array
  | Int32Array
  | Uint16Array
  | Uint8Array
  | Float16Data;

/** A Float16Array, in runtimes that have one; told by what it is, since older libraries of types do not know it. */
export interface Float16Data extends ArrayBufferView {
  /** What it is told by. */
  readonly [Symbol.toStringTag]: "Float16Array";
  /** Number of elements. */
  readonly length: number;
  /** An element, by its number. */
  readonly [index: number]: number;
}

/** Extents in order, or named: `{ heads: 4, dim: 64 }`. */
export type ShapeLike = readonly number[] | Readonly<Record<string, number>>;

/** Options of `createTensor`. */
export interface TensorOptions {
  /** Name in messages. */
  readonly label?: string | undefined;
  /** Its elements in row-major order; zeros unless given. */
  readonly data?: TensorData | undefined;
  /** It may be longer than what the adapter binds at once: it is sliced, or only read, and then bound in parts. */
  readonly sliced?: boolean | undefined;
  /**
   * Rows whose pieces lie side by side, see panels.ts; 1, row after row, unless given. Kernels may read such a tensor
   * and not write it.
   */
  readonly panel?: number | undefined;
  /** It lies in a texture, see texture.ts. Kernels may read such a tensor and not write it. */
  readonly texture?: boolean | undefined;
}

/** Elements that a tensor may have: kernels count them in 32 bits. */
const MOST_ELEMENTS = 2 ** 32 - 1;

/** What options of tensors are, by `typeof`; `data` is checked when it is written. */
const OPTIONS: Readonly<Record<keyof TensorOptions, string | undefined>> = {
  label: "string",
  data: undefined,
  sliced: "boolean",
  panel: "number",
  texture: "boolean",
};

/**
 * Options as they were passed, checked.
 * @param more names that may stand among them.
 * @throws UserError for what is no object of options, for unknown ones and for values of another type.
 */
export function checkOptions(
  what: string,
  options: unknown,
  more: readonly string[] = [],
): asserts options is TensorOptions {
  if (typeof options !== "object" || options === null || Array.isArray(options) || ArrayBuffer.isView(options)) {
    const hint = Array.isArray(options) || ArrayBuffer.isView(options) ? { hint: "numbers go into { data: … }" } : {};
    throw new UserError(`${what}: expected an object of options, got ${describe(options)}`, hint);
  }
  for (const [name, value] of Object.entries(options)) {
    if (more.includes(name)) continue;
    if (!Object.hasOwn(OPTIONS, name))
      throw new UserError(`${what}: no option "${name}"; there are ${[...more, ...Object.keys(OPTIONS)].join(", ")}`);
    const type = OPTIONS[name as keyof TensorOptions];
    if (type !== undefined && value !== undefined && typeof value !== type)
      throw new UserError(`${what}: option "${name}" expected a ${type}, got ${describe(value)}`);
  }
}

/** A dtype as it was passed. @throws UserError with those that there are. */
export function checkDType(what: string, dtype: unknown): asserts dtype is DType {
  if (!isFormat(dtype)) throw new UserError(`${what}: expected a dtype (${DTYPES.join(", ")}), got ${describe(dtype)}`);
}

/** A shape as it was passed: extents, and names where there are any. @throws UserError naming what is wrong with it. */
export function checkedShape(
  what: string,
  shape: unknown,
): { readonly extents: readonly number[]; readonly dims: readonly string[] | undefined; readonly length: number } {
  if (typeof shape !== "object" || shape === null || ArrayBuffer.isView(shape) || !isPlain(shape)) {
    throw new UserError(
      `${what}: expected a shape, such as [2, 3] or { rows: 2, columns: 3 }, got ${describe(shape)}`,
      awaitHint(shape),
    );
  }
  const dims = Array.isArray(shape) ? undefined : Object.keys(shape);
  const unnamed = dims?.find((name) => !NAME.test(name));
  if (unnamed !== undefined) throw new UserError(`${what}: ${JSON.stringify(unnamed)} is no name of a dim`);
  // A copy, which nobody changes later; and `from`, since holes must not be skipped.
  const extents: number[] = Array.isArray(shape) ? Array.from(shape) : Object.values(shape);
  const at = extents.findIndex((extent) => !(Number.isSafeInteger(extent) && extent >= 1));
  if (at >= 0) {
    const where = dims === undefined ? "" : ` for "${dims[at]}"`;
    throw new UserError(
      `${what} ${listed(extents)}: expected extents that are integers above 0, got ${describe(extents[at])}${where}`,
    );
  }
  const length = extents.reduce((a, b) => a * b, 1);
  return { extents, dims, length };
}

/** An array, or an object whose keys are dims. */
function isPlain(shape: object): boolean {
  if (Array.isArray(shape)) return true;
  const prototype: unknown = Object.getPrototypeOf(shape);
  return prototype === null || prototype === Object.prototype || Object.getPrototypeOf(prototype) === null;
}

const NAME = /^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u;

/**
 * Shape and padded size of a tensor that fits this device.
 * @throws UserError for a shape, a dtype or options that are none, and for what the device or kernels cannot hold.
 */
export function checkedLayout(
  device: Device,
  shape: ShapeLike,
  dtype: DType,
  { label = "tensor", sliced = false, panel = 1, texture = false }: TensorOptions,
): Omit<Layout, "memory" | "offset"> & { readonly padded: number } {
  const named = `tensor "${label}"`;
  const { extents, dims, length } = checkedShape(named, shape);
  checkDType(`${named} [${extents.join(", ")}]`, dtype);
  if (length > MOST_ELEMENTS) {
    const shown = dims === undefined ? extents.join(", ") : dims.map((d, i) => `${d} ${extents[i]}`).join(", ");
    throw new UserError(
      `${named} [${shown}] ${dtype}: ${extents.join(" x ")} are ${length} elements, and kernels count them in 32 bits, up to ${MOST_ELEMENTS}`,
      { hint: "split it along its first dim" },
    );
  }
  const padded = Math.ceil((length * bytesOf(dtype)) / 16) * 16;
  const block = blockOf(dtype);
  if ((extents.at(-1) ?? 0) % block !== 0) {
    throw new UserError(
      `tensor "${label}" [${extents.join(", ")}] ${dtype}: the last dim must be a multiple of ${block}, the block that shares a scale`,
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
  /** Elements along each dim, the last one contiguous. */
  readonly shape: readonly number[];
  /** Names of the dims, where they were given. */
  readonly dims: readonly string[] | undefined;
  /** Storage format of the elements. */
  readonly dtype: DType;
  /** Name in messages. */
  readonly label: string;
  /** Rows whose pieces lie side by side; 1 where row lies after row. */
  readonly panel: number;
  /** Texels in a row of the texture, where it lies in one. */
  readonly pitch: number | undefined;
  /** The buffer or the texture that it lies in. */
  readonly memory: GPUBuffer | GPUTexture;
  /** Bytes from the start of the buffer. */
  readonly offset: number;
}
