/**
 * Reading tensors back: any number of them, or parts of them, in as few submissions as possible, through pooled staging
 * buffers.
 */

import { blockOf, formatOf, inBlocks, scalesOf } from "../../compiler/ir/formats.ts";
import { describe } from "../common/describe.ts";
import { UserError } from "../common/errors.ts";
import type { Device } from "../device/device.ts";
import type { Pace } from "../device/pace.ts";
import { readBack } from "../device/read-back.ts";
import { owned } from "../device/scopes.ts";
import { bytesOf, type DType, decodeFloats } from "./dtype.ts";
import { fromPanels } from "./panels.ts";
import { bytesOfCodes, dequantiseBlocks } from "./quantise.ts";
import { copyRows, rowsAround } from "./texture.ts";

/** What `read` gives: Float32Array for the float types (decoded), Uint32Array and Int32Array for theirs. */
export type TensorValues = Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer> | Int32Array<ArrayBuffer>;

/** What reading needs to know of a tensor. */
export interface Readable {
  readonly device: Device;
  readonly label: string;
  readonly shape: readonly number[];
  readonly dtype: DType;
  readonly panel: number;
  readonly buffer: GPUBuffer;
  readonly texture: GPUTexture | undefined;
  readonly memory: GPUBuffer | GPUTexture;
  readonly offset: number;
  readonly length: number;
  readonly live: boolean;
}

const READ_BYTES: number = 64 << 20;

/** Reads several tensors with as few submissions as possible; results in the same order. */
export async function readMany(device: Device, tensors: readonly Readable[]): Promise<TensorValues[]> {
  return readRanges(
    device,
    tensors.map((tensor) => ({ tensor, start: 0, count: tensor.length })),
  );
}

interface Range {
  readonly tensor: Readable;
  readonly start: number;
  readonly count: number;
}

/**
 * Reads that follow each other, with work for the adapter under way while one of them is waited for, so that nobody
 * needs to look often.
 */
export interface Chain {
  /** The read before: nobody looks for this one until that is done. */
  readonly after: Promise<unknown> | undefined;
  /** How long the work of so many elements takes, kept by whoever reads. */
  readonly pace: Pace;
}

/**
 * Reads parts of tensors.
 * @throws what went wrong with these tensors (making them, writing them, kernels and plans that write them) since they
 *   were read before, and nobody else's failure.
 */
export async function readRanges(device: Device, ranges: readonly Range[], chain?: Chain): Promise<TensorValues[]> {
  device.assertOpen();
  const copies = ranges.map((range) => copyOf(device, range));
  const results: TensorValues[] = [];
  for (let next = 0; next < copies.length; ) {
    const batch: { readonly copy: Copy; readonly at: number }[] = [];
    let total = 0;
    for (let copy = copies[next]; copy !== undefined; copy = copies[next]) {
      if (batch.length > 0 && total + copy.bytes > READ_BYTES) break;
      batch.push({ copy, at: total });
      total += copy.bytes;
      next++;
    }
    const names = batch.map(({ copy }) => `"${copy.tensor.label}"`).join(", ");
    const mark = device.failures.mark();
    const { value: staging, verdict } = owned(device, `reading ${names}`, () => {
      const staging = device.takeStaging(total);
      const encoder = device.raw.createCommandEncoder();
      for (const { copy, at } of batch) {
        const { texture } = copy.tensor;
        for (const { source, bytes, to } of copy.pieces) {
          if (texture === undefined) encoder.copyBufferToBuffer(copy.tensor.buffer, source, staging, at + to, bytes);
          else copyRows(encoder, texture, source, bytes, staging, at + to);
        }
      }
      device.raw.queue.submit([encoder.finish()]);
      return staging;
    });
    const failure = async (): Promise<Error | undefined> => {
      await device.failures.settled();
      const memories = new Set(batch.map(({ copy }) => copy.tensor.memory));
      return device.failures.of(memories, mark) ?? (await verdict);
    };
    let whole = false;
    try {
      // Asking costs processor time, and before that nothing can have come.
      await chain?.after?.catch(() => {});
      const amount = batch.reduce((n, { copy }) => n + copy.count, 0);
      const work = chain === undefined ? `read ${Math.ceil(Math.log2(total))}` : { pace: chain.pace, amount };
      const bytes = await readBack(device, staging, total, work, failure);
      whole = true;
      for (const { copy, at } of batch) results.push(decode(copy, bytes, at, batch.length === 1));
    } finally {
      // After a failure nobody knows what state the buffer is in.
      if (whole) device.returnStaging(staging);
      else staging.destroy();
    }
  }
  return results;
}

/**
 * Bytes that lie side by side: what is copied of them (whole words; of a texture whole rows), where to, and where in
 * the copy they begin.
 */
interface Piece {
  readonly source: number;
  readonly bytes: number;
  readonly skip: number;
  readonly to: number;
}

/**
 * What is copied for a range: of the block formats whole blocks, their elements and, from behind all elements, their
 * scales.
 */
interface Copy extends Range {
  readonly pieces: readonly Piece[];
  /** In the staging buffer, a multiple of 16. */
  readonly bytes: number;
}

function copyOf(device: Device, { tensor, start, count }: Range): Copy {
  const { dtype, offset, length } = tensor;
  const what = `tensor "${tensor.label}" [${tensor.shape.join(", ")}] ${dtype}`;
  if (!tensor.live) throw new UserError(`${what}: it was destroyed`);
  if (tensor.device !== device) throw new UserError(`${what}: it lives on another device`);
  if (!isRange(start, count, length))
    throw new UserError(`${what}: a read of ${describe(count)} elements from ${describe(start)} leaves its ${length}`);
  if (tensor.panel > 1 && !inPanels(tensor, start, count))
    throw new UserError(`${what}: a read of panels is of whole ones, got ${count} from ${start}`);
  const pieces: Piece[] = [];
  let to = 0;
  const piece = (from: number, size: number): void => {
    const source = Math.floor(from / 4) * 4;
    const words = Math.ceil((from + size - source) / 4) * 4;
    const { skip, bytes } =
      tensor.texture === undefined ? { skip: 0, bytes: words } : rowsAround(tensor.texture, source, words);
    pieces.push({ source, bytes, skip: skip + from - source, to });
    to += Math.ceil(bytes / 16) * 16;
  };
  if (inBlocks(dtype)) {
    const format = formatOf(dtype);
    const { first, blocks, size } = blocksOf(dtype, start, count);
    const shared = 2 * scalesOf(format);
    piece(offset + bytesOfCodes(format, first * size), bytesOfCodes(format, blocks * size));
    if (format.layout === "planar") piece(offset + bytesOfCodes(format, length) + shared * first, shared * blocks);
  } else piece(offset + start * bytesOf(dtype), count * bytesOf(dtype));
  return { tensor, start, count, pieces, bytes: to };
}

/** The first of the blocks that elements lie in, their number, and the elements of each. */
function blocksOf(
  dtype: DType,
  start: number,
  count: number,
): { readonly first: number; readonly blocks: number; readonly size: number } {
  const size = blockOf(dtype);
  const first = Math.floor(start / size);
  return { first, blocks: Math.ceil((start + count) / size) - first, size };
}

/**
 * Stored bytes as numbers. Unless `own`, the result gets memory of its own, so that one tensor does not keep a whole
 * batch alive.
 */
function decode({ tensor, start, count, pieces }: Copy, staged: ArrayBuffer, at: number, own: boolean): TensorValues {
  const { dtype, panel, shape } = tensor;
  const places = pieces.map(({ to, skip }) => at + to + skip);
  const [place = 0, scales = 0] = places;
  if (inBlocks(dtype)) {
    const { first, blocks, size } = blocksOf(dtype, start, count);
    const all = size * blocks;
    const shared = pieces.length === 1 ? 0 : blocks * scalesOf(formatOf(dtype));
    const values = dequantiseBlocks(new Uint8Array(staged, place), new Uint16Array(staged, scales, shared), all, dtype);
    const skip = start - size * first;
    return count === all ? values : values.slice(skip, skip + count);
  }
  if (panel === 1) return numbersOf(dtype, staged, place, count, own);
  const stored = new Uint8Array(staged, place, count * bytesOf(dtype));
  const rows = fromPanels(stored, (shape.at(-1) ?? 1) * bytesOf(dtype), panel);
  return numbersOf(dtype, rows.buffer, 0, count, true);
}

function numbersOf(dtype: DType, bytes: ArrayBuffer, at: number, count: number, own: boolean): TensorValues {
  const { code, value, bits } = formatOf(dtype);
  if (code.kind === "float")
    return decodeFloats(bits === 16 ? new Uint16Array(bytes, at, count) : new Uint8Array(bytes, at, count), dtype);
  const Values = value === "f32" ? Float32Array : value === "u32" ? Uint32Array : Int32Array;
  const values = new Values(bytes, at, count);
  return own ? values : values.slice();
}

/** Are these elements whole panels? */
export function inPanels({ panel, shape }: Pick<Readable, "panel" | "shape">, start: number, count: number): boolean {
  const each = panel * (shape.at(-1) ?? 1);
  return start % each === 0 && count % each === 0;
}

/** Is this a part of so many elements, and not an empty one? */
export function isRange(start: number, count: number, length: number): boolean {
  return (
    Number.isSafeInteger(start) && Number.isSafeInteger(count) && start >= 0 && count >= 1 && start + count <= length
  );
}
