/**
 * Allocation: from shapes, element types and options to tensors, each in memory of its own or several in one GPU
 * buffer. Buffers are padded to 16 bytes so that kernels may load the tail as a vec4. The last tensor of a buffer that
 * is destroyed frees it.
 */
import { describe } from "../common/describe.ts";
import { UserError } from "../common/errors.ts";
import type { Device } from "../device/device.ts";
import { watched } from "../device/scopes.ts";
import type { DType } from "./dtype.ts";
import { checkedLayout, checkOptions, type ShapeLike, type TensorOptions } from "./layout.ts";
import { BINDING_ALIGNMENT, DeviceTensor, type Ownership } from "./tensor.ts";
import { bytesOfTexture, newTexture } from "./texture.ts";

const USAGE = 128 | 4 | 8; // STORAGE | COPY_SRC | COPY_DST

/**
 * Allocates a tensor, filled with zeros or with `data`.
 * @throws UserError naming the tensor when its shape or data are wrong or it exceeds a limit. When memory runs out,
 *   reading it throws, and so does the next wait for everything.
 */
export function createTensor(
  device: Device,
  shape: ShapeLike,
  dtype: DType,
  options: TensorOptions = {},
): DeviceTensor {
  checkOptions("a tensor", options);
  const { label = "tensor", data } = options;
  const { padded, ...layout } = checkedLayout(device, shape, dtype, options);
  const what = `tensor "${label}"`;
  const memory =
    layout.pitch === undefined
      ? newBuffer(device, what, label, padded)
      : newTexture(device, `${what} (${padded} bytes)`, label, padded, layout.pitch);
  const tensor = new DeviceTensor(device, { ...layout, memory, offset: 0 }, owner(device, memory, 1)());
  if (data !== undefined) {
    try {
      tensor.write(data);
    } catch (error) {
      tensor.destroy();
      throw error;
    }
  }
  return tensor;
}

/** One of several tensors that are made together. */
export interface TensorSpec extends Omit<TensorOptions, "sliced" | "texture"> {
  /** Extents in order, as [rows, k], or by name. */
  readonly shape: ShapeLike;
  /** f32 unless told. */
  readonly dtype?: DType | undefined;
}

/**
 * Allocates tensors that share a GPU buffer (several, where it would exceed what the adapter allows), each a tensor
 * like any other. Where an adapter binds fewer buffers than a kernel has tensors, those of one buffer take one binding;
 * they lie from small to large, so that the small ones are neighbours. The memory is freed when the last of them is
 * destroyed.
 * @throws UserError as `createTensor` does; then nothing stays allocated.
 */
export function createTensors<K extends string>(
  device: Device,
  specs: Readonly<Record<K, TensorSpec>>,
): Record<K, DeviceTensor> {
  if (typeof specs !== "object" || specs === null || Array.isArray(specs))
    throw new UserError(`tensors: expected { name: { shape, … } }, got ${describe(specs)}`);
  const names = Object.keys(specs) as K[];
  const parts = names.map((name) => {
    checkOptions(`tensor "${name}"`, specs[name], ["shape", "dtype"]);
    const { shape, dtype = "f32", label = name, data, panel, ...rest } = specs[name];
    // A buffer that several share is neither a texture nor longer than a binding.
    const alone = Object.entries(rest).find(([, value]) => value === true)?.[0];
    if (alone !== undefined)
      throw new UserError(`tensor "${name}": option "${alone}" is for tensors that are made alone`);
    return { name, data, layout: checkedLayout(device, shape, dtype, { label, panel }) };
  });
  parts.sort((a, b) => a.layout.padded - b.layout.padded);
  const buffers: { size: number; parts: { part: (typeof parts)[number]; offset: number }[] }[] = [];
  for (const part of parts) {
    const last = buffers.at(-1);
    const offset = Math.ceil((last?.size ?? 0) / BINDING_ALIGNMENT) * BINDING_ALIGNMENT;
    const size = offset + part.layout.padded;
    if (last !== undefined && size <= device.capabilities.limits.bufferBytes) {
      last.parts.push({ part, offset });
      last.size = size;
    } else buffers.push({ size: part.layout.padded, parts: [{ part, offset: 0 }] });
  }
  const made = new Map<K, DeviceTensor>();
  for (const { size, parts: inside } of buffers) {
    const label = inside.map((p) => p.part.layout.label).join(", ");
    const buffer = newBuffer(device, `tensors "${label}"`, label, size);
    const state = owner(device, buffer, inside.length);
    for (const { part, offset } of inside)
      made.set(part.name, new DeviceTensor(device, { ...part.layout, memory: buffer, offset }, state()));
  }
  try {
    for (const { name, data } of parts) if (data !== undefined) made.get(name)?.write(data);
  } catch (error) {
    for (const tensor of made.values()) tensor.destroy();
    throw error;
  }
  return Object.fromEntries(names.map((name) => [name, made.get(name)])) as Record<K, DeviceTensor>;
}

/** A live tensor's share of memory that `count` tensors own; the last one that goes frees it. */
function owner(device: Device, memory: GPUBuffer | GPUTexture, count: number): () => Ownership {
  const bytes = "size" in memory ? memory.size : bytesOfTexture(memory);
  device.allocated += bytes;
  return () => ({
    live: true,
    release(): void {
      count--;
      if (count > 0) return;
      memory.destroy();
      device.allocated = Math.max(0, device.allocated - bytes);
    },
  });
}

function newBuffer(device: Device, what: string, label: string, size: number): GPUBuffer {
  const make = (): GPUBuffer => device.raw.createBuffer({ label, size, usage: USAGE });
  return watched(device, `${what} (${size} bytes)`, make, { touched: (made) => [made], lasting: true });
}
