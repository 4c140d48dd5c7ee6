/**
 * A Llama as an ONNX graph, written the way ONNX Runtime runs it fastest: its own fused operators where it has them
 * (attention with RoPE and cache in one, norm with residual in one, 4-bit products), plain products else.
 *
 * Plain data, so that it can be checked without ONNX; theirs/onnx.ts writes it down. Inputs are `input_ids` [1, n], the
 * caches of all layers, and two numbers that say how long the text is; outputs are `logits` [1, n or 1, vocab] and the
 * caches with n more positions. Sources: the operator documents of ONNX and of ONNX Runtime's contributed operators.
 */

import { blockOf } from "../../compiler/ir/formats.ts";
import { frequencies, ropeOf } from "../../models/blocks/rope.ts";
import { llamaDims } from "../../models/config/families/llama.ts";
import type { ModelSpec } from "../../models/config/spec.ts";
import type { CanonicalName, ModelSource } from "../../models/weights/source.ts";
import { type NBits, roundedToQ4, toNBits } from "./blocks.ts";

export type PeerWeights = "f32" | "q4";
export type OnnxType = "float" | "uint8" | "int32" | "int64";

export interface Initialiser {
  readonly name: string;
  readonly type: OnnxType;
  readonly dims: readonly number[];
  /** Little-endian and row-major; made when it is written, since all of them together are large. */
  data(): Promise<Uint8Array>;
}

/** Whole numbers and fractions are attributes of different types. */
export type Attribute = { readonly int: number } | { readonly float: number };

export interface GraphNode {
  readonly op: string;
  readonly domain: "" | "com.microsoft";
  /** An empty name stands for one that is left out. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Readonly<Record<string, Attribute>>;
}

/** An input or output of the graph; a dim with a name is free. */
export interface Port {
  readonly name: string;
  readonly type: OnnxType;
  readonly dims: readonly (number | string)[];
}

export interface Graph {
  readonly nodes: readonly GraphNode[];
  readonly initialisers: readonly Initialiser[];
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
}

export interface GraphOptions {
  readonly weights: PeerWeights;
  /** Positions that the rotary tables reach. */
  readonly positions: number;
  /** Logits for the last token only, or for all. */
  readonly logits: "last" | "all";
}

/** Names of a layer's cache in the graph: keys and values, what goes in and what comes out. */
export function cacheNames(layer: number): readonly { readonly past: string; readonly present: string }[] {
  return ["key", "value"].map((part) => ({ past: `past.${layer}.${part}`, present: `present.${layer}.${part}` }));
}

/** Collects nodes and initialisers while the layers are written down. */
class Builder {
  readonly nodes: GraphNode[] = [];
  readonly initialisers: Initialiser[] = [];
  readonly #source: ModelSource;
  readonly #options: GraphOptions;

  constructor(source: ModelSource, options: GraphOptions) {
    this.#source = source;
    this.#options = options;
  }

  constant(name: string, type: OnnxType, dims: readonly number[], data: () => Promise<Uint8Array>): string {
    if (!this.initialisers.some((i) => i.name === name)) this.initialisers.push({ name, type, dims, data });
    return name;
  }

  node(
    op: string,
    inputs: readonly string[],
    outputs: readonly string[],
    attributes: Readonly<Record<string, Attribute>> = {},
    domain: GraphNode["domain"] = "",
  ): string {
    this.nodes.push({ op, domain, inputs, outputs, attributes });
    return outputs[0] ?? "";
  }

  async values(name: CanonicalName): Promise<Float32Array<ArrayBuffer>> {
    const data = await this.#source.tensor(name).data();
    if (!(data instanceof Float32Array)) throw new TypeError(`weight "${name}": expected f32, got 16 bits`);
    return data;
  }

  /** A vector or a table that is read as it is. A table has the values that our 4-bit table has. */
  table(name: CanonicalName): string {
    const dims = this.#source.tensor(name).shape;
    const rounded = this.#options.weights === "q4" && dims.length > 1;
    return this.constant(name, "float", dims, async () => {
      const values = await this.values(name);
      return bytesOf(rounded ? roundedToQ4(values) : values);
    });
  }

  /** x · wᵀ for the weight [rows, columns] of this name. */
  product(x: string, name: CanonicalName, out: string): string {
    const [rows = 0, columns = 0] = this.#source.tensor(name).shape;
    if (this.#options.weights === "f32") {
      // Products want the weight as [columns, rows].
      const w = this.constant(`${name}.transposed`, "float", [columns, rows], async () =>
        bytesOf(transposed(await this.values(name), rows, columns)),
      );
      return this.node("MatMul", [x, w], [out]);
    }
    const blocks = columns / blockOf("q4");
    if (!Number.isInteger(blocks)) throw new RangeError(`weight "${name}": rows of ${columns} are no whole blocks`);
    // Both halves are read one after the other, and only once each: quantised once, and not kept longer than that.
    let made: Promise<NBits> | undefined;
    const pack = (): Promise<NBits> => {
      const found = made;
      made = found === undefined ? this.values(name).then(toNBits) : undefined;
      return found ?? (made as Promise<NBits>);
    };
    const q = this.constant(
      `${name}.q4`,
      "uint8",
      [rows, blocks, blockOf("q4") / 2],
      async () => (await pack()).packed,
    );
    const s = this.constant(`${name}.scales`, "float", [rows * blocks], async () => bytesOf((await pack()).scales));
    const attributes = {
      K: { int: columns },
      N: { int: rows },
      bits: { int: 4 },
      block_size: { int: blockOf("q4") },
      // Compute in f32: rounding activations to 8 bits would be another model.
      accuracy_level: { int: 0 },
    };
    return this.node("MatMulNBits", [x, q, s], [out], attributes, "com.microsoft");
  }
}

/** Writes the whole model down; weights are read only when the initialisers are. */
export function llamaGraph(source: ModelSource, options: GraphOptions): Graph {
  const dims = llamaDims(source.config);
  const b = new Builder(source, options);
  const epsilon = { float: dims.eps };
  rotaryTables(b, source.config, options.positions);
  const inputs: Port[] = [
    { name: "input_ids", type: "int64", dims: [1, "n"] },
    { name: "last_position", type: "int32", dims: [1] },
    { name: "total", type: "int32", dims: [1] },
  ];
  const outputs: Port[] = [
    { name: "logits", type: "float", dims: [1, options.logits === "last" ? 1 : "n", dims.vocab] },
  ];
  let x = b.node("Gather", [b.table("embed"), "input_ids"], ["x"]);
  let h = b.node("SimplifiedLayerNormalization", [x, b.table("layers.0.attention_norm")], ["h"], {
    axis: { int: -1 },
    epsilon,
    stash_type: { int: 1 },
  });
  for (let i = 0; i < dims.layers; i++) {
    const at = `layers.${i}` as const;
    // Adds, and norms the sum, which it hands on as well.
    const addAndNorm = (more: string, norm: CanonicalName, sum: string): void => {
      const out = `${sum}.normed`;
      b.node(
        "SkipSimplifiedLayerNormalization",
        [x, more, b.table(norm)],
        [out, "", "", sum],
        { epsilon },
        "com.microsoft",
      );
      [x, h] = [sum, out];
    };
    const [k, v] = cacheNames(i);
    if (k === undefined || v === undefined) throw new Error("a layer has keys and values");
    for (const c of [k, v]) {
      inputs.push({ name: c.past, type: "float", dims: [1, dims.kvHeads, "past", dims.headDim] });
      outputs.push({ name: c.present, type: "float", dims: [1, dims.kvHeads, "whole", dims.headDim] });
    }
    const qkv = (["q", "k", "v"] as const).map((part) => b.product(h, `${at}.${part}`, `${at}.${part}.out`));
    const attended = b.node(
      "GroupQueryAttention",
      [...qkv, k.past, v.past, "last_position", "total", "cos", "sin"],
      [`${at}.attended`, k.present, v.present],
      {
        num_heads: { int: dims.heads },
        kv_num_heads: { int: dims.kvHeads },
        do_rotary: { int: 1 },
        rotary_interleaved: { int: 0 },
      },
      "com.microsoft",
    );
    addAndNorm(b.product(attended, `${at}.o`, `${at}.o.out`), `${at}.ffn_norm`, `${at}.middle`);
    const gate = b.product(h, `${at}.gate`, `${at}.gate.out`);
    const up = b.product(h, `${at}.up`, `${at}.up.out`);
    const sigmoid = b.node("Sigmoid", [gate], [`${at}.sigmoid`]);
    const silu = b.node("Mul", [gate, sigmoid], [`${at}.silu`]);
    const wide = b.node("Mul", [silu, up], [`${at}.wide`]);
    const next: CanonicalName = i + 1 < dims.layers ? `layers.${i + 1}.attention_norm` : "norm";
    addAndNorm(b.product(wide, `${at}.down`, `${at}.down.out`), next, `${at}.end`);
  }
  if (options.logits === "last") {
    const end = b.constant("end", "int64", [1], async () => new Uint8Array(BigInt64Array.of(-1n).buffer));
    h = b.node("Gather", [h, end], ["last"], { axis: { int: 1 } });
  }
  b.product(h, "head", "logits");
  return { nodes: b.nodes, initialisers: b.initialisers, inputs, outputs };
}

function rotaryTables(b: Builder, config: ModelSpec, positions: number): void {
  const freq = frequencies(ropeOf(config));
  const half = freq.length;
  for (const [name, f] of [
    ["cos", Math.cos],
    ["sin", Math.sin],
  ] as const) {
    const make = () =>
      Float32Array.from({ length: positions * half }, (_, i) => f(Math.floor(i / half) * (freq[i % half] ?? 0)));
    b.constant(name, "float", [positions, half], async () => bytesOf(make()));
  }
}

/** [rows, columns] as [columns, rows]. */
export function transposed(values: Float32Array, rows: number, columns: number): Float32Array<ArrayBuffer> {
  const out = new Float32Array(values.length);
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) out[c * rows + r] = values[r * columns + c] ?? 0;
  return out;
}

function bytesOf(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

/** Bytes of an initialiser, from its dims alone. */
export function initialiserBytes({ type, dims }: Initialiser): number {
  const size = { float: 4, int32: 4, int64: 8, uint8: 1 }[type];
  return dims.reduce((product, d) => product * d, size);
}
