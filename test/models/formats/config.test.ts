/** config.json: the three supported families are read, everything that would change the arithmetic is refused by name. */

import { readFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { parseLlamaConfig, withEnds } from "../../../models/config/model-config.ts";
import { fixture, shared } from "./shared.ts";
import { complaint } from "./temporary.ts";

type Json = Record<string, unknown>;
const family = async (name: string): Promise<Json> =>
  JSON.parse(await readFile(fixture(`families/${name}/config.json`), "utf8")) as Json;
const base = await family("llama2-mha");

describe("reads", () => {
  test("every field", async () => {
    expect(parseLlamaConfig(base, "models/tiny/config.json")).toEqual({
      name: "tiny",
      layers: 3,
      dim: 64,
      heads: 4,
      groups: 4,
      headDim: 16,
      ff: 160,
      vocab: 320,
      context: 256,
      eps: 1e-5,
      ropeTheta: 10000,
      tied: false,
      bos: [1],
      eos: [2],
    });
  });

  test("rope_parameters, tied weights, grouped queries", async () => {
    const config = parseLlamaConfig(await family("llama3.2-tied"), "config.json");
    expect(config).toMatchObject({ ropeTheta: 500000, tied: true, heads: 8, groups: 2, headDim: 16 });
  });

  test("what older files leave out", () => {
    const { head_dim, rope_theta, num_key_value_heads, architectures, rope_scaling, ...old } = base;
    const config = parseLlamaConfig({ ...old, eos_token_id: [2, 7], bos_token_id: null }, "c.json");
    expect(config).toMatchObject({ headDim: 16, ropeTheta: 10000, groups: 4, bos: [], eos: [2, 7] });
    expect([head_dim, rope_theta, num_key_value_heads, architectures, rope_scaling]).not.toContain(undefined);
  });

  test("settings of RoPE that agree, or that scale nothing", () => {
    for (const change of [
      { rope_theta: 10000, rope_parameters: { rope_theta: 10000, rope_type: "default" } },
      { rope_scaling: { factor: 1.0 } },
      { rope_scaling: { type: "linear", factor: 1.0 } },
      { rope_parameters: { rope_type: "default", factor: 1, original_max_position_embeddings: 256 } },
    ]) {
      expect(parseLlamaConfig({ ...base, ...change }, "c.json").ropeTheta).toBe(10000);
    }
  });

  test("ids beyond the vocabulary are left out and noted", () => {
    const notes: string[] = [];
    const note = (text: string): void => void notes.push(text);
    const config = parseLlamaConfig({ ...base, eos_token_id: [2, 5000], bos_token_id: -1 }, "c.json", note);
    expect(config).toMatchObject({ bos: [], eos: [2] });
    expect(withEnds(config, { eos_token_id: 320 }, "g.json", note).eos).toEqual([2]);
    expect(notes).toEqual([
      'c.json: "bos_token_id": -1 is left out, since the vocabulary has 320 ids',
      'c.json: "eos_token_id": 5000 is left out, since the vocabulary has 320 ids',
      'g.json: "eos_token_id": 320 is left out, since the vocabulary has 320 ids',
    ]);
  });

  test("rope_scaling of the default kind, under both names", () => {
    for (const rope_scaling of [{ rope_type: "default" }, { type: "default" }, null]) {
      expect(parseLlamaConfig({ ...base, rope_scaling }, "c.json").ropeTheta).toBe(10000);
    }
  });

  test("generation_config adds end ids once", () => {
    const config = parseLlamaConfig(base, "c.json");
    expect(withEnds(config, { eos_token_id: [2, 9] }, "g.json").eos).toEqual([2, 9]);
    expect(withEnds(config, {}, "g.json").eos).toEqual([2]);
  });
});

describe("refuses", () => {
  test.each<[string, Json, string]>([
    [
      "an unknown architecture",
      { architectures: ["MistralForCausalLM"] },
      '"architectures": expected LlamaForCausalLM (the only architecture supported), got ["MistralForCausalLM"]',
    ],
    ["another model type", { model_type: "qwen3" }, '"model_type": expected "llama"'],
    ["no architecture at all", { architectures: null, model_type: null }, '"architectures": expected LlamaForCausalLM'],
    ["attention bias", { attention_bias: true }, '"attention_bias": expected false'],
    ["mlp bias", { mlp_bias: true }, '"mlp_bias": expected false'],
    ["a bias that is no boolean", { mlp_bias: "no" }, '"mlp_bias": expected true or false, got "no"'],
    [
      "another activation",
      { hidden_act: "gelu" },
      '"hidden_act": expected "silu" (the activation of LlamaForCausalLM), got "gelu"',
    ],
    [
      "scaled RoPE",
      { rope_scaling: { rope_type: "llama3", factor: 8 } },
      '"rope_scaling.rope_type": expected "default"',
    ],
    [
      "scaled RoPE, old key",
      { rope_scaling: { type: "linear", factor: 2 } },
      '"rope_scaling.type": expected "default" (unscaled RoPE, the only kind supported for LlamaForCausalLM), got "linear"',
    ],
    [
      "scaled RoPE, new key",
      { rope_parameters: { rope_type: "yarn" } },
      '"rope_parameters.rope_type": expected "default"',
    ],
    ["scaling without a type", { rope_scaling: { factor: 2 } }, '"rope_scaling.factor"'],
    ["partial rotation", { partial_rotary_factor: 0.5 }, '"partial_rotary_factor": expected 1'],
    [
      "partial rotation inside",
      { rope_parameters: { rope_theta: 1e4, partial_rotary_factor: 0.5 } },
      '"rope_parameters.partial_rotary_factor"',
    ],
    ["rope settings that are no object", { rope_scaling: 3 }, '"rope_scaling": expected an object, got 3'],
    ["quantised weights", { quantization_config: { bits: 4 } }, '"quantization_config": expected none'],
    ["a missing size", { hidden_size: undefined }, '"hidden_size": expected a positive integer, got nothing'],
    ["a size as text", { intermediate_size: "160" }, '"intermediate_size": expected a positive integer, got "160"'],
    ["no layers", { num_hidden_layers: 0 }, '"num_hidden_layers": expected a positive integer, got 0'],
    ["half a head", { num_attention_heads: 1.5 }, '"num_attention_heads": expected a positive integer, got 1.5'],
    ["no vocabulary", { vocab_size: -1 }, '"vocab_size"'],
    ["no positions", { max_position_embeddings: null }, '"max_position_embeddings"'],
    ["no epsilon", { rms_norm_eps: 0 }, '"rms_norm_eps": expected a positive number, got 0'],
    ["a negative base", { rope_theta: -1 }, '"rope_theta": expected a positive number, got -1'],
    [
      "groups that do not divide",
      { num_key_value_heads: 3 },
      '"num_key_value_heads": expected a divisor of num_attention_heads (4), got 3',
    ],
    [
      "a width heads do not divide",
      { head_dim: null, hidden_size: 65 },
      '"hidden_size": expected a multiple of num_attention_heads (4), as head_dim is not given, got 65',
    ],
    ["an odd head", { head_dim: 15 }, '"head_dim": expected an even number'],
    ["an end id that is none", { eos_token_id: [2, "3"] }, '"eos_token_id": expected a token id or a list of them'],
    [
      "two bases of RoPE",
      { rope_theta: 10000, rope_parameters: { rope_theta: 500000 } },
      '"rope_parameters.rope_theta": expected 10000, as "rope_theta" has it, got 500000',
    ],
    [
      "two bases of RoPE below the top",
      { rope_theta: null, rope_scaling: { rope_theta: 1e4 }, rope_parameters: { rope_theta: 2e4 } },
      '"rope_parameters.rope_theta": expected 10000, as "rope_scaling.rope_theta" has it, got 20000',
    ],
    [
      "two kinds of RoPE",
      { rope_scaling: { rope_type: "default", type: "linear", factor: 1 } },
      '"rope_scaling.type": expected "default", as "rope_scaling.rope_type" has it, got "linear"',
    ],
    [
      "linear scaling by two",
      { rope_scaling: { type: "linear", factor: 2 } },
      '"rope_scaling.type": expected "default"',
    ],
    ["tying that is no boolean", { tie_word_embeddings: 1 }, '"tie_word_embeddings": expected true or false, got 1'],
  ])("%s", async (_, change, expected) => {
    const said = await complaint(() => parseLlamaConfig({ ...base, ...change }, "dir/config.json"));
    expect(said).toMatch(/^dir\/config\.json: /);
    expect(said).toContain(expected);
  });

  test("what is no object", async () => {
    expect(await complaint(() => parseLlamaConfig([], "c.json"))).toBe("c.json: expected an object, got []");
    expect(await complaint(() => parseLlamaConfig(null, "c.json"))).toBe("c.json: expected an object, got null");
  });
});

const families = shared("golden/families");
describe.skipIf(families === undefined)("families beyond plain Llama (needs the shared data)", () => {
  test.each([
    ["llama3.1-rope", "rope_scaling"],
    ["mistral-window", "architectures"],
    ["phi3-fused", "architectures"],
    ["qwen2-bias", "architectures"],
    ["qwen3-qknorm", "architectures"],
  ])("%s is refused for its %s", async (name, key) => {
    const file = `${families}/${name}/config.json`;
    const json: unknown = JSON.parse(await readFile(file, "utf8"));
    const said = await complaint(() => parseLlamaConfig(json, file));
    expect(said).toContain(file);
    expect(said).toMatch(name === "llama3.1-rope" ? /"rope_(scaling|parameters)\.rope_type"/ : new RegExp(`"${key}"`));
  });
});
