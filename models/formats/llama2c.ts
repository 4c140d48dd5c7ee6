/**
 * llama2.c checkpoints: the float formats of that project's export script, version 0 (legacy) and version 1.
 *
 * Both are a few integers followed by f32 tensors in a fixed order, so the length of the file must come out exactly.
 * Version 0 groups every tensor over the layers and ends with two frequency tables nobody reads; version 1 puts the
 * norms first. RoPE pairs lie side by side there; q and k are put in rotate-half order when they are read. Epsilon and
 * base are constants of that project's training script.
 */

import { UserError } from "../../runtime/common/errors.ts";
import { type LlamaDims, llamaSpec } from "../config/families/llama.ts";
import type { ModelSpec } from "../config/spec.ts";
import type { LayerPart } from "../config/weight-map.ts";
import type { ByteSource, Folder } from "../io/bytes.ts";
import { fileBytes, folderOf } from "../io/node.ts";
import { LLAMA2C_LARGEST, refusal } from "../io/sniff.ts";
import { loadLlama2cTokenizer } from "../tokenizers/llama2c.ts";
import type { Tokenizer } from "../tokenizers/tokenizer.ts";
import {
  type CanonicalName,
  canonicalShapes,
  elements,
  lookup,
  type ModelSource,
  typed,
  type WeightTensor,
} from "../weights/source.ts";
import { halvesFromPairs } from "./rotary.ts";

/** "ak42", little-endian. */
const MAGIC = 0x616b3432;
const LEGACY_HEADER = 28;
const V1_HEADER = 256;
type Header = {
  readonly dims: LlamaDims;
  readonly config: ModelSpec;
  readonly bytes: number;
  readonly legacy: boolean;
};
const FIELDS = ["dim", "hidden_dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "max_seq_len"] as const;

type Section = LayerPart | "embed" | "norm" | "head" | "frequencies";

const PROJECTIONS = ["q", "k", "v", "o"] as const;
const FEED_FORWARD = ["gate", "down", "up"] as const;
const LEGACY_ORDER: readonly Section[] = [
  "embed",
  "attention_norm",
  ...PROJECTIONS,
  "ffn_norm",
  ...FEED_FORWARD,
  "norm",
  "frequencies",
  "head",
];
const V1_ORDER: readonly Section[] = [
  "attention_norm",
  "ffn_norm",
  "norm",
  "embed",
  ...PROJECTIONS,
  ...FEED_FORWARD,
  "head",
];

/**
 * Opens a `.bin` of version 0 or 1. Throws a `UserError` for another version or a length that does not match the
 * header.
 */
export async function openLlama2c(file: string): Promise<ModelSource> {
  const { folder, name } = folderOf(file);
  return openLlama2cBytes(await fileBytes(file), (config) => findTokenizer(folder, name, config));
}

/** The same in a folder that may lie in memory or on a web server. */
export async function openLlama2cIn(folder: Folder, name: string): Promise<ModelSource> {
  const source = await folder.open(name);
  if (source === undefined) throw new UserError(`${folder.path(name)}: no such file`);
  return openLlama2cBytes(source, (config) => findTokenizer(folder, name, config));
}

/** The same from any bytes, with the tokenizer found by the caller. */
export async function openLlama2cBytes(
  source: ByteSource,
  findTokenizer: (config: ModelSpec) => Promise<Tokenizer>,
): Promise<ModelSource> {
  const header = await readHeader(source);
  const { config } = header;
  const tensors = place(source, header);
  let tokenizer: Promise<Tokenizer> | undefined;
  return {
    config,
    where: source.where,
    notes: [],
    tokenizer(): Promise<Tokenizer> {
      tokenizer ??= findTokenizer(config);
      return tokenizer;
    },
    tensor: (name) => lookup(tensors, name),
  };
}

async function readHeader(source: ByteSource): Promise<Header> {
  const { where, size } = source;
  const refuse = async (problem: string): Promise<never> => {
    throw await refusal(source, "a llama2.c checkpoint", "llama2.c", problem);
  };
  if (size < LEGACY_HEADER) {
    return refuse(`truncated: expected a llama2.c header of ${LEGACY_HEADER} bytes, got ${size}`);
  }
  const bytes = await source.read(0, Math.min(size, V1_HEADER));
  const view = new DataView(bytes.buffer);
  const legacy = view.getUint32(0, true) !== MAGIC;
  if (!legacy) {
    const version = view.getInt32(4, true);
    if (version !== 1) return refuse(`llama2.c version ${version} is not supported; expected version 0 or 1 (f32)`);
    if (size < V1_HEADER) {
      return refuse(`truncated: expected a llama2.c header of ${V1_HEADER} bytes, got ${size}`);
    }
  }
  const at = legacy ? 0 : 8;
  // In version 0 a negative vocabulary says that the output matrix is stored separately.
  const tied = legacy ? view.getInt32(20, true) > 0 : view.getUint8(36) !== 0;
  if (legacy && !tied) view.setInt32(20, -view.getInt32(20, true), true);
  const fields = FIELDS.map((_, index) => view.getInt32(at + 4 * index, true));
  const odd = fields.findIndex((value) => value < 1 || value > LLAMA2C_LARGEST);
  if (odd >= 0) {
    const expected = `expected a plausible "${FIELDS[odd]}" in its header, got ${fields[odd]}`;
    return refuse(`not a llama2.c checkpoint: ${expected}`);
  }
  const [dim, ff, layers, heads, kvHeads, vocab, context] = fields as [
    number, number, number, number, number, number, number,
  ]; // biome-ignore format: seven numbers
  const headDim = dim / heads;
  if (!Number.isInteger(headDim) || headDim % 2 !== 0 || heads % kvHeads !== 0) {
    const sizes = `dim ${dim}, ${heads} heads and ${kvHeads} KV heads`;
    return refuse(`not a llama2.c checkpoint: ${sizes} do not fit together`);
  }
  const dims: LlamaDims = {
    name: (where.split(/[\\/]/).at(-1) ?? "").replace(/\.bin$/, ""),
    dim,
    heads,
    kvHeads,
    headDim,
    ff,
    layers,
    vocab,
    context,
    eps: 1e-5,
    ropeTheta: 10000,
    tied,
    bos: [1],
    // Training texts were joined by BOS alone, so it is BOS that ends a text; 2 is what the tokenizer calls EOS.
    eos: [1, 2],
  };
  const header = { dims, config: llamaSpec(dims), bytes: legacy ? LEGACY_HEADER : V1_HEADER, legacy };
  // Compared before anything is built for each of the layers that the header speaks of.
  const expected = fileBytesOf(header);
  if (size !== expected) {
    const what = size < expected ? "truncated" : "not the file its header describes";
    throw new UserError(`${where}: ${what}: expected ${expected} bytes for a llama2.c checkpoint, got ${size}`);
  }
  return header;
}

/** Bytes of a file with this header. */
function fileBytesOf({ dims, bytes, legacy }: Header): number {
  const { dim, ff, layers, heads, kvHeads, headDim, vocab, context, tied } = dims;
  const attention = 2 * dim * headDim * (heads + kvHeads);
  const each = 2 * dim + attention + 3 * dim * ff;
  const tables = legacy ? context * headDim : 0;
  return bytes + 4 * (layers * each + dim + (tied ? 1 : 2) * vocab * dim + tables);
}

/** Walks the sections in file order and notes where every tensor lies. */
function place(source: ByteSource, { dims, config, bytes, legacy }: Header): ReadonlyMap<CanonicalName, WeightTensor> {
  const shapes = canonicalShapes(config);
  const tensors = new Map<CanonicalName, WeightTensor>();
  let at = bytes;
  const add = (name: CanonicalName): void => {
    const shape = shapes.get(name) ?? [];
    tensors.set(name, weight(source, name, shape, at, dims));
    at += 4 * elements(shape);
  };
  for (const section of legacy ? LEGACY_ORDER : V1_ORDER) {
    if (section === "frequencies") at += 4 * dims.context * dims.headDim;
    else if (section === "embed" || section === "norm") add(section);
    else if (section !== "head") for (let i = 0; i < dims.layers; i++) add(`layers.${i}.${section}`);
    else if (!config.tied) add("head");
  }
  const embed = tensors.get("embed");
  if (config.tied && embed !== undefined) tensors.set("head", embed);
  // What is read where depends on this walk, and how much there is was computed in one go.
  if (source.size !== at) throw new RangeError(`the sections end at byte ${at} of ${source.size}`);
  return tensors;
}

function weight(
  source: ByteSource,
  name: CanonicalName,
  shape: readonly number[],
  at: number,
  dims: LlamaDims,
): WeightTensor {
  const rotary = name.endsWith(".q") || name.endsWith(".k");
  return {
    name,
    shape,
    dtype: "f32",
    async data() {
      const data = typed(await source.read(at, 4 * elements(shape)), "f32");
      return rotary ? halvesFromPairs(data, dims.headDim, dims.dim) : data;
    },
  };
}

/** The tokenizer beside a checkpoint: `tokenizer.bin`, or a `tok512.bin` with the right number of pieces. */
async function findTokenizer(folder: Folder, file: string, { vocab }: ModelSpec): Promise<Tokenizer> {
  const listed = (await folder.list()).filter((name) => /^tok(enizer.*|\d+)\.bin$/.test(name) && name !== file);
  // The name that carries the size first, then the usual one, also where nobody tells what there is.
  const names = new Set([`tok${vocab}.bin`, "tokenizer.bin", ...listed]);
  let failure: unknown;
  for (const name of names) {
    const source = name === file ? undefined : await folder.open(name);
    if (source === undefined) continue;
    try {
      return await loadLlama2cTokenizer(source, vocab);
    } catch (error) {
      failure ??= error;
    }
  }
  const where = folder.path(file);
  throw (
    failure ??
    new UserError(`${where}: no tokenizer beside it: expected tokenizer.bin or tok${vocab}.bin in ${folder.where}`, {
      hint: "token ids can be given instead of text",
    })
  );
}
