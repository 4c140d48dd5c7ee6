/**
 * Tensors in device memory.
 *
 * A tensor is a range of a GPU buffer, or a texture, with a shape, an element type and a name that every error about it
 * carries. Views share the memory, and so do tensors that are made together, which a kernel can then bind as one. Made
 * by create.ts, written by write.ts, read by read.ts.
 */

import { blockOf, inBlocks } from "../../compiler/ir/formats.ts";
import { describe } from "../common/describe.ts";
import { UserError } from "../common/errors.ts";
import type { Device } from "../device/device.ts";
import { bytesOf, type DType } from "./dtype.ts";
import { checkedShape, type Layout, type ShapeLike, type TensorData } from "./layout.ts";
import { type Chain, inPanels, isRange, readRanges, type TensorValues } from "./read.ts";
import { writeTensor } from "./write.ts";

/** Offsets of storage bindings are multiples of this on every device that we open. */
export const BINDING_ALIGNMENT = 256;

/** A live tensor's share of memory that several may own. */
export interface Ownership {
  /** The memory is still there. */
  live: boolean;
  /** Gives up the share; the last one frees the memory. */
  release(): void;
}

/** A tensor on a device, or a view of one. Made by `createTensor`. */
export class DeviceTensor {
  /** The device that it lives on. */
  readonly device: Device;
  /** Elements along each dim, the last one contiguous: [rows, k]. */
  readonly shape: readonly number[];
  /** The names of the dimensions, where they were given. */
  readonly dims: readonly string[] | undefined;
  /** Storage format of the elements. */
  readonly dtype: DType;
  /** Name in messages. */
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
  /** It shares the memory of another. */
  readonly isView: boolean;

  /**
   * Wraps memory that exists; `Gpu.tensor` allocates.
   * @param device where it lives
   * @param layout how it lies in memory
   * @param state its share of the memory
   * @param isView it shares the memory of another and does not own it
   */
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
    this.isView = isView;
  }

  /**
   * The buffer that it lies in.
   * @throws Error where it lies in a texture
   */
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
   * Queues a write: the whole tensor, or a part. Floats are rounded to f16 and bf16 (to nearest even). f16 and bf16
   * are written in pairs, so a part must start at an even element and have an even length or reach the end; q8 and q4
   * in pairs of blocks, 64 elements, from floats; tensors in panels in whole panels; in textures 16 bytes or a
   * multiple, of q8 and q4 256 elements.
   * @param data elements in row-major order, or raw bytes
   * @param elementOffset first element of the part; left out, `data` is the whole tensor
   * @throws UserError when length or kind of the data do not fit, and when the tensor was destroyed
   */
  write(data: TensorData, elementOffset?: number): void {
    this.#assertLive();
    writeTensor(this, data, elementOffset);
  }

  /** All elements, after all submitted work; f16 and bf16 decoded to f32. */
  async read(): Promise<TensorValues> {
    return this.readRange(0, this.length);
  }

  /**
   * Elements as they are now; of tensors in panels whole panels.
   * @param start first element
   * @param count how many
   * @param chain the read before this one, for reads that follow each other
   * @throws UserError when the range leaves the tensor
   */
  async readRange(start: number, count: number, chain?: Chain): Promise<TensorValues> {
    const [values] = await readRanges(this.device, [{ tensor: this, start, count }], chain);
    return values as TensorValues;
  }

  /**
   * The same elements under another shape.
   * @param shape extents in order, as [rows, k], or by name, with as many elements
   * @throws UserError where the number of elements differs, and where rows would not be whole blocks or panels
   */
  view(shape: ShapeLike): DeviceTensor {
    this.#assertLive();
    const { extents, dims, length } = checkedShape(`${this.#name()}: a view`, shape);
    if (length !== this.length) {
      throw this.#error(`a view has the same ${this.length} elements, got [${extents.join(", ")}] with ${length}`);
    }
    const block = blockOf(this.dtype);
    if ((extents.at(-1) ?? 1) % block !== 0)
      throw this.#error(`a view of ${this.dtype} has rows of whole blocks of ${block}, got [${extents.join(", ")}]`);
    if (this.panel > 1 && extents.at(-1) !== this.shape.at(-1))
      throw this.#error(`a view of panels has rows of ${this.shape.at(-1)}, got [${extents.join(", ")}]`);
    return this.#derive(extents, dims, this.offset);
  }

  /**
   * Entries of the leading dimension, as a view.
   * @param start first entry
   * @param count how many
   * @throws UserError when the range leaves the tensor or does not start at a multiple of 256 bytes, where a binding
   * must start; for tensors in textures, parts of panels, and parts of q8 and q4, whose scales lie behind all elements
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
    if (this.isView || !this.#state.live) return;
    this.#state.live = false;
    this.#state.release();
  }

  #derive(shape: readonly number[], dims: readonly string[] | undefined, offset: number): DeviceTensor {
    const { dtype, label, panel, pitch, memory } = this;
    const layout = { shape, dims, dtype, label, panel, pitch, memory, offset };
    return new DeviceTensor(this.device, layout, this.#state, true);
  }

  get #blocks(): boolean {
    return inBlocks(this.dtype);
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
