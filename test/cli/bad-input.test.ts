/**
 * Input that cannot work: one clear message that names file, tensor or kernel, exit code 1, no stack trace unless asked
 * for.
 */
import { readFile, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { readSafetensors, type SafetensorsInput, writeSafetensors } from "../../models/formats/safetensors.ts";
import { Gpu } from "../../runtime/index.ts";
import { fixture } from "../models/formats/shared.ts";
import { complaint, copyFolder, temporary } from "../models/formats/temporary.ts";
import { adaptersUnderTest, withDevice } from "../support/gpu.ts";
import { cli, type Said } from "./run.ts";
import { twice } from "./twice.ts";

const at = temporary();
const [fastest = ""] = adaptersUnderTest();
const FAMILY = fixture("families/llama2-mha");

/** A copy of a model, changed. */
async function broken(name: string, change: (folder: string) => Promise<void>): Promise<string> {
  const folder = await copyFolder(FAMILY, at(name));
  await change(folder);
  return folder;
}

/** One tensor of the model is replaced. */
async function withTensor(
  folder: string,
  name: string,
  change: (t: SafetensorsInput) => SafetensorsInput,
): Promise<void> {
  const file = join(folder, "model.safetensors");
  const all: Record<string, SafetensorsInput> = {};
  for (const [key, { dtype, shape, bytes }] of (await readSafetensors(file)).tensors) {
    const tensor = { dtype, shape, data: await bytes() };
    all[key] = key === name ? change(tensor) : tensor;
  }
  await writeSafetensors(file, all);
}

/** Fails unless the command ended with code 1 and just these lines. */
function expectComplaint(said: Said, message: string): void {
  expect(said.out).toBe("");
  // What was opened may have been said before.
  const lines = said.err.replaceAll(/^(adapter|memory|tales| {3,}).*\n/gm, "");
  expect(lines).toBe(message);
  expect(said.code).toBe(1);
}

describe("a model", () => {
  test("that is not there", async () => {
    expectComplaint(
      await cli("generate", "--model", at("nowhere")),
      `error: ${at("nowhere")}: no such model file or folder\n` +
        'hint: give a Hugging Face folder, a llama2.c .bin, or "hearth" for the embedded model\n',
    );
  });

  test("without weights", async () => {
    const folder = await broken("weightless", (f) => rm(join(f, "model.safetensors")));
    expectComplaint(
      await cli("inspect", "--model", folder),
      `error: ${folder}: no weights: expected model.safetensors or model.safetensors.index.json\n` +
        "hint: other weight files (.bin, .pth) have to be converted to safetensors first\n",
    );
  });

  test("whose file is cut off", async () => {
    const size = (await readFile(join(FAMILY, "model.safetensors"))).byteLength;
    const folder = await broken("cut", (f) => truncate(join(f, "model.safetensors"), size - 1000));
    const said = await cli("forward", "--model", folder, "--ids", "1", "--out", at("x"));
    expect([said.code, said.out]).toEqual([1, ""]);
    expect(said.err).toMatch(
      new RegExp(
        `^error: ${folder}/model.safetensors: truncated: tensor ".*" ends at byte \\d+, but the file has ${size - 1000} bytes\n$`,
      ),
    );
  });

  test("of another architecture", async () => {
    const folder = await broken("mistral", async (f) => {
      const config = await readFile(join(f, "config.json"), "utf8");
      await writeFile(join(f, "config.json"), config.replace("LlamaForCausalLM", "MistralForCausalLM"));
    });
    expectComplaint(
      await cli("inspect", "--model", folder),
      `error: ${folder}/config.json: "architectures": expected LlamaForCausalLM (the only architecture supported), got ["MistralForCausalLM"]\n`,
    );
  });

  test("with a tensor of the wrong shape", async () => {
    const folder = await broken("shape", (f) =>
      withTensor(f, "model.layers.1.mlp.down_proj.weight", (t) => ({ ...t, shape: [...t.shape].reverse() })),
    );
    expectComplaint(
      await cli("inspect", "--model", folder),
      `error: ${folder}/model.safetensors: tensor "model.layers.1.mlp.down_proj.weight": expected shape [64, 160], got [160, 64]\n`,
    );
  });

  test("with a tensor of the wrong dtype", async () => {
    const folder = await broken("dtype", (f) =>
      withTensor(f, "model.norm.weight", (t) => ({ ...t, dtype: "I32", data: new Int32Array(64) })),
    );
    const said = await cli("inspect", "--model", folder);
    expect([said.code, said.out]).toEqual([1, ""]);
    expect(said.err).toContain(`error: ${folder}/model.safetensors: tensor "model.norm.weight": `);
    expect(said.err).toContain("I32");
  });

  test("without a tokenizer, asked for text", async () => {
    expectComplaint(
      await cli("generate", "--model", FAMILY, "Hello"),
      `error: ${FAMILY}: no tokenizer: expected tokenizer.json\nhint: token ids can be given instead of text\n`,
    );
  });
});

describe("tokens", () => {
  const forward = (...args: string[]): Promise<Said> =>
    cli("forward", "--adapter", fastest, "--out", at("out.safetensors"), ...args);

  test.each(["1024", "-1"])("id %s is outside the vocabulary", async (id) => {
    expectComplaint(
      await forward("--ids", `3,4,${id}`),
      `error: token id ${id} (number 3) is outside the vocabulary of 1024\n`,
    );
  });

  test("more than the full cache has positions for", async () => {
    expectComplaint(
      await forward("--ids", "1,2,3,4,5", "--state", "full:4"),
      'error: the prompt has 5 tokens, more than the 4 positions of state "full:4"\n' +
        "hint: use a state that drops tokens, such as tova:128\n",
    );
    const long = Array.from({ length: 1025 }, () => 35).join(",");
    expectComplaint(
      await cli("generate", "--adapter", fastest, "--ids", long),
      'error: the prompt has 1025 tokens, more than the 1024 positions of state "full"\n' +
        "hint: use a state that drops tokens, such as tova:128\n",
    );
  });

  test("in a file that holds none", async () => {
    await writeFile(at("words.json"), '{"ids": ["one"]}');
    expectComplaint(
      await forward("--ids-file", at("words.json")),
      `error: ${at("words.json")}: expected a list of token ids, or an object with such a list as "ids" or "input_ids"\n`,
    );
    await writeFile(at("none.json"), "[]");
    expectComplaint(await forward("--ids-file", at("none.json")), "error: no tokens to read: the prompt is empty\n");
  });

  test("whose logits have nowhere to go", async () => {
    const said = await cli("forward", "--adapter", fastest, "--ids", "1", "--out", at("no/such/folder/out"));
    expect(said.code).toBe(1);
    expect(said.err).toContain(`error: ${at("no/such/folder/out")}: cannot write (ENOENT`);
  });
});

describe("a state", () => {
  const hint = "hint: for example full, window:128, window:128,first=4, tova:128, tova:128,recent=16\n";
  test.each([
    ["tova:0", 'state "tova:0": the number of slots must be a whole number of at least 1, got "0"\n'],
    ["full:0", 'state "full:0": the number of slots must be a whole number of at least 1, got "0"\n'],
    ["tova", 'state "tova": "tova" needs a number of slots, as in tova:128\n'],
    ["tova:many", 'state "tova:many": the number of slots must be a whole number of at least 1, got "many"\n'],
    ["lru:3", `unknown state policy "lru" in "lru:3"; there are full, window, tova\n${hint}`],
    ["tova:8,last=2", `state "tova:8,last=2": "tova" has no option "last"; it takes recent, first\n${hint}`],
  ])("%s", async (state, message) => {
    for (const command of [["inspect"], ["generate", "--adapter", fastest]]) {
      const said = await cli(...command, "--state", state);
      expect([said.code, said.out]).toEqual([1, ""]);
      expect(said.err.startsWith(`error: ${message}`), said.err).toBe(true);
    }
  });
});

describe("sampling", () => {
  test.each([
    ["--temperature", "-1", "temperature must be 0 or more, got -1"],
    ["--top-p", "1.5", "top-p must be above 0 and at most 1, got 1.5"],
  ])("%s %s", async (option, value, message) => {
    const said = await cli("generate", option, value, "--adapter", fastest);
    expect([said.code, said.out]).toEqual([1, ""]);
    expect(said.err).toContain(`error: ${message}`);
  });
});

test("an adapter that is not there: what there is, and a stack trace only when asked for", async () => {
  const said = await cli("generate", "--adapter", "geforce 256");
  expect([said.code, said.out]).toEqual([1, ""]);
  expect(said.err).toMatch(
    /^error: no adapter matches "geforce 256"; found: .*\nhint: besides a part of those names, .*\n$/,
  );
  const asked = await cli("generate", "--adapter", "geforce 256", "--stack");
  expect(asked.err).toMatch(/^UserError: no adapter matches "geforce 256"[^\n]*\n\s+at /m);
});

test("a tensor bound with the wrong dims or dtype names kernel, parameter and tensor", async () => {
  const gpu = new Gpu(await withDevice(fastest));
  const kernels = await gpu.kernels({ url: new URL("./twice.ts", import.meta.url).href }, { twice });
  const x = gpu.tensor({ rows: 1, columns: 4 }, "f32", { label: "prices" });
  const bind = (shape: number[], dtype: "f32" | "u32"): Promise<string> => {
    const y = gpu.tensor(shape, dtype, { label: "totals" });
    return complaint(() => kernels.twice(x, y)).finally(() => y.destroy());
  };
  expect(await bind([4], "f32")).toContain(
    'kernel twice: parameter "y" expected 2 dims ("rows columns"), got 1 dims [4] ("totals")',
  );
  expect(await bind([1, 5], "f32")).toContain(
    'kernel twice: parameter "y" expected 4 elements along "columns" (as in "x"), got 5 ("totals" is [1, 5])',
  );
  expect(await bind([1, 4], "u32")).toContain('kernel twice: parameter "y" expected f32, got u32 ("totals")');
  x.destroy();
});
