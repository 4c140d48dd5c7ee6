/**
 * Tensors in device memory.
 *
 * A tensor is a range of a GPU buffer with a shape, an element type and a name that every error about it carries. Buffers are padded to 16 bytes so that
 * kernels may load the tail as a vec4. Views share the buffer, and so do tensors that are made together, which a kernel can then bind as one.
 */

import { describe } from "../common/describe.ts";
import { UserError } from "../common/errors.ts";
import type { Device } from "../device/device.ts";
import { submitted, watched } from "../device/scopes.ts";
import { bytesOf, type DType } from "./dtype.ts";
import { encodeData, floatsOf } from "./encode.ts";
import {
  checkedLayout,
  checkedShape,
  checkOptions,
  type Layout,
  type ShapeLike,
  type TensorData,
  type TensorOptions,
} from "./layout.ts";
import { intoPanels } from "./panels.ts";
import { QUANT_BLOCK, quantiseBlocks } from "./quantise.ts";
import { type Chain, inPanels, isRange, readRanges, type TensorValues } from "./read.ts";
import { bytesOfTexture, newTexture, TEXEL_BYTES, WRITE_BYTES, writeTexels } from "./texture.ts";

export type { ShapeLike, TensorData, TensorOptions } from "./layout.ts";

/** Offsets of storage bindings are multiples of this on every device that we open. */
export const BINDING_ALIGNMENT = 256;
const USAGE = 128 | 4 | 8; // STORAGE | COPY_SRC | COPY_DST

/**
 * Allocates a tensor, filled with zeros or with `data`.
 * @throws UserError naming the tensor when its shape or data are wrong or it exceeds a limit. When memory runs out, reading it throws, and so does the next wait
 * for everything.
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
  readonly shape: ShapeLike;
  /** f32 unless told. */
  readonly dtype?: DType | undefined;
}

/**
 * Allocates tensors that share a GPU buffer (several, where it would exceed what the adapter allows), each a tensor like any other. Where an adapter binds
 * fewer buffers than a kernel has tensors, those of one buffer take one binding; they lie from small to large, so that the small ones are neighbours. The
 * memory is freed when the last of them is destroyed.
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

interface Ownership {
  live: boolean;
  release(): void;
}

function newBuffer(device: Device, what: string, label: string, size: number): GPUBuffer {
  const make = (): GPUBuffer => device.raw.createBuffer({ label, size, usage: USAGE });
  return watched(device, `${what} (${size} bytes)`, make, { touched: (made) => [made], lasting: true });
}

/** A tensor on a device, or a view of one. Made by `createTensor`. */
export class DeviceTensor {
  readonly device: Device;
  readonly shape: readonly number[];
  /** The names of the dimensions, where they were given. */
  readonly dims: readonly string[] | undefined;
  readonly dtype: DType;
  readonly label: string;
  /** Rows whose pieces lie side by side; 1 where row lies after row. */
  readonly panel: number;
  /** Texels in a row of its texture; undefined where it lies in a buffer. */
  readonly pitch: number | undefined;
  /** Where it lies. */
  readonly memory: GPUBuffer | GPUTexture;
  /** Bytes from the start of the buffer; a multiple of 256. */
  readonly offset: number;
  /** Bytes of the elements, without padding. */
  readonly bytes: number;
  /** Number of elements. */
  readonly length: number;
  readonly #state: Ownership;
  readonly #isView: boolean;

  constructor(device: Device, layout: Layout, state: Ownership, isView = false) {
    this.device = device;
    this.shape = layout.shape;
    this.dims = layout.dims;
    this.dtype = layout.dtype;
    this.label = layout.label;
    this.panel = layout.panel;
    this.pitch = layout.pitch;
    this.memory = layout.memory;
    this.offset = layout.offset;
    this.length = layout.shape.reduce((a, b) => a * b, 1);
    this.bytes = this.length * bytesOf(layout.dtype);
    this.#state = state;
    this.#isView = isView;
  }

  /** The buffer that it lies in. @throws Error where it lies in a texture. */
  get buffer(): GPUBuffer {
    if (this.pitch !== undefined) throw new Error(`${this.label} lies in a texture`);
    return this.memory as GPUBuffer;
  }

  /** The texture that it lies in, if it lies in one. */
  get texture(): GPUTexture | undefined {
    return this.pitch === undefined ? undefined : (this.memory as GPUTexture);
  }

  /** True until the tensor that owns the buffer is destroyed. */
  get live(): boolean {
    return this.#state.live;
  }

  /**
   * Queues a write: the whole tensor, or with `elementOffset` a part. Floats are rounded to f16 and bf16 (to nearest even).
   * f16 and bf16 are written in pairs, so a part must start at an even element and have an even length or reach the end; q8 and q4 in pairs of blocks, 64
   * elements, from floats; tensors in panels in whole panels; in textures 16 bytes or a multiple, of q8 and q4 256 elements.
   * @throws UserError when length or kind of the data do not fit.
   */
  write(data: TensorData, elementOffset?: number): void {
    this.#assertLive();
    const raw = data instanceof Uint8Array;
    if (elementOffset !== undefined && !Number.isSafeInteger(elementOffset))
      throw this.#error(`expected the number of an element to write from, got ${describe(elementOffset)}`);
    if (this.dtype === "q8" || this.dtype === "q4") {
      if (!raw)
        return this.#writeBlocks(
          floatsOf(data, (problem) => this.#error(problem)),
          this.dtype,
          elementOffset,
        );
      if (elementOffset !== undefined) throw this.#error("raw bytes of block formats are written whole");
    }
    const stored = encodeData(data, this.dtype, (problem) => this.#error(problem));
    const size = bytesOf(this.dtype);
    const start = elementOffset ?? 0;
    const count = stored.byteLength / size;
    const whole = elementOffset === undefined;
    if (whole ? count !== this.length : !isRange(start, count, this.length)) {
      const where = whole ? "" : ` from element ${start}`;
      throw this.#error(`expected ${whole ? "" : "at most "}${this.length} elements${where}, got ${count}`);
    }
    let bytes = new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength);
    if (this.panel > 1) {
      if (!inPanels(this, start, count))
        throw this.#error(`a write of panels is of whole ones, got ${count} from ${start}`);
      bytes = intoPanels(bytes, (this.shape.at(-1) ?? 1) * size, this.panel);
    }
    const at = this.offset + start * size;
    if (at % 4 !== 0) throw this.#error(`a write of ${this.dtype} starts at an even element, got ${start}`);
    if (bytes.length % 4 !== 0) {
      // Only the buffer's own tail may be overwritten with padding; elsewhere a neighbour's element lies there.
      if (this.#isView || start + count !== this.length) {
        throw this.#error(`a write of ${this.dtype} inside the tensor has an even length, got ${count}`);
      }
      const even = new Uint8Array(bytes.length + 2);
      even.set(bytes);
      bytes = even;
    }
    this.#put(bytes, at);
  }

  /** Elements and scales lie apart, so a part of a block format is two writes. */
  #writeBlocks(values: Float32Array, dtype: "q8" | "q4", elementOffset: number | undefined): void {
    const start = elementOffset ?? 0;
    const end = start + values.length;
    if (elementOffset === undefined ? end !== this.length : !isRange(start, values.length, this.length))
      throw this.#error(`expected ${this.length - start} elements from element ${start}, got ${values.length}`);
    // Whole words of scales, and of a texture whole texels.
    const unit = ((this.texture === undefined ? 4 : TEXEL_BYTES) / 2) * QUANT_BLOCK;
    if (start % unit !== 0 || (end % unit !== 0 && (end !== this.length || this.#isView)))
      throw this.#error(`a part is written in multiples of ${unit} elements, got ${start} to ${end}`);
    const { elements, scales } = quantiseBlocks(values, dtype);
    const per = dtype === "q8" ? 1 : 0.5;
    this.#put(elements, this.offset + start * per);
    const words = new Uint8Array(Math.ceil(scales.byteLength / 4) * 4);
    words.set(new Uint8Array(scales.buffer));
    this.#put(words, this.offset + this.length * per + (start / QUANT_BLOCK) * 2);
  }

  #put(bytes: Uint8Array<ArrayBuffer>, at: number): void {
    submitted(this.device, `writing tensor "${this.label}"`, [this.memory], () => this.#queue(bytes, at));
  }

  #queue(bytes: Uint8Array<ArrayBuffer>, at: number): void {
    const { queue } = this.device.raw;
    if (this.texture !== undefined) {
      // The texture is padded, too.
      const end = at + bytes.length >= this.offset + this.bytes;
      if (at % TEXEL_BYTES !== 0 || (bytes.length % TEXEL_BYTES !== 0 && (!end || this.#isView)))
        throw this.#error(
          `a write of a texture is of ${TEXEL_BYTES} bytes or a multiple, got ${bytes.length} from ${at}`,
        );
      if (bytes.length % TEXEL_BYTES === 0) return writeTexels(this.device, this.texture, bytes, at);
      const whole = new Uint8Array(Math.ceil(bytes.length / TEXEL_BYTES) * TEXEL_BYTES);
      whole.set(bytes);
      return writeTexels(this.device, this.texture, whole, at);
    }
    for (let from = 0; from < bytes.length; from += WRITE_BYTES) {
      queue.writeBuffer(this.buffer, at + from, bytes, from, Math.min(WRITE_BYTES, bytes.length - from));
    }
  }

  /** All elements, after all submitted work; f16 and bf16 decoded to f32. */
  async read(): Promise<TensorValues> {
    return this.readRange(0, this.length);
  }

  /**
   * `count` elements from element `start`, as they are now; of tensors in panels whole panels.
   * @throws UserError when the range leaves the tensor.
   */
  async readRange(start: number, count: number, chain?: Chain): Promise<TensorValues> {
    const [values] = await readRanges(this.device, [{ tensor: this, start, count }], chain);
    return values as TensorValues;
  }

  /** The same elements under another shape. */
  view(shape: ShapeLike): DeviceTensor {
    this.#assertLive();
    const { extents, dims, length } = checkedShape(`${this.#name()}: a view`, shape);
    if (length !== this.length) {
      throw this.#error(`a view has the same ${this.length} elements, got [${extents.join(", ")}] with ${length}`);
    }
    if (this.#blocks && (extents.at(-1) ?? 1) % QUANT_BLOCK !== 0)
      throw this.#error(
        `a view of ${this.dtype} has rows of whole blocks of ${QUANT_BLOCK}, got [${extents.join(", ")}]`,
      );
    if (this.panel > 1 && extents.at(-1) !== this.shape.at(-1))
      throw this.#error(`a view of panels has rows of ${this.shape.at(-1)}, got [${extents.join(", ")}]`);
    return this.#derive(extents, dims, this.offset);
  }

  /**
   * `count` entries of the leading dimension from entry `start`, as a view.
   * @throws UserError when the range leaves the tensor or does not start at a multiple of 256 bytes, where a binding must start; for tensors in textures, parts
   * of panels, and parts of q8 and q4, whose scales lie behind all elements.
   */
  slice(start: number, count: number): DeviceTensor {
    this.#assertLive();
    const [lead, ...rest] = this.shape;
    if (lead === undefined) throw this.#error("a tensor without dimensions has no slices");
    if (!isRange(start, count, lead))
      throw this.#error(`slice of ${describe(count)} from ${describe(start)} leaves the ${lead} entries`);
    if (this.pitch !== undefined) throw this.#error("a tensor in a texture is bound whole, and has no slices");
    if (this.#blocks && count !== lead)
      throw this.#error(
        `its scales lie behind all elements, so a part is no tensor of its own: ${this.dtype} has no slices`,
      );
    const offset = this.offset + (start * this.bytes) / lead;
    const each = this.length / lead;
    if (this.panel > 1 && !inPanels(this, start * each, count * each))
      throw this.#error(`a slice of panels is of whole ones, got ${count} from ${start}`);
    if (offset % BINDING_ALIGNMENT !== 0) {
      throw this.#error(
        `a slice starts at a multiple of ${BINDING_ALIGNMENT} bytes, but entry ${start} lies at byte ${offset}`,
      );
    }
    return this.#derive([count, ...rest], this.dims, offset);
  }

  /** Frees the memory. Views share it and do not own it: destroying a view does nothing. */
  destroy(): void {
    if (this.#isView || !this.#state.live) return;
    this.#state.live = false;
    this.#state.release();
  }

  #derive(shape: readonly number[], dims: readonly string[] | undefined, offset: number): DeviceTensor {
    const { dtype, label, panel, pitch, memory } = this;
    const layout = { shape, dims, dtype, label, panel, pitch, memory, offset };
    return new DeviceTensor(this.device, layout, this.#state, true);
  }

  get #blocks(): boolean {
    return this.dtype === "q8" || this.dtype === "q4";
  }

  #assertLive(): void {
    this.device.assertOpen();
    if (!this.#state.live) throw this.#error("it was destroyed");
  }

  #name(): string {
    return `tensor "${this.label}" [${this.shape.join(", ")}] ${this.dtype}`;
  }

  #error(problem: string): UserError {
    return new UserError(`${this.#name()}: ${problem}`);
  }
}
