/**
 * What a file is, from its first bytes, and what to do about one that is not what was wanted.
 *
 * A model that was not downloaded whole, or in another format, comes as one of a dozen things under the right name.
 * Every loader asks here before it complains, so that the complaint says what the file is and not which of its fields
 * looks odd.
 */
import { UserError } from "../../runtime/common/errors.ts";
import type { ByteSource } from "./bytes.ts";

export type FileKind =
  | "safetensors"
  | "gguf"
  | "ggml"
  | "zip"
  | "pickle"
  | "lfs-pointer"
  | "html"
  | "json"
  | "llama2.c"
  | "llama2.c-tokenizer"
  | "gzip"
  | "compressed"
  | "hdf5"
  | "numpy"
  | "text"
  | "empty"
  | "unknown";

export interface Sniffed {
  readonly kind: FileKind;
  /** A noun with its article, as in "a Git LFS pointer". */
  readonly what: string;
  /** What to do where this is not what was wanted. */
  readonly advice?: string;
}

/** So many bytes of a file tell all that `sniff` knows. */
export const SNIFF_BYTES = 1024;

/** Longest header the safetensors format allows. */
export const SAFETENSORS_HEADER_LIMIT = 100_000_000;
/** Beyond this a field of a llama2.c header is noise, not a size. */
export const LLAMA2C_LARGEST: number = 1 << 24;

const CONVERT = "convert it to safetensors first, in the framework that wrote it";
const UNPACK = "unpack it first";
const AGAIN = "download it again";

/** Tells what begins with these bytes; `name` is the file's name, which decides between readings of the same bytes. */
export function sniff(bytes: Uint8Array, name: string): Sniffed {
  if (bytes.byteLength === 0) return { kind: "empty", what: "an empty file", advice: AGAIN };
  return binary(bytes, name) ?? textual(bytes) ?? { kind: "unknown", what: unknown(bytes) };
}

/** The same for a file; reads no more than its beginning. */
export async function sniffSource(source: ByteSource): Promise<Sniffed> {
  return sniff(await source.read(0, Math.min(source.size, SNIFF_BYTES)), source.where);
}

/**
 * The error for a file that is not the `wanted` one (a noun with its article). `problem` is what its reader stumbled
 * over; it is said only of files whose kind is `own`, or nobody knows, since of any other the kind says more.
 */
export async function refusal(
  source: ByteSource,
  wanted: string,
  own: FileKind | undefined,
  problem: string,
): Promise<UserError> {
  const found = await sniffSource(source);
  if (found.kind === own || found.kind === "unknown") return new UserError(`${source.where}: ${problem}`);
  return mistaken(source.where, wanted, found);
}

/** The error for a file of a known kind that is not the wanted one. */
export function mistaken(where: string, wanted: string, { what, advice }: Sniffed): UserError {
  const hint = advice === undefined ? {} : { hint: advice };
  return new UserError(`${where}: expected ${wanted}, got ${what}`, hint);
}

type Magic = readonly [magic: readonly number[] | string, found: Sniffed];

const GGML = "re-export the model as safetensors: this format was given up long ago";
const MAGICS: readonly Magic[] = [
  ["GGUF", { kind: "gguf", what: "a GGUF file", advice: "GGUF is not supported yet: take the safetensors version" }],
  ["lmgg", { kind: "ggml", what: "a GGML file", advice: GGML }],
  ["fmgg", { kind: "ggml", what: "a GGML file (ggmf)", advice: GGML }],
  ["tjgg", { kind: "ggml", what: "a GGML file (ggjt)", advice: GGML }],
  ["algg", { kind: "ggml", what: "a GGML LoRA adapter (ggla)", advice: GGML }],
  ["nsgg", { kind: "ggml", what: "a saved session of llama.cpp (ggsn)", advice: "give the model itself" }],
  [[0x1f, 0x8b], { kind: "gzip", what: "a gzip archive", advice: UNPACK }],
  [[0x28, 0xb5, 0x2f, 0xfd], { kind: "compressed", what: "a Zstandard archive", advice: UNPACK }],
  [[0xfd, 0x37, 0x7a, 0x58, 0x5a, 0], { kind: "compressed", what: "an xz archive", advice: UNPACK }],
  ["BZh", { kind: "compressed", what: "a bzip2 archive", advice: UNPACK }],
  [[0x37, 0x7a, 0xbc, 0xaf, 0x27, 0x1c], { kind: "compressed", what: "a 7z archive", advice: UNPACK }],
  [[0x89, 0x48, 0x44, 0x46], { kind: "hdf5", what: "an HDF5 file, as Keras writes", advice: CONVERT }],
  [[0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59], { kind: "numpy", what: "a NumPy array", advice: CONVERT }],
];

function binary(bytes: Uint8Array, name: string): Sniffed | undefined {
  // safetensors first: the length in front of its header may begin like anything.
  if (isSafetensors(bytes)) {
    return { kind: "safetensors", what: "a safetensors file", advice: "give the folder that holds it" };
  }
  for (const [magic, found] of MAGICS) if (startsWith(bytes, magic)) return found;
  if (startsWith(bytes, "PK\u0003\u0004") || startsWith(bytes, "PK\u0005\u0006")) return archive(bytes, name);
  // Protocol 2 and newer say so; older ones are text, and nobody stores weights in them.
  if (bytes[0] === 0x80 && (bytes[1] ?? 0) >= 2 && (bytes[1] ?? 0) <= 5) {
    const advice = `${CONVERT}; opening one can run any code`;
    return { kind: "pickle", what: "a Python pickle, as old PyTorch checkpoints are", advice };
  }
  if (startsWith(bytes.subarray(257), "ustar")) return { kind: "compressed", what: "a tar archive", advice: UNPACK };
  if (isLlama2c(bytes)) return { kind: "llama2.c", what: "a llama2.c checkpoint", advice: "give the file itself" };
  if (isLlama2cTokenizer(bytes)) {
    return {
      kind: "llama2.c-tokenizer",
      what: "the tokenizer of a llama2.c model",
      advice: "give the model beside it",
    };
  }
  return undefined;
}

function archive(bytes: Uint8Array, name: string): Sniffed {
  const length = (bytes[26] ?? 0) | ((bytes[27] ?? 0) << 8);
  const first = latin1(bytes.subarray(30, 30 + length));
  if (first.endsWith(".npy")) return { kind: "zip", what: "NumPy arrays (npz)", advice: CONVERT };
  const torch = /\.pkl$|\/(data|version|byteorder)/.test(first) || /\.(bin|pth?|ckpt)$/.test(name);
  if (!torch) return { kind: "zip", what: "a zip archive", advice: UNPACK };
  return { kind: "zip", what: "a PyTorch checkpoint (a zip with a pickle)", advice: CONVERT };
}

function textual(bytes: Uint8Array): Sniffed | undefined {
  const text = utf8(bytes);
  if (text === undefined) return undefined;
  const begin = text.replace(/^\uFEFF/, "").trimStart();
  if (/^version https?:\/\/\S+\/spec\/v\d/.test(begin)) {
    const size = /^size (\d+)$/m.exec(begin)?.[1];
    const of = size === undefined ? "" : ` in place of a file of ${size} bytes`;
    return {
      kind: "lfs-pointer",
      what: `a Git LFS pointer${of}`,
      advice: "fetch what it stands for: run `git lfs pull` in its folder",
    };
  }
  if (/^<(!doctype|html|head|body|\?xml|error|!--)/i.test(begin)) {
    return {
      kind: "html",
      what: "an HTML or XML page",
      advice: `${AGAIN}: this is a web page, perhaps a log-in or an error`,
    };
  }
  if (/^(\{\s*(["}]|$)|\[\s*(["{}[\]\d-]|true|false|null|$))/.test(begin)) return { kind: "json", what: "a JSON file" };
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what tells other bytes from text
  if (/[\0-\x08\x0e-\x1a\x1c-\x1f]/.test(text)) return undefined;
  // A few letters are anything.
  if (bytes.byteLength < 8) return undefined;
  const line = begin.split(/[\r\n]/, 1)[0] ?? "";
  return { kind: "text", what: `a text that begins ${JSON.stringify(line.slice(0, 40))}` };
}

function unknown(bytes: Uint8Array): string {
  if (bytes.every((byte) => byte === 0)) return "nothing but zeros at its beginning, as of a download that broke off";
  const hex = [...bytes.subarray(0, 8)].map((byte) => byte.toString(16).padStart(2, "0"));
  return `a file of no known kind (it begins ${hex.join(" ")})`;
}

function isSafetensors(bytes: Uint8Array): boolean {
  if (bytes.byteLength < 9) return false;
  const length = viewOf(bytes).getBigUint64(0, true);
  return length >= 2n && length <= BigInt(SAFETENSORS_HEADER_LIMIT) && bytes[8] === 0x7b;
}

/** Version 1 and newer have a magic number; version 0 is known by seven sizes that fit together. */
function isLlama2c(bytes: Uint8Array): boolean {
  if (startsWith(bytes, "24ka")) return true;
  if (bytes.byteLength < 28) return false;
  const view = viewOf(bytes);
  const [dim = 0, ff = 0, layers = 0, heads = 0, groups = 0, vocab = 0, context = 0] = Array.from(
    { length: 7 },
    (_, i) => view.getInt32(4 * i, true),
  );
  const sizes = [dim, ff, layers, heads, groups, Math.abs(vocab), context];
  if (sizes.some((size) => size < 1 || size > LLAMA2C_LARGEST)) return false;
  return dim % heads === 0 && (dim / heads) % 2 === 0 && heads % groups === 0;
}

/** The longest piece's length, then the first piece: a score, a length, and the name of the unknown token. */
function isLlama2cTokenizer(bytes: Uint8Array): boolean {
  return bytes.byteLength >= 17 && viewOf(bytes).getInt32(8, true) === 5 && startsWith(bytes.subarray(12), "<unk>");
}

function startsWith(bytes: Uint8Array, magic: readonly number[] | string): boolean {
  const codes = typeof magic === "string" ? [...magic].map((c) => c.charCodeAt(0)) : magic;
  return bytes.byteLength >= codes.length && codes.every((code, i) => bytes[i] === code);
}

/** The bytes as text; undefined where they are none. A character that is cut off at the end does not count. */
function utf8(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes, { stream: true });
  } catch {
    return undefined;
  }
}

function latin1(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
