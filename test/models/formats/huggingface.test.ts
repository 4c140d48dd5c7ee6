/**
 * Hugging Face folders: the right numbers under the right names, in one file or several, and a clear message for
 * everything that is not as it should be.
 */

import { mkdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { llamaDims } from "../../../models/config/families/llama.ts";
import { openHuggingFace, openHuggingFaceFolder } from "../../../models/formats/huggingface.ts";
import { readSafetensors, type SafetensorsInput, writeSafetensors } from "../../../models/formats/safetensors.ts";
import { memoryFolder } from "../../../models/io/bytes.ts";
import { diskFolder } from "../../../models/io/node.ts";
import { openModel } from "../../../models/open.ts";
import { canonicalShapes, type ModelSource } from "../../../models/weights/source.ts";
import { referenceLogits } from "./reference.ts";
import { fixture, shared } from "./shared.ts";
import { complaint, copyFolder, temporary } from "./temporary.ts";

const at = temporary();
/** Family, and dtype of its weights. */
const FAMILIES = [
  ["llama2-mha", "f32"],
  ["llama3.2-tied", "bf16"],
  ["tinyllama-f16", "f16"],
] as const;

const json = async (path: string): Promise<Record<string, unknown>> =>
  JSON.parse(await readFile(path, "utf8")) as Record<string, unknown>;

/** The tensors of a file, ready to be changed and written again. */
async function inputs(path: string): Promise<Record<string, SafetensorsInput>> {
  const out: Record<string, SafetensorsInput> = {};
  for (const [name, { dtype, shape, bytes }] of (await readSafetensors(path)).tensors)
    out[name] = { dtype, shape, data: await bytes() };
  return out;
}

/** Splits a family into two shards, every second tensor in each, and gives the folder. */
async function sharded(family: string, folder: string): Promise<string> {
  await mkdir(folder);
  await writeFile(join(folder, "config.json"), await readFile(fixture(`families/${family}/config.json`)));
  const parts: Record<string, SafetensorsInput>[] = [{}, {}];
  const weight_map: Record<string, string> = {};
  const all = Object.entries(await inputs(fixture(`families/${family}/model.safetensors`)));
  all.forEach(([name, tensor], i) => {
    const part = parts[i % 2];
    if (part !== undefined) part[name] = tensor;
    weight_map[name] = shardName(i % 2);
  });
  for (const [i, part] of parts.entries()) await writeSafetensors(join(folder, shardName(i)), part, { format: "pt" });
  await writeFile(
    join(folder, "model.safetensors.index.json"),
    JSON.stringify({ metadata: { total_size: 1 }, weight_map }),
  );
  return folder;
}

const shardName = (i: number): string => `model-0000${i + 1}-of-00002.safetensors`;

/** Largest difference of two rows, in units of the spread of the second. */
function distance(got: Float64Array | undefined, expected: ArrayLike<number>): number {
  const row = Array.from(expected);
  const mean = row.reduce((a, b) => a + b, 0) / row.length;
  const spread = Math.sqrt(row.reduce((sum, value) => sum + (value - mean) ** 2, 0) / row.length);
  return Math.max(...row.map((value, i) => Math.abs(value - (got?.[i] ?? Number.NaN)))) / spread;
}

/**
 * The same kind of array, with the same bits. Element by element, as `toEqual` compares, a checkpoint takes seconds:
 * only one that differs is shown so.
 */
function expectEqual(got: ArrayBufferView, want: ArrayBufferView | undefined): void {
  const bytes = (x: ArrayBufferView): Buffer => Buffer.from(x.buffer, x.byteOffset, x.byteLength);
  if (want === undefined || got.constructor !== want.constructor || !bytes(got).equals(bytes(want)))
    expect(got).toEqual(want);
}

async function expectSame(a: ModelSource, b: ModelSource): Promise<void> {
  for (const name of canonicalShapes(a.config).keys()) {
    const [one, other] = [a.tensor(name), b.tensor(name)];
    expect(other).toMatchObject({ name: one.name, shape: one.shape, dtype: one.dtype });
    expectEqual(await other.data(), await one.data());
  }
}

describe.each(FAMILIES)("%s", (family, dtype) => {
  test("every tensor has the config's shape, and its bits are the file's", async () => {
    const source = await openHuggingFace(fixture(`families/${family}`));
    expect(source.config.name).toBe(family);
    const stored = await inputs(fixture(`families/${family}/model.safetensors`));
    for (const [name, shape] of canonicalShapes(source.config)) {
      const tensor = source.tensor(name);
      expect(tensor).toMatchObject({ shape, dtype });
      const data = await tensor.data();
      expect(data).toBeInstanceOf(dtype === "f32" ? Float32Array : Uint16Array);
      expectEqual(new Uint8Array(data.buffer), stored[tensor.name]?.data);
    }
    expect(source.tensor("layers.1.gate").name).toBe("model.layers.1.mlp.gate_proj.weight");
  });

  test("a plain forward pass over the canonical weights gives the recorded logits", async () => {
    const source = await openHuggingFace(fixture(`families/${family}`));
    const { input_ids } = await json(fixture(`families/${family}/case.json`));
    const expected = (await readSafetensors(fixture(`families/${family}/expected.safetensors`))).tensors.get("logits");
    const bytes = await expected?.bytes();
    const logits = new Float32Array(bytes?.buffer ?? new ArrayBuffer(0));
    const rows = await referenceLogits(source, input_ids as number[]);
    expect(rows.length).toBe(expected?.shape[0]);
    rows.forEach((row, i) => {
      expect(distance(row, logits.subarray(i * row.length, (i + 1) * row.length))).toBeLessThan(2e-5);
    });
  });

  test("two shards give what one file gives", async () => {
    const folder = await sharded(family, at(`${family}-sharded`));
    await expectSame(await openHuggingFace(fixture(`families/${family}`)), await openHuggingFace(folder));
  });
});

describe("tied weights", () => {
  test("embedding and head are one tensor, stored under either name or both", async () => {
    const origin = fixture("families/llama3.2-tied");
    const source = await openHuggingFace(origin);
    expect(source.tensor("head")).toBe(source.tensor("embed"));

    const { "model.embed_tokens.weight": embed, ...rest } = await inputs(join(origin, "model.safetensors"));
    if (embed === undefined) throw new Error("the family stores its embedding");
    const folder = await copyFolder(origin, at("head-only"));
    await writeSafetensors(join(folder, "model.safetensors"), { ...rest, "lm_head.weight": embed });
    const headOnly = await openHuggingFace(folder);
    expect(headOnly.tensor("embed").name).toBe("lm_head.weight");
    expect(headOnly.tensor("head")).toBe(headOnly.tensor("embed"));
    expectEqual(await headOnly.tensor("embed").data(), await source.tensor("embed").data());

    const other = { ...embed, data: new Uint16Array(embed.data.byteLength / 2) };
    await writeSafetensors(join(folder, "model.safetensors"), {
      ...rest,
      "model.embed_tokens.weight": embed,
      "lm_head.weight": other,
    });
    const untied = await openHuggingFace(folder);
    expect(untied.config.tied).toBe(false);
    expect(untied.tensor("head").name).toBe("lm_head.weight");
    expectEqual(await untied.tensor("head").data(), other.data);
    expectEqual(await untied.tensor("embed").data(), await source.tensor("embed").data());
    expect(untied.notes).toEqual([expect.stringContaining('"lm_head.weight" is not the embedding')]);

    await writeSafetensors(join(folder, "model.safetensors"), {
      ...rest,
      "model.embed_tokens.weight": embed,
      "lm_head.weight": embed,
    });
    const twice = await openHuggingFace(folder);
    expect(twice.tensor("head")).toBe(twice.tensor("embed"));
    expect(twice.notes).toEqual([]);
  });

  test("an untied model needs both", async () => {
    const folder = await copyFolder(fixture("families/llama2-mha"), at("untied"));
    const { "lm_head.weight": _, ...rest } = await inputs(join(folder, "model.safetensors"));
    await writeSafetensors(join(folder, "model.safetensors"), rest);
    expect(await complaint(() => openHuggingFace(folder))).toBe(
      `${folder}: tensor "lm_head.weight" is missing, expected shape [320, 64]`,
    );
  });
});

describe("where models come from", () => {
  test("the embedded model is the default", async () => {
    for (const path of [undefined, "hearth"]) {
      const source = await openModel(path);
      expect(llamaDims(source.config)).toMatchObject({
        name: "hearth",
        layers: 6,
        dim: 256,
        heads: 4,
        kvHeads: 2,
        headDim: 64,
        vocab: 1024,
        tied: true,
      });
      expect(source.tensor("embed")).toMatchObject({ shape: [1024, 256], dtype: "f16" });
    }
  });

  test("its weights give the recorded logits", async () => {
    const golden = (await json(fixture("golden/hearth.json"))).teacher as { ids: number[]; top5: [number, number][][] };
    const rows = await referenceLogits(await openModel(undefined), golden.ids.slice(0, 24));
    rows.forEach((row, i) => {
      for (const [id, logit] of golden.top5[i] ?? []) expect(row[id]).toBeCloseTo(logit, 4);
    });
  });

  test("a folder in memory", async () => {
    const origin = fixture("families/tinyllama-f16");
    const files = new Map<string, Uint8Array>();
    for (const name of ["config.json", "model.safetensors"]) files.set(name, await readFile(join(origin, name)));
    await expectSame(await openHuggingFace(origin), await openHuggingFaceFolder(memoryFolder("memory", files)));
  });

  test("asking for a weight the model does not have is a defect, not a user's error", async () => {
    const source = await openHuggingFaceFolder(diskFolder(fixture("families/llama2-mha")));
    expect(() => source.tensor("layers.3.q")).toThrow(RangeError);
  });

  test("paths that are no model", async () => {
    expect(await complaint(() => openModel(at("absent")))).toBe(`${at("absent")}: no such model file or folder`);
    await writeFile(at("x.gguf"), "GGUF");
    expect(await complaint(() => openModel(at("x.gguf")))).toBe(
      `${at("x.gguf")}: expected a Hugging Face folder or a llama2.c .bin file, got a GGUF file`,
    );
    await writeFile(at("x.txt"), "hello");
    expect(await complaint(() => openModel(at("x.txt")))).toContain(
      "expected a Hugging Face folder or a llama2.c .bin file",
    );
    await mkdir(at("empty"));
    expect(await complaint(() => openModel(at("empty")))).toBe(
      `${at("empty")}: not a model folder: it has no config.json`,
    );
  });
});

describe("damage", () => {
  const origin = fixture("families/llama2-mha");
  const changed = async (
    name: string,
    change: (tensors: Record<string, SafetensorsInput>) => void,
  ): Promise<string> => {
    const folder = await copyFolder(origin, at(name));
    const tensors = await inputs(join(folder, "model.safetensors"));
    change(tensors);
    await writeSafetensors(join(folder, "model.safetensors"), tensors);
    return folder;
  };

  test("config.json that is not JSON", async () => {
    const folder = await copyFolder(origin, at("bad-json"));
    await writeFile(join(folder, "config.json"), "{");
    expect(await complaint(() => openHuggingFace(folder))).toContain(`${join(folder, "config.json")}: not valid JSON`);
  });

  test("no weights", async () => {
    const folder = await copyFolder(origin, at("no-weights"));
    await rm(join(folder, "model.safetensors"));
    expect(await complaint(() => openHuggingFace(folder))).toContain(
      "expected model.safetensors or model.safetensors.index.json",
    );
  });

  test("a truncated file", async () => {
    const folder = await copyFolder(origin, at("truncated"));
    await truncate(join(folder, "model.safetensors"), 500_000);
    expect(await complaint(() => openHuggingFace(folder))).toMatch(
      /model\.safetensors: truncated: tensor "[\w.]+" ends at byte \d+, but the file has 500000 bytes/,
    );
  });

  test("a file that shrinks after it was opened", async () => {
    const folder = await copyFolder(origin, at("shrinks"));
    const source = await openHuggingFace(folder);
    await truncate(join(folder, "model.safetensors"), 5000);
    expect(await complaint(() => source.tensor("norm").data())).toContain("truncated while it was read");
  });

  test("a wrong shape", async () => {
    const name = "model.layers.1.self_attn.k_proj.weight";
    const folder = await changed("shape", (tensors) => {
      tensors[name] = { dtype: "F32", shape: [32, 64], data: new Float32Array(32 * 64) };
    });
    expect(await complaint(() => openHuggingFace(folder))).toBe(
      `${join(folder, "model.safetensors")}: tensor "${name}": expected shape [64, 64], got [32, 64]`,
    );
  });

  test("a wrong dtype", async () => {
    const folder = await changed("dtype", (tensors) => {
      tensors["model.norm.weight"] = { dtype: "I32", shape: [64], data: new Int32Array(64) };
    });
    expect(await complaint(() => openHuggingFace(folder))).toContain(
      'tensor "model.norm.weight": expected dtype F32, F16 or BF16, got I32',
    );
  });

  test("a missing tensor, and tensors a Llama does not have", async () => {
    const missing = await changed("missing", (tensors) => {
      delete tensors["model.layers.2.mlp.up_proj.weight"];
    });
    expect(await complaint(() => openHuggingFace(missing))).toContain(
      'tensor "model.layers.2.mlp.up_proj.weight" is missing',
    );
    const bias = await changed("bias", (tensors) => {
      tensors["model.layers.0.self_attn.q_proj.bias"] = { dtype: "F32", shape: [64], data: new Float32Array(64) };
    });
    expect(await complaint(() => openHuggingFace(bias))).toContain(
      '"model.layers.0.self_attn.q_proj.bias" does not belong to a LlamaForCausalLM of 3 layers',
    );
    const frequencies = await changed("frequencies", (tensors) => {
      tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = { dtype: "F32", shape: [8], data: new Float32Array(8) };
    });
    await expectSame(await openHuggingFace(origin), await openHuggingFace(frequencies));
  });

  test("shards: a missing one, a tensor that is elsewhere, names that leave the folder", async () => {
    const folder = await sharded("llama2-mha", at("bad-shards"));
    const index = join(folder, "model.safetensors.index.json");
    const { weight_map: map } = (await json(index)) as { weight_map: Record<string, string> };
    const rewrite = (change: Record<string, string>) =>
      writeFile(index, JSON.stringify({ weight_map: { ...map, ...change } }));

    await rewrite({ "model.norm.weight": "model-00003-of-00003.safetensors" });
    expect(await complaint(() => openHuggingFace(folder))).toBe(
      `${index}: shard "model-00003-of-00003.safetensors" is missing (it holds tensor "model.norm.weight")`,
    );
    await rewrite({ "model.norm.weight": map["model.norm.weight"] === shardName(0) ? shardName(1) : shardName(0) });
    expect(await complaint(() => openHuggingFace(folder))).toMatch(
      /-of-00002\.safetensors: tensor "model\.norm\.weight" is not in this shard/,
    );
    await rewrite({ "model.norm.weight": "../model.safetensors" });
    expect(await complaint(() => openHuggingFace(folder))).toContain(
      'expected a file name for tensor "model.norm.weight", got "../model.safetensors"',
    );
    await writeFile(index, "[]");
    expect(await complaint(() => openHuggingFace(folder))).toContain('"weight_map": expected an object');
  });
});

const trained = shared("models/tinystories-656k-hf");
describe.skipIf(trained === undefined)("a trained folder (needs the shared data)", () => {
  test("only lm_head.weight is stored; logits are the recorded ones", async () => {
    const source = await openModel(trained);
    expect(llamaDims(source.config)).toMatchObject({
      name: "tinystories-656k-hf",
      tied: true,
      kvHeads: 4,
      eps: 1e-6,
      bos: [1],
      eos: [2],
    });
    expect(source.tensor("embed").name).toBe("lm_head.weight");
    const golden = (await json(fixture("golden/tinystories-656k.json"))).teacher as {
      ids: number[];
      last_logits: number[];
    };
    const rows = await referenceLogits(source, golden.ids);
    expect(distance(rows.at(-1), golden.last_logits)).toBeLessThan(1e-5);
  });
});
