/** Specs: what no kernel computes is refused by its field, and weight maps split, join and reorder rows. */
import { describe, expect, test } from "vitest";
import { checkSpec } from "../../../models/blocks/supported.ts";
import { llamaDims, llamaSpec } from "../../../models/config/families/llama.ts";
import type { LayerSpec, ModelSpec, NormSpec } from "../../../models/config/spec.ts";
import { type Role, ruleFor, type WeightMap } from "../../../models/config/weight-map.ts";
import { mappedTensor } from "../../../models/formats/mapped.ts";
import { SHAPES } from "../../../models/formats/random.ts";
import { encodeSafetensors, readSafetensors, type SafetensorsInput } from "../../../models/formats/safetensors.ts";
import type { StoredTensor } from "../../../models/formats/shards.ts";
import { memoryBytes } from "../../../models/io/bytes.ts";
import type { WeightTensor } from "../../../models/weights/source.ts";
import { complaint } from "./temporary.ts";

const BASE: ModelSpec = SHAPES["TinyLlama-1.1B"] as ModelSpec;
const LAYER = BASE.layers[0] as LayerSpec;
const NORM: NormSpec = { kind: "rms", eps: 1e-5, offset: 1 };

/** The model with another layer in the second place. */
function withLayer(layer: LayerSpec): ModelSpec {
  return { ...BASE, name: "m", layers: BASE.layers.with(1, layer) };
}

function attention(change: Partial<LayerSpec["attention"]>): ModelSpec {
  return withLayer({ ...LAYER, attention: { ...LAYER.attention, ...change } });
}

describe("what no kernel computes", () => {
  const { rope } = LAYER.attention;
  if (rope === undefined) throw new Error("a Llama knows positions");
  test.each<[string, ModelSpec, string]>([
    ["a window", attention({ window: 128 }), "layers[1].attention.window = 128: expected none"],
    ["a soft-cap", attention({ softCap: 50 }), "layers[1].attention.softCap = 50: expected none"],
    ["sinks", attention({ sinks: true }), "layers[1].attention.sinks = true: expected false"],
    ["a scale", attention({ scale: 0.1 }), "layers[1].attention.scale = 0.1: expected none"],
    [
      "q/k norms",
      attention({ qkNorm: { norm: NORM, over: "head" } }),
      'layers[1].attention.qkNorm = {"norm":{"kind":"rms","eps":0.00001,"offset":1},"over":"head"}: expected none',
    ],
    ["narrow values", attention({ valueDim: 32 }), "layers[1].attention.valueDim = 32: expected 64"],
    ["heads that cannot share", attention({ kvHeads: 5 }), "layers[1].attention.kvHeads = 5: expected"],
    ["heads of its own", attention({ heads: 16 }), "layers[1].attention.heads = 16: expected 32"],
    ["no positions", attention({ rope: undefined }), "layers[1].attention.rope.dims = none: expected 64"],
    ["part of a head", attention({ rope: { ...rope, dims: 32 } }), "layers[1].attention.rope.dims = 32: expected 64"],
    [
      "another base",
      attention({ rope: { ...rope, theta: 7 } }),
      'layers[1].attention.rope = {"theta":7,"dims":64,"scaling":{"kind":"none"}}: expected "the same in every layer"',
    ],
    [
      "a plain feed-forward half",
      withLayer({ ...LAYER, mlp: { ...LAYER.mlp, kind: "plain" } }),
      'layers[1].mlp.kind = "plain": expected "gated"',
    ],
    [
      "GELU",
      withLayer({ ...LAYER, mlp: { ...LAYER.mlp, activation: "gelu" } }),
      'layers[1].mlp.activation = "gelu": expected "silu"',
    ],
    [
      "biases there",
      withLayer({ ...LAYER, mlp: { ...LAYER.mlp, bias: true } }),
      "layers[1].mlp.bias = true: expected false",
    ],
    [
      "another width",
      withLayer({ ...LAYER, mlp: { ...LAYER.mlp, width: 8 } }),
      "layers[1].mlp.width = 8: expected 5632",
    ],
    [
      "norms after",
      withLayer({ ...LAYER, norms: { ...LAYER.norms, mlp: { ...LAYER.norms.mlp, after: NORM } } }),
      "layers[1].norms.mlp.after = {",
    ],
    [
      "no norm before",
      withLayer({ ...LAYER, norms: { ...LAYER.norms, attention: { before: undefined, after: undefined } } }),
      'layers[1].norms.attention.before.kind = none: expected "rms"',
    ],
    ["1 + w", { ...BASE, name: "m", norm: NORM }, "norm.offset = 1: expected 0"],
    ["a scaled embedding", { ...BASE, name: "m", scales: { ...BASE.scales, embedding: 8 } }, "scales.embedding = 8"],
    ["no layers", { ...BASE, name: "m", layers: [] }, "at least one layer, got none"],
  ])("%s", async (_, spec, expected) => {
    const said = await complaint(() => checkSpec(spec));
    expect(said).toMatch(/^m: /);
    expect(said).toContain(expected);
  });

  test("every shape of a Llama has kernels, with biases and without", () => {
    for (const spec of Object.values(SHAPES)) {
      checkSpec(spec);
      checkSpec(llamaSpec({ ...llamaDims(spec), attentionBias: true }));
    }
    expect(llamaDims(llamaSpec({ ...llamaDims(BASE), attentionBias: true }))).toMatchObject({ attentionBias: true });
    expect(() => llamaDims(withLayer({ ...LAYER }))).toThrow('the layers of "m" are not alike');
  });
});

describe("weight maps", () => {
  const MAP: WeightMap = [
    { stored: "h.{layer}.qkv", role: ["q", "k", "v"] },
    { stored: ["h.{layer}.up.0", "h.{layer}.up.1"], role: "up" },
    { stored: ["h.{layer}.a", "h.{layer}.b"], role: ["gate", "down"] },
    { stored: "h.{layer}.o", role: "o", rows: "pairs" },
    { stored: "h.{layer}.o_bias", role: "o_bias", rows: "pairs" },
  ];
  const SHAPE: Partial<Record<Role, readonly number[]>> = {
    ...{ q: [4, 3], k: [2, 3], v: [1, 3], up: [5, 2], gate: [2, 2], down: [3, 2], o: [8, 2], o_bias: [8] },
  };
  const count = (length: number, from = 0): Float32Array => Float32Array.from({ length }, (_, i) => from + i);
  const FILE: Record<string, SafetensorsInput> = {
    "h.7.qkv": { dtype: "F32", shape: [7, 3], data: count(21) },
    "h.7.up.0": { dtype: "F32", shape: [2, 2], data: count(4) },
    "h.7.up.1": { dtype: "F32", shape: [3, 2], data: count(6, 100) },
    "h.7.a": { dtype: "F32", shape: [4, 2], data: count(8) },
    "h.7.b": { dtype: "F32", shape: [1, 2], data: count(2, 50) },
    "h.7.o": { dtype: "F32", shape: [8, 2], data: count(16) },
    "h.7.o_bias": { dtype: "BF16", shape: [8], data: Uint16Array.from({ length: 8 }, (_, i) => i) },
  };

  async function tensor(role: Role, change: Record<string, SafetensorsInput> = {}): Promise<WeightTensor> {
    const file = await readSafetensors(memoryBytes("m.safetensors", encodeSafetensors({ ...FILE, ...change })));
    const entries = [...file.tensors].map(([name, t]): [string, StoredTensor] => [name, { where: "m", tensor: t }]);
    const shapeOf = (r: Role): readonly number[] | undefined => SHAPE[r];
    return mappedTensor({ where: "m", tensors: new Map(entries) }, ruleFor(MAP, role, 7), {
      role,
      shapeOf,
      headDim: 4,
    });
  }

  test("split rows", async () => {
    expect([...(await (await tensor("q")).data())]).toEqual([...count(12)]);
    expect([...(await (await tensor("k")).data())]).toEqual([...count(6, 12)]);
    expect([...(await (await tensor("v")).data())]).toEqual([...count(3, 18)]);
    expect(await tensor("k")).toMatchObject({ name: "h.7.qkv", shape: [2, 3], dtype: "f32" });
  });

  test("join tensors", async () => {
    expect([...(await (await tensor("up")).data())]).toEqual([0, 1, 2, 3, 100, 101, 102, 103, 104, 105]);
  });

  test("split what they join", async () => {
    expect([...(await (await tensor("gate")).data())]).toEqual([0, 1, 2, 3]);
    expect([...(await (await tensor("down")).data())]).toEqual([4, 5, 6, 7, 50, 51]);
  });

  test("put pairs of rows in order, of matrices and of biases", async () => {
    // Heads of four rows: 0 and 2 become the first half, 1 and 3 the second.
    expect([...(await (await tensor("o")).data())]).toEqual([0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15]);
    const bias = await (await tensor("o_bias")).data();
    expect(bias).toBeInstanceOf(Uint16Array);
    expect([...bias]).toEqual([0, 2, 1, 3, 4, 6, 5, 7]);
  });

  test.each<[string, Role, Record<string, SafetensorsInput>, string]>([
    [
      "rows that are not all there",
      "q",
      { "h.7.qkv": { dtype: "F32", shape: [6, 3], data: count(18) } },
      'm: tensor "h.7.qkv": expected shape [7, 3], got [6, 3]',
    ],
    [
      "parts that are too short together",
      "up",
      { "h.7.up.1": { dtype: "F32", shape: [2, 2], data: count(4) } },
      'm: tensors "h.7.up.0", "h.7.up.1": expected 5 rows together, got 4',
    ],
    [
      "parts of two widths",
      "up",
      { "h.7.up.1": { dtype: "F32", shape: [3, 1], data: count(3) } },
      'm: tensor "h.7.up.1": expected shape [3, 2], got [3, 1]',
    ],
    [
      "parts of two formats",
      "up",
      { "h.7.up.1": { dtype: "F16", shape: [3, 2], data: new Uint16Array(6) } },
      'm: tensor "h.7.up.1": expected dtype F32, as "h.7.up.0" has it, got F16',
    ],
    [
      "a format of integers",
      "o",
      { "h.7.o": { dtype: "I32", shape: [8, 2], data: new Int32Array(16) } },
      'm: tensor "h.7.o": expected dtype F32, F16 or BF16, got I32',
    ],
  ])("refuse %s", async (_, role, change, expected) => {
    expect(await complaint(() => tensor(role, change))).toBe(expected);
  });

  test("know all their roles", () => {
    expect(() => ruleFor(MAP, "head")).toThrow(new RangeError('the weight map has no "head"'));
  });
});
