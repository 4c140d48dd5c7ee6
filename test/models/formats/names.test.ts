/**
 * Names and numbers in a Hugging Face folder: tensors that do not belong, wrappers around names, layers that cannot be
 * there, and where a text ends.
 */
import { readFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { openHuggingFaceFolder } from "../../../models/formats/huggingface.ts";
import { openLlama2cBytes } from "../../../models/formats/llama2c.ts";
import { encodeSafetensors, readSafetensors, type SafetensorsInput } from "../../../models/formats/safetensors.ts";
import { memoryBytes, memoryFolder } from "../../../models/io/bytes.ts";
import { canonicalShapes, type ModelSource } from "../../../models/weights/source.ts";
import { fixture } from "./shared.ts";
import { complaint } from "./temporary.ts";

type Json = Record<string, unknown>;
const config = JSON.parse(await readFile(fixture("families/llama2-mha/config.json"), "utf8")) as Json;
const plain: Record<string, SafetensorsInput> = {};
for (const [name, { dtype, shape, bytes }] of (await readSafetensors(fixture("families/llama2-mha/model.safetensors")))
  .tensors)
  plain[name] = { dtype, shape, data: await bytes() };

const one = (dtype = "F32"): SafetensorsInput => ({ dtype, shape: [1], data: new Uint8Array(dtype === "F32" ? 4 : 1) });

function open(tensors: Record<string, SafetensorsInput>, change: Json = {}, more: Json = {}): Promise<ModelSource> {
  const text = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
  const files = new Map([["config.json", text({ ...config, ...change })]]);
  files.set("model.safetensors", encodeSafetensors(tensors));
  for (const [name, json] of Object.entries(more)) files.set(name, text(json));
  return openHuggingFaceFolder(memoryFolder("m", files));
}

const renamed = (by: (name: string) => string): Record<string, SafetensorsInput> =>
  Object.fromEntries(Object.entries(plain).map(([name, tensor]) => [by(name), tensor]));

async function expectPlain(source: ModelSource): Promise<void> {
  const expected = await open(plain);
  expect(source.config).toEqual(expected.config);
  for (const name of canonicalShapes(expected.config).keys()) {
    expect(await source.tensor(name).data()).toEqual(await expected.tensor(name).data());
  }
}

describe("tensors that do not belong", () => {
  test.each([
    "lm_head.bias",
    "model.norm.bias",
    "model.embed_tokens.weight_scale",
    "model.layers.0.self_attn.q_proj.bias",
    "model.layers.1.post_feedforward_layernorm.weight",
    "model.layers.3.input_layernorm.weight",
  ])("%s changes what the model computes, and is refused", async (name) => {
    expect(await complaint(() => open({ ...plain, [name]: one() }))).toBe(
      `m/model.safetensors: tensor "${name}" does not belong to a LlamaForCausalLM of 3 layers`,
    );
  });

  test("beside the model they are named once and do not matter, whatever their dtype", async () => {
    const beside = {
      "v_head.weight": one("F8_E4M3FNUZ"),
      "vision.bias": one(),
      "a.b": one(),
      "a.c": one(),
      "a.d": one(),
    };
    const source = await open({ ...plain, ...beside });
    await expectPlain(source);
    expect(source.notes).toHaveLength(1);
    expect(source.notes[0]).toMatch(/^of the stored tensors .*vision\.bias.* and 1 more are not used/);
    const frequencies = await open({ ...plain, "model.rotary_emb.inv_freq": one() });
    expect(frequencies.notes).toEqual([]);
  });

  test("one that is used needs a dtype that can be read", async () => {
    const tensors = { ...plain, "model.norm.weight": { dtype: "F8_E4M3FNUZ", shape: [64], data: new Uint8Array(64) } };
    expect(await complaint(() => open(tensors))).toContain(
      'tensor "model.norm.weight": expected dtype F32, F16 or BF16, got F8_E4M3FNUZ',
    );
  });
});

describe("what training tools put around names", () => {
  test.each<[string, (name: string) => string]>([
    ["_orig_mod.", (name) => `_orig_mod.${name}`],
    ["module.", (name) => `module.${name}`],
    ["module._orig_mod.", (name) => `module._orig_mod.${name}`],
    ["a wrapper inside", (name) => name.replace("model.layers.", "model._orig_mod.layers.")],
    ["sharded training", (name) => `_fsdp_wrapped_module.${name.replace(/layers\.\d\./, "$&_fsdp_wrapped_module.")}`],
  ])("%s is taken off", async (_, by) => {
    const source = await open(renamed(by));
    await expectPlain(source);
    expect(source.notes).toEqual([]);
  });

  test("both names at once are refused", async () => {
    const both = { ...plain, "_orig_mod.model.norm.weight": plain["model.norm.weight"] as SafetensorsInput };
    expect(await complaint(() => open(both))).toMatch(
      /tensors "(_orig_mod\.)?model\.norm\.weight" and "(_orig_mod\.)?model\.norm\.weight" are the same one/,
    );
  });

  test.each<[string, (name: string) => string, string]>([
    [
      "peft",
      (name) => `base_model.model.${name}`,
      'names in the file begin with "base_model.model.", as peft leaves them',
    ],
    ["a larger model", (name) => `language_model.${name}`, 'names in the file begin with "language_model."'],
    ["Meta", (name) => name.replace(/^model\.embed_tokens/, "tok_embeddings"), "those of Meta's own checkpoints"],
    [
      "LoRA",
      (name) => name.replace(/\.weight$/, ".lora_A.weight").replace(/^(model|lm_head)/, "x"),
      "weights of a LoRA adapter",
    ],
    ["anything", (name) => `x${name}`, "the file holds x"],
  ])("names by %s are told", async (_, by, hint) => {
    const error = await open(renamed(by)).catch((e: unknown) => e);
    expect(error).toMatchObject({ name: "UserError", hint: expect.stringContaining(hint) });
    expect((error as Error).message).toContain("is missing");
  });
});

describe("numbers that the files cannot hold", () => {
  test("layers", async () => {
    for (const num_hidden_layers of [9e15, 1e9, 31]) {
      expect(await complaint(() => open(plain, { num_hidden_layers }))).toBe(
        `m/config.json: "num_hidden_layers": expected no more layers than there are tensors (30), got ${num_hidden_layers}`,
      );
    }
    expect(Object.keys(plain)).toHaveLength(30);
  });

  test("sizes", async () => {
    expect(await complaint(() => open(plain, { intermediate_size: 9e15 }))).toContain(
      "[9000000000000000, 64], got [160, 64]",
    );
    expect(await complaint(() => open(plain, { vocab_size: 9e15 }))).toContain("[9000000000000000, 64], got [320, 64]");
  });

  test("layers of a llama2.c header, before anything is built for them", async () => {
    const bytes = new Uint8Array(4096);
    const view = new DataView(bytes.buffer);
    [8, 8, 1 << 24, 2, 2, 8, 8].forEach((value, i) => void view.setInt32(4 * i, value, true));
    const unused = (): Promise<never> => Promise.reject(new Error("unused"));
    expect(await complaint(() => openLlama2cBytes(memoryBytes("m.bin", bytes), unused))).toMatch(
      /^m\.bin: truncated: expected \d{11} bytes for a llama2\.c checkpoint, got 4096$/,
    );
  });
});

describe("where a text ends", () => {
  const tokenizer = {
    added_tokens: [
      { id: 2, content: "</s>" },
      { id: 7, content: "<|end|>" },
    ],
    model: { vocab: { ".": 12, "</s>": 2 } },
  };
  const ends = async (more: Json): Promise<[readonly number[], readonly string[]]> => {
    const source = await open(plain, {}, more);
    return [source.config.eos, source.notes];
  };

  test("is the union of what config, generation config and tokenizer config say", async () => {
    expect(await ends({ "generation_config.json": { eos_token_id: [2, 9] } })).toEqual([[2, 9], []]);
    expect(await ends({ "tokenizer.json": tokenizer, "tokenizer_config.json": { eos_token: "." } })).toEqual([
      [2, 12],
      [],
    ]);
    const all = {
      "generation_config.json": { eos_token_id: 9 },
      "tokenizer.json": tokenizer,
      "tokenizer_config.json": { eos_token: { content: "<|end|>" }, eos_token_id: 11 },
    };
    expect(await ends(all)).toEqual([[2, 9, 11, 7], []]);
    const listed = { eos_token: "<e>", added_tokens_decoder: { "5": { content: "<e>" } } };
    expect(await ends({ "tokenizer_config.json": listed })).toEqual([[2, 5], []]);
    const pieces = {
      model: {
        vocab: [
          ["a", 0],
          ["b", 0],
          ["c", 0],
          ["d", 0],
        ],
      },
    };
    expect(await ends({ "tokenizer.json": pieces, "tokenizer_config.json": { eos_token: "d" } })).toEqual([[2, 3], []]);
  });

  test("what no token is called, and ids beyond the vocabulary, are noted", async () => {
    expect(await ends({ "generation_config.json": { eos_token_id: [2, 5000] } })).toEqual([
      [2],
      ['m/generation_config.json: "eos_token_id": 5000 is left out, since the vocabulary has 320 ids'],
    ]);
    expect(await ends({ "tokenizer.json": tokenizer, "tokenizer_config.json": { eos_token: "<x>" } })).toEqual([
      [2],
      ['m/tokenizer_config.json: "eos_token": no token is called "<x>", so it ends no text'],
    ]);
    expect((await ends({ "tokenizer_config.json": [] }))[0]).toEqual([2]);
  });
});
