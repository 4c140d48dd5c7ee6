/**
 * safetensors: a JSON header and one run of raw tensors.
 *
 * Eight bytes give the length of the header, the header gives every tensor's dtype, shape and byte range, and the rest
 * is data. Reading opens the header only; a tensor's bytes are fetched when asked for. The checks follow the format's
 * own rules: the ranges must tile the data exactly, without gaps or overlap.
 */

import { UserError } from "../../runtime/common/errors.ts";
import { type ByteSource, message } from "../io/bytes.ts";
import { duplicateKey } from "../io/json.ts";
import { fileBytes, writeWhole } from "../io/node.ts";
import { refusal, SAFETENSORS_HEADER_LIMIT } from "../io/sniff.ts";

/** Bits of one element, by the format's own dtype names. */
const BITS = {
  F64: 64, I64: 64, U64: 64, C64: 64, F32: 32, I32: 32, U32: 32, F16: 16,
  BF16: 16, I16: 16, U16: 16, I8: 8, U8: 8, BOOL: 8,
  F8_E4M3: 8, F8_E5M2: 8, F8_E8M0: 8, F8_E4M3FNUZ: 8, F8_E5M2FNUZ: 8, F6_E2M3: 6, F6_E3M2: 6, F4: 4,
} as const; // biome-ignore format: a table

/** The dtypes that are known; a file may hold tensors of others, which count as so many bytes. */
export type SafetensorsDType = keyof typeof BITS;

export interface SafetensorsTensor {
  readonly name: string;
  /** A `SafetensorsDType`, or a name that is not known here. */
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Length of the data in bytes. */
  readonly byteLength: number;
  /** The raw little-endian bytes, read now; a fresh copy, aligned for every typed array. */
  bytes(): Promise<Uint8Array<ArrayBuffer>>;
  /** The same for `length` bytes from byte `start`. */
  part(start: number, length: number): Promise<Uint8Array<ArrayBuffer>>;
}

export interface SafetensorsFile {
  readonly where: string;
  /** The `__metadata__` strings. */
  readonly metadata: Readonly<Record<string, string>>;
  /** In the order of the header. */
  readonly tensors: ReadonlyMap<string, SafetensorsTensor>;
}

/** A tensor to write. `data` holds the elements in the dtype's own width (f16 and bf16 as raw bits). */
export interface SafetensorsInput {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data: ArrayBufferView;
}

/**
 * Opens a file (or bytes in memory) and reads its header. Throws a `UserError` naming the file, and the tensor where
 * there is one.
 */
export async function readSafetensors(from: string | ByteSource): Promise<SafetensorsFile> {
  const source = typeof from === "string" ? await fileBytes(from) : from;
  const { where, size } = source;
  const length = await headerLength(source);
  const header = parseHeader(await source.read(8, length), where);

  const start = 8 + length;
  const metadata: Record<string, string> = {};
  const tensors = new Map<string, SafetensorsTensor>();
  const ranges: Range[] = [];
  for (const [name, value] of Object.entries(header)) {
    if (name === "__metadata__") {
      Object.assign(metadata, parseMetadata(value, where));
      continue;
    }
    const entry = parseEntry(name, value, where);
    if (entry.end > size - start) {
      throw new UserError(
        `${where}: truncated: tensor "${name}" ends at byte ${start + entry.end}, but the file has ${size} bytes`,
      );
    }
    ranges.push({ name, begin: entry.begin, end: entry.end });
    const byteLength = entry.end - entry.begin;
    tensors.set(name, {
      name,
      dtype: entry.dtype,
      shape: entry.shape,
      byteLength,
      bytes: () => source.read(start + entry.begin, byteLength),
      part: (from, bytes) => source.read(start + entry.begin + from, bytes),
    });
  }
  checkTiling(ranges, size - start, where);
  return { where, metadata, tensors };
}

/** The length of the header, which fits the file. */
async function headerLength(source: ByteSource): Promise<number> {
  const { size } = source;
  const refuse = async (problem: string): Promise<never> => {
    throw await refusal(source, "a safetensors file", "safetensors", problem);
  };
  if (size < 8) return refuse(`truncated: expected at least 8 bytes of safetensors header, got ${size}`);
  const prefix = await source.read(0, Math.min(9, size));
  const length = new DataView(prefix.buffer).getBigUint64(0, true);
  if (length > SAFETENSORS_HEADER_LIMIT) {
    const announced = `its first 8 bytes announce a header of ${length} bytes (at most ${SAFETENSORS_HEADER_LIMIT})`;
    return refuse(`not a safetensors file: ${announced}`);
  }
  if (8 + Number(length) > size) {
    return refuse(`truncated header: expected ${8 + Number(length)} bytes at least, got ${size}`);
  }
  if (length === 0n || prefix[8] !== 0x7b) return refuse('not a safetensors file: its header does not begin with "{"');
  return Number(length);
}

/** Writes the tensors to `path`, whole or not at all. Throws a `UserError` naming the path when the disk refuses. */
export async function writeSafetensors(
  path: string,
  tensors: Readonly<Record<string, SafetensorsInput>>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  await writeWhole(path, layout(tensors, metadata));
}

/** The same file in memory. */
export function encodeSafetensors(
  tensors: Readonly<Record<string, SafetensorsInput>>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array<ArrayBuffer> {
  const parts = layout(tensors, metadata);
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.byteLength;
  }
  return out;
}

/** The pieces of a file in order: header, then the tensors, widest elements first so that each starts aligned. */
function layout(
  tensors: Readonly<Record<string, SafetensorsInput>>,
  metadata: Readonly<Record<string, string>>,
): Uint8Array[] {
  const ordered = Object.entries(tensors).sort(([, a], [, b]) => bitsOf(b.dtype) - bitsOf(a.dtype));
  const header: [string, unknown][] = Object.keys(metadata).length === 0 ? [] : [["__metadata__", metadata]];
  const parts: Uint8Array[] = [];
  let at = 0;
  for (const [name, { dtype, shape, data }] of ordered) {
    const expected = bytesOf(shape, bitsOf(dtype));
    if (data.byteLength !== expected) {
      throw new RangeError(
        `tensor "${name}": ${dtype} [${shape.join(", ")}] takes ${expected} bytes, got ${data.byteLength}`,
      );
    }
    header.push([name, { dtype, shape, data_offsets: [at, at + expected] }]);
    parts.push(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    at += expected;
  }
  let text = new TextEncoder().encode(JSON.stringify(Object.fromEntries(header)));
  const padded = new Uint8Array(8 + Math.ceil(text.byteLength / 8) * 8).fill(0x20);
  new DataView(padded.buffer).setBigUint64(0, BigInt(padded.byteLength - 8), true);
  padded.set(text, 8);
  text = padded;
  return [text, ...parts];
}

function bitsOf(dtype: string): number {
  if (!isDType(dtype)) throw new RangeError(`unknown dtype "${dtype}"; known are ${Object.keys(BITS).join(", ")}`);
  return BITS[dtype];
}

function bytesOf(shape: readonly number[], bits: number): number {
  return shape.includes(0) ? 0 : shape.reduce((product, size) => product * size, 1) * (bits / 8);
}

type Range = { readonly name: string; readonly begin: number; readonly end: number };

function checkTiling(ranges: Range[], size: number, where: string): void {
  ranges.sort((a, b) => a.begin - b.begin || a.end - b.end);
  let at = 0;
  let before = "";
  for (const { name, begin, end } of ranges) {
    if (begin < at)
      throw new UserError(
        `${where}: tensors "${before}" and "${name}" overlap (the second begins at ${begin}, the first ends at ${at})`,
      );
    if (begin > at)
      throw new UserError(
        `${where}: tensor "${name}" begins at data byte ${begin}, expected ${at}: the bytes between belong to no tensor`,
      );
    at = end;
    before = name;
  }
  if (at !== size) throw new UserError(`${where}: expected ${at} bytes of data as the header says, got ${size}`);
}

function parseHeader(bytes: Uint8Array, where: string): Readonly<Record<string, unknown>> {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new UserError(`${where}: not a safetensors file: its header is not UTF-8`, { cause });
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new UserError(`${where}: not a safetensors file: its header is not JSON (${message(cause)})`, { cause });
  }
  if (!isRecord(value)) throw new UserError(`${where}: not a safetensors file: its header is not a JSON object`);
  // JSON.parse keeps the last of several, and the bytes of the others would belong to nobody.
  const twice = duplicateKey(text);
  if (twice !== undefined) throw new UserError(`${where}: the header has the key "${twice}" twice in one object`);
  return value;
}

function parseMetadata(value: unknown, where: string): Record<string, string> {
  const out: Record<string, string> = {};
  if (!isRecord(value)) throw new UserError(`${where}: "__metadata__": expected an object of strings`);
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== "string") throw new UserError(`${where}: "__metadata__.${key}": expected a string`);
    out[key] = text;
  }
  return out;
}

function parseEntry(
  name: string,
  value: unknown,
  where: string,
): { dtype: string; shape: number[]; begin: number; end: number } {
  const fail = (what: string): never => {
    throw new UserError(`${where}: tensor "${name}": ${what}`);
  };
  if (!isRecord(value)) return fail("expected {dtype, shape, data_offsets}");
  const { dtype, shape, data_offsets: offsets } = value;
  if (typeof dtype !== "string") return fail(`expected "dtype" to be a name, got ${JSON.stringify(dtype)}`);
  if (!isCounts(shape)) return fail(`expected "shape" to be a list of sizes, got ${JSON.stringify(shape)}`);
  if (!isCounts(offsets) || offsets.length !== 2)
    return fail(`expected "data_offsets" to be [begin, end], got ${JSON.stringify(offsets)}`);
  const [begin = 0, end = 0] = offsets;
  // Of a dtype that came after this was written only the place is known, which is enough where nobody reads it.
  if (!isDType(dtype)) {
    return end < begin ? fail(`data_offsets [${begin}, ${end}] run backwards`) : { dtype, shape, begin, end };
  }
  const expected = bytesOf(shape, BITS[dtype]);
  if (end - begin !== expected) {
    return fail(
      `${dtype} [${shape.join(", ")}] takes ${expected} bytes, but data_offsets [${begin}, ${end}] hold ${end - begin}`,
    );
  }
  return { dtype, shape, begin, end };
}

function isDType(value: string): value is SafetensorsDType {
  return Object.hasOwn(BITS, value);
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && item >= 0);
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
