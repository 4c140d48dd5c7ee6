/**
 * config.json: the three supported families are read, everything that would change the arithmetic is refused by name.
 */

import { readFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { parseConfig, withEnds } from "../../../models/config/families/index.ts";
import { type LlamaDims, llamaDims } from "../../../models/config/families/llama.ts";
import { fixture, shared } from "./shared.ts";
import { complaint } from "./temporary.ts";

type Json = Record<string, unknown>;
const family = async (name: string): Promise<Json> =>
  JSON.parse(await readFile(fixture(`families/${name}/config.json`), "utf8")) as Json;
const base = await family("llama2-mha");
/** What a config comes to, in the numbers of a Llama whose layers are alike. */
const parsed = (json: unknown, file = "c.json"): LlamaDims => llamaDims(parseConfig(json, file));

describe("reads", () => {
  test("every field", async () => {
    expect(parsed(base, "models/tiny/config.json")).toEqual({
      name: "tiny",
      layers: 3,
      dim: 64,
      heads: 4,
      kvHeads: 4,
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
    const config = parsed(await family("llama3.2-tied"), "config.json");
    expect(config).toMatchObject({ ropeTheta: 500000, tied: true, heads: 8, kvHeads: 2, headDim: 16 });
    expect(config).not.toHaveProperty("ropeScaling");
  });

  test("what older files leave out", () => {
    const { head_dim, rope_theta, num_key_value_heads, architectures, rope_scaling, ...old } = base;
    const config = parsed({ ...old, eos_token_id: [2, 7], bos_token_id: null });
    expect(config).toMatchObject({ headDim: 16, ropeTheta: 10000, kvHeads: 4, bos: [], eos: [2, 7] });
    expect([head_dim, rope_theta, num_key_value_heads, architectures, rope_scaling]).not.toContain(undefined);
  });

  test("settings of RoPE that agree, or that scale nothing", () => {
    for (const change of [
      { rope_theta: 10000, rope_parameters: { rope_theta: 10000, rope_type: "default" } },
      { rope_scaling: { factor: 1.0 } },
      { rope_scaling: { type: "linear", factor: 1.0 } },
      { rope_parameters: { rope_type: "default", factor: 1, original_max_position_embeddings: 256 } },
    ]) {
      const config = parsed({ ...base, ...change });
      expect(config.ropeTheta).toBe(10000);
      expect(config).not.toHaveProperty("ropeScaling");
    }
  });

  test("ids beyond the vocabulary are left out and noted", () => {
    const notes: string[] = [];
    const note = (text: string): void => void notes.push(text);
    const config = parseConfig({ ...base, eos_token_id: [2, 5000], bos_token_id: -1 }, "c.json", { note });
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
      const config = parsed({ ...base, rope_scaling });
      expect(config.ropeTheta).toBe(10000);
      expect(config).not.toHaveProperty("ropeScaling");
    }
  });

  test("generation_config adds end ids once", () => {
    const config = parseConfig(base, "c.json");
    expect(withEnds(config, { eos_token_id: [2, 9] }, "g.json").eos).toEqual([2, 9]);
    expect(withEnds(config, {}, "g.json").eos).toEqual([2]);
  });
});

const LLAMA3 = {
  ...{ rope_type: "llama3", factor: 8, low_freq_factor: 1, high_freq_factor: 4 },
  original_max_position_embeddings: 64,
};

describe("scaled RoPE and biases", () => {
  test.each<[string, Json, unknown]>([
    ["linear, old key", { rope_scaling: { type: "linear", factor: 2 } }, { kind: "linear", factor: 2 }],
    [
      "Llama 3.1's",
      { rope_parameters: { ...LLAMA3, rope_theta: 5e5 }, rope_theta: 5e5 },
      { kind: "llama3", factor: 8, lowTurns: 1, highTurns: 4, original: 64 },
    ],
    [
      "YaRN with what the paper has",
      { rope_scaling: { type: "yarn", factor: 4, original_max_position_embeddings: 64 } },
      {
        ...{ kind: "yarn", factor: 4, fastTurns: 32, slowTurns: 1, original: 64, truncate: true },
        amplitude: 0.1 * Math.log(4) + 1,
      },
    ],
    [
      "YaRN with settings of its own",
      {
        rope_parameters: {
          ...{ rope_type: "yarn", factor: 8, beta_fast: 4, beta_slow: 0.25, truncate: false, attention_factor: 0.8 },
          ...{ rope_theta: 10000, original_max_position_embeddings: 32 },
        },
      },
      {
        ...{ kind: "yarn", factor: 8, fastTurns: 4, slowTurns: 0.25, original: 32, truncate: false },
        amplitude: 0.8,
      },
    ],
    [
      "YaRN as DeepSeek weighs it, whose factor is that of the contexts",
      { rope_scaling: { type: "yarn", original_max_position_embeddings: 64, mscale: 2.4, mscale_all_dim: 0.4 } },
      {
        ...{ kind: "yarn", factor: 4, fastTurns: 32, slowTurns: 1, original: 64, truncate: true },
        amplitude: (0.24 * Math.log(4) + 1) / (0.04 * Math.log(4) + 1),
      },
    ],
  ])("%s", (_, change, expected) => {
    expect(parsed({ ...base, ...change }).ropeScaling).toEqual(expected);
  });

  test("YaRN by 1 stretches nothing and is as loud", () => {
    const rope_scaling = { type: "yarn", factor: 1, original_max_position_embeddings: 64 };
    expect(parsed({ ...base, rope_scaling }).ropeScaling).toMatchObject({ factor: 1, amplitude: 1 });
  });

  test("biases of q, k, v and o", () => {
    const { layers } = parseConfig({ ...base, attention_bias: true }, "c.json");
    expect(layers.map(({ attention }) => attention.bias)).toEqual(new Array(3).fill({ qkv: true, o: true }));
    expect(parsed({ ...base, attention_bias: false })).not.toHaveProperty("attentionBias");
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
    ["an attention bias that is no boolean", { attention_bias: 1 }, '"attention_bias": expected true or false, got 1'],
    ["mlp bias", { mlp_bias: true }, '"mlp_bias": expected false'],
    ["a bias that is no boolean", { mlp_bias: "no" }, '"mlp_bias": expected true or false, got "no"'],
    [
      "another activation",
      { hidden_act: "gelu" },
      '"hidden_act": expected "silu" (the activation of LlamaForCausalLM), got "gelu"',
    ],
    [
      "a kind of scaled RoPE that is not computed",
      { rope_scaling: { rope_type: "longrope", factor: 8 } },
      '"rope_scaling.rope_type": expected one of "default", "linear", "llama3", "yarn" (the kinds of RoPE supported), got "longrope"',
    ],
    [
      "another, old key",
      { rope_scaling: { type: "dynamic", factor: 2 } },
      '"rope_scaling.type": expected one of "default", "linear", "llama3", "yarn" (the kinds of RoPE supported), got "dynamic"',
    ],
    [
      "another, new key",
      { rope_parameters: { rope_type: "proportional" } },
      '"rope_parameters.rope_type": expected one of',
    ],
    [
      "Llama 3.1's scaling with a setting missing",
      { rope_scaling: { rope_type: "llama3", factor: 8 } },
      '"rope_scaling.low_freq_factor": expected a positive number, got nothing',
    ],
    [
      "Llama 3.1's scaling backwards",
      { rope_scaling: { ...LLAMA3, high_freq_factor: 1 } },
      '"rope_scaling.high_freq_factor": expected more than low_freq_factor (1), got 1',
    ],
    [
      "YaRN backwards",
      { rope_scaling: { type: "yarn", factor: 2, beta_fast: 1, beta_slow: 2 } },
      '"rope_scaling.beta_fast": expected more than beta_slow (2), got 1',
    ],
    [
      "a setting of another kind",
      { rope_scaling: { type: "linear", factor: 2, beta_fast: 32 } },
      '"rope_scaling.beta_fast": expected only rope_theta and those of "linear" (factor, original_max_position_embeddings), got 32',
    ],
    [
      "two scalings",
      { rope_scaling: { type: "linear", factor: 2 }, rope_parameters: { rope_type: "linear", factor: 4 } },
      '"rope_parameters": expected the same scaling as "rope_scaling" has, got {"rope_type":"linear","factor":4}',
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
      "linear scaling without its factor",
      { rope_scaling: { type: "linear" } },
      '"rope_scaling.factor": expected a positive number, got nothing',
    ],
    ["tying that is no boolean", { tie_word_embeddings: 1 }, '"tie_word_embeddings": expected true or false, got 1'],
  ])("%s", async (_, change, expected) => {
    const said = await complaint(() => parseConfig({ ...base, ...change }, "dir/config.json"));
    expect(said).toMatch(/^dir\/config\.json: /);
    expect(said).toContain(expected);
  });

  test("what is no object", async () => {
    expect(await complaint(() => parseConfig([], "c.json"))).toBe("c.json: expected an object, got []");
    expect(await complaint(() => parseConfig(null, "c.json"))).toBe("c.json: expected an object, got null");
  });
});

const families = shared("golden/families");
describe.skipIf(families === undefined)("families beyond plain Llama (needs the shared data)", () => {
  test.each([
    ["llama-mlp-bias", "mlp_bias"],
    ["llama-dynamic", "rope_scaling.type"],
    ["mistral-window", "architectures"],
    ["phi3-fused", "architectures"],
    ["qwen2-bias", "architectures"],
    ["qwen3-qknorm", "architectures"],
  ])("%s is refused for its %s", async (name, key) => {
    const file = `${families}/${name}/config.json`;
    const json: unknown = JSON.parse(await readFile(file, "utf8"));
    const said = await complaint(() => parseConfig(json, file));
    expect(said).toContain(file);
    expect(said).toContain(`"${key}"`);
  });
});
