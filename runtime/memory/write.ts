/**
 * Writing tensors: data that somebody passed, encoded as the tensor stores it, checked against what can be written of
 * it, and queued in pieces. Floats are rounded to f16 and bf16 (to nearest even); block formats take floats and are
 * quantised here.
 */
import { blockOf, formatOf, inBlocks, perWord, scalesOf } from "../../compiler/ir/formats.ts";
import { describe } from "../common/describe.ts";
import { UserError } from "../common/errors.ts";
import { submitted } from "../device/scopes.ts";
import { bytesOf } from "./dtype.ts";
import { encodeData, floatsOf } from "./encode.ts";
import type { TensorData } from "./layout.ts";
import { intoPanels } from "./panels.ts";
import { bytesOfCodes, quantiseBlocks } from "./quantise.ts";
import { inPanels, isRange, type Readable } from "./read.ts";
import { TEXEL_BYTES, WRITE_BYTES, writeTexels } from "./texture.ts";

/** What writing needs to know of a tensor. */
export interface Writable extends Readable {
  /** Bytes of the elements, without padding. */
  readonly bytes: number;
  /** It shares the memory of another: what lies behind it may be somebody's. */
  readonly isView: boolean;
}

/**
 * Queues a write of the whole tensor, or of the part from element `elementOffset` on; `DeviceTensor.write` says what
 * parts there are.
 * @throws UserError when length or kind of the data do not fit.
 */
export function writeTensor(t: Writable, data: TensorData, elementOffset?: number): void {
  const raw = data instanceof Uint8Array;
  if (elementOffset !== undefined && !Number.isSafeInteger(elementOffset))
    throw unfit(t, `expected the number of an element to write from, got ${describe(elementOffset)}`);
  if (inBlocks(t.dtype)) {
    if (!raw)
      return writeBlocks(
        t,
        floatsOf(data, (problem) => unfit(t, problem)),
        elementOffset,
      );
    if (elementOffset !== undefined) throw unfit(t, "raw bytes of block formats are written whole");
  }
  const stored = encodeData(data, t.dtype, (problem) => unfit(t, problem));
  const size = bytesOf(t.dtype);
  const start = elementOffset ?? 0;
  const count = stored.byteLength / size;
  const whole = elementOffset === undefined;
  if (whole ? count !== t.length : !isRange(start, count, t.length)) {
    const where = whole ? "" : ` from element ${start}`;
    throw unfit(t, `expected ${whole ? "" : "at most "}${t.length} elements${where}, got ${count}`);
  }
  let bytes = new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength);
  if (t.panel > 1) {
    if (!inPanels(t, start, count)) throw unfit(t, `a write of panels is of whole ones, got ${count} from ${start}`);
    bytes = intoPanels(bytes, (t.shape.at(-1) ?? 1) * size, t.panel);
  }
  const at = t.offset + start * size;
  const group = perWord(t.dtype) === 2 ? "an even element" : `a multiple of ${perWord(t.dtype)} elements`;
  if (at % 4 !== 0) throw unfit(t, `a write of ${t.dtype} starts at ${group}, got ${start}`);
  if (bytes.length % 4 !== 0) {
    // Only the buffer's own tail may be overwritten with padding; elsewhere a neighbour's element lies there.
    if (t.isView || start + count !== t.length) {
      const lengths = perWord(t.dtype) === 2 ? "an even length" : `a length that is a multiple of ${perWord(t.dtype)}`;
      throw unfit(t, `a write of ${t.dtype} inside the tensor has ${lengths}, got ${count}`);
    }
    const words = new Uint8Array(Math.ceil(bytes.length / 4) * 4);
    words.set(bytes);
    bytes = words;
  }
  put(t, bytes, at);
}

/** Elements and scales lie apart, so a part of a block format is two writes. */
function writeBlocks(t: Writable, values: Float32Array, elementOffset: number | undefined): void {
  const format = formatOf(t.dtype);
  const block = blockOf(t.dtype);
  const start = elementOffset ?? 0;
  const end = start + values.length;
  if (elementOffset === undefined ? end !== t.length : !isRange(start, values.length, t.length))
    throw unfit(t, `expected ${t.length - start} elements from element ${start}, got ${values.length}`);
  // Whole words of scales and elements, and of a texture whole texels.
  const whole = t.texture === undefined ? 4 : TEXEL_BYTES;
  const shared = 2 * scalesOf(format);
  const unit = (format.layout === "interleaved" ? 1 : Math.max(1, whole / shared)) * block;
  if (start % unit !== 0 || (end % unit !== 0 && (end !== t.length || t.isView)))
    throw unfit(t, `a part is written in multiples of ${unit} elements, got ${start} to ${end}`);
  const { elements, scales } = quantiseBlocks(values, t.dtype);
  put(t, elements, t.offset + bytesOfCodes(format, start));
  if (scales.length === 0) return;
  const words = new Uint8Array(Math.ceil(scales.byteLength / 4) * 4);
  words.set(new Uint8Array(scales.buffer));
  put(t, words, t.offset + bytesOfCodes(format, t.length) + (start / block) * shared);
}

function put(t: Writable, bytes: Uint8Array<ArrayBuffer>, at: number): void {
  submitted(t.device, `writing tensor "${t.label}"`, [t.memory], () => queue(t, bytes, at));
}

function queue(t: Writable, bytes: Uint8Array<ArrayBuffer>, at: number): void {
  if (t.texture !== undefined) {
    // The texture is padded, too.
    const end = at + bytes.length >= t.offset + t.bytes;
    if (at % TEXEL_BYTES !== 0 || (bytes.length % TEXEL_BYTES !== 0 && (!end || t.isView)))
      throw unfit(t, `a write of a texture is of ${TEXEL_BYTES} bytes or a multiple, got ${bytes.length} from ${at}`);
    if (bytes.length % TEXEL_BYTES === 0) return writeTexels(t.device, t.texture, bytes, at);
    const whole = new Uint8Array(Math.ceil(bytes.length / TEXEL_BYTES) * TEXEL_BYTES);
    whole.set(bytes);
    return writeTexels(t.device, t.texture, whole, at);
  }
  for (let from = 0; from < bytes.length; from += WRITE_BYTES) {
    t.device.raw.queue.writeBuffer(t.buffer, at + from, bytes, from, Math.min(WRITE_BYTES, bytes.length - from));
  }
}

function unfit(t: Writable, problem: string): UserError {
  return new UserError(`tensor "${t.label}" [${t.shape.join(", ")}] ${t.dtype}: ${problem}`);
}
