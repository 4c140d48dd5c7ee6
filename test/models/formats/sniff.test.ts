/** What a wrong file is, and that every loader says so. */
import { mkdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { hearthFile } from "../../../models/embedded/hearth/index.ts";
import { openLlama2cBytes } from "../../../models/formats/llama2c.ts";
import { encodeSafetensors, readSafetensors } from "../../../models/formats/safetensors.ts";
import { memoryBytes } from "../../../models/io/bytes.ts";
import { duplicateKey } from "../../../models/io/json.ts";
import { type FileKind, sniff } from "../../../models/io/sniff.ts";
import { openModel } from "../../../models/open.ts";
import { loadLlama2cTokenizer } from "../../../models/tokenizers/llama2c.ts";
import { UserError } from "../../../runtime/common/errors.ts";
import { fixture } from "./shared.ts";
import { complaint, copyFolder, temporary } from "./temporary.ts";

const at = temporary();
const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
const bytes = (...values: number[]): Uint8Array => new Uint8Array(values);

function llama2c(version: 0 | 1): Uint8Array {
  const out = new Uint8Array(256);
  const view = new DataView(out.buffer);
  const fields = [8, 12, 2, 2, 1, version === 0 ? -260 : 260, 16];
  if (version === 1) [0x616b3432, 1].forEach((value, i) => void view.setInt32(4 * i, value, true));
  fields.forEach((value, i) => void view.setInt32((version === 0 ? 0 : 8) + 4 * i, value, true));
  return out;
}

/** A zip whose first entry has this name. */
function zip(name: string): Uint8Array {
  const out = new Uint8Array(30 + name.length);
  out.set([0x50, 0x4b, 3, 4]);
  out[26] = name.length;
  out.set(utf8(name), 30);
  return out;
}

const POINTER = "version https://git-lfs.example/spec/v1\noid sha256:4d7a\nsize 2200119864\n";
const tensors = encodeSafetensors({ x: { dtype: "F32", shape: [1], data: new Float32Array(1) } });

const FILES: readonly (readonly [string, FileKind, Uint8Array, what: string, advice?: string])[] = [
  ["nothing", "empty", bytes(), "an empty file", "download it again"],
  ["safetensors", "safetensors", tensors, "a safetensors file"],
  [
    "a pointer",
    "lfs-pointer",
    utf8(POINTER),
    "a Git LFS pointer in place of a file of 2200119864 bytes",
    "git lfs pull",
  ],
  ["a page", "html", utf8("\n<!DOCTYPE html><html>"), "an HTML or XML page", "log-in"],
  ["an answer of a store", "html", utf8('<?xml version="1.0"?><Error>'), "an HTML or XML page"],
  ["JSON", "json", utf8('{"a": 1}'), "a JSON file"],
  ["GGUF", "gguf", bytes(0x47, 0x47, 0x55, 0x46, 3, 0, 0, 0), "a GGUF file", "not supported yet"],
  ["GGML", "ggml", utf8("tjgg\u0001\u0000\u0000\u0000"), "a GGML file (ggjt)"],
  ["a PyTorch zip", "zip", zip("archive/data.pkl"), "a PyTorch checkpoint (a zip with a pickle)", "convert"],
  ["a zip", "zip", zip("letter.txt"), "a zip archive", "unpack"],
  ["npz", "zip", zip("weights.npy"), "NumPy arrays (npz)"],
  ["a pickle", "pickle", bytes(0x80, 2, 0x8a, 10), "a Python pickle, as old PyTorch checkpoints are", "any code"],
  ["gzip", "gzip", gzipSync("hello"), "a gzip archive", "unpack"],
  ["llama2.c, version 0", "llama2.c", llama2c(0), "a llama2.c checkpoint"],
  ["llama2.c, version 1", "llama2.c", llama2c(1), "a llama2.c checkpoint"],
  ["HDF5", "hdf5", bytes(0x89, 0x48, 0x44, 0x46, 13, 10, 26, 10), "an HDF5 file, as Keras writes"],
  ["a sentence", "text", utf8("Entry not found"), 'a text that begins "Entry not found"'],
  ["zeros", "unknown", new Uint8Array(64), "nothing but zeros at its beginning, as of a download that broke off"],
  ["noise", "unknown", bytes(9, 200, 3, 150, 77), "a file of no known kind (it begins 09 c8 03 96 4d)"],
];

const cases = FILES.map(([name, kind, content, what, advice = ""]) => ({ name, kind, content, what, advice }));

describe.each(cases)("$name", ({ kind, content, what, advice }) => {
  test("is known by its bytes", () => {
    const found = sniff(content, "model.dat");
    expect(found).toMatchObject({ kind, what });
    expect(found.advice ?? "").toContain(advice);
    // From the middle of a larger buffer as well.
    const larger = new Uint8Array(content.byteLength + 3);
    larger.set(content, 3);
    expect(sniff(larger.subarray(3), "model.dat")).toEqual(found);
  });

  const source = memoryBytes("model.dat", content);
  const readers: readonly [string, FileKind, () => Promise<unknown>][] = [
    ["a safetensors file", "safetensors", () => readSafetensors(source)],
    ["a llama2.c checkpoint", "llama2.c", () => openLlama2cBytes(source, () => Promise.reject(new Error("unused")))],
  ];
  test.each(readers.filter(([, own]) => own !== kind))("is refused as %s by what it is", async (wanted, _own, read) => {
    const error = await read().then(
      () => undefined,
      (e: unknown) => e,
    );
    if (!(error instanceof UserError)) throw new Error(`expected a UserError, got ${error}`);
    expect(error.message).toMatch(/^model\.dat: /);
    // Of a file of no known kind there is nothing to say but what is wrong with it.
    if (kind === "unknown") expect(error.message).toMatch(/truncated|not a (safetensors file|llama2\.c checkpoint)/);
    else expect(error.message).toBe(`model.dat: expected ${wanted}, got ${what}`);
    if (kind !== "unknown") expect(error.hint ?? "").toContain(advice);
  });
});

describe("every door", () => {
  test("openModel on a file", async () => {
    await writeFile(at("m.bin"), zip("archive/data.pkl"));
    expect(await complaint(() => openModel(at("m.bin")))).toBe(
      `${at("m.bin")}: expected a Hugging Face folder or a llama2.c .bin file, got a PyTorch checkpoint (a zip with a pickle)`,
    );
    await writeFile(at("model.safetensors"), tensors);
    expect(await complaint(() => openModel(at("model.safetensors")))).toContain("got a safetensors file");
  });

  test.each(["config.json", "model.safetensors", "tokenizer.json", "generation_config.json"])(
    "a pointer as %s",
    async (name) => {
      const folder = await copyFolder(fixture("families/llama2-mha"), at(`pointer-${name}`));
      await writeFile(join(folder, name), POINTER);
      const said = await complaint(async () => (await openModel(folder)).tokenizer());
      const wanted = name === "model.safetensors" ? "a safetensors file" : "a JSON file";
      expect(said).toBe(
        `${join(folder, name)}: expected ${wanted}, got a Git LFS pointer in place of a file of 2200119864 bytes`,
      );
    },
  );

  test("a pointer as a shard's index, and as the tokenizer of llama2.c", async () => {
    const folder = await copyFolder(fixture("families/llama2-mha"), at("pointer-index"));
    await rm(join(folder, "model.safetensors"));
    await writeFile(join(folder, "model.safetensors.index.json"), POINTER);
    expect(await complaint(() => openModel(folder))).toContain("expected a JSON file, got a Git LFS pointer");
    expect(await complaint(() => loadLlama2cTokenizer(memoryBytes("t.bin", utf8(POINTER)), 260))).toBe(
      "t.bin: expected the tokenizer of a llama2.c model, got a Git LFS pointer in place of a file of 2200119864 bytes",
    );
  });

  test("JSON that is not UTF-8", async () => {
    const folder = await copyFolder(fixture("families/llama2-mha"), at("latin"));
    await writeFile(join(folder, "config.json"), bytes(0x7b, 0x22, 0xe9, 0x22, 0x3a, 0x31, 0x7d));
    expect(await complaint(() => openModel(folder))).toContain("config.json: not valid JSON");
  });

  test("a link to nothing", async () => {
    await mkdir(at("linked"));
    await symlink(at("gone"), at("linked/config.json"));
    expect(await complaint(() => openModel(at("linked")))).toBe(
      `${at("linked/config.json")}: a link to a file that is not there`,
    );
  });
});

describe("folders without a model, by what they hold", () => {
  const cases: readonly (readonly [string, Record<string, string>, what: string, hint: string])[] = [
    ["GGUF", { "a.Q4_0.gguf": "GGUF", "README.md": "" }, "holds GGUF files only (a.Q4_0.gguf)", "not supported yet"],
    [
      "a LoRA adapter",
      { "adapter_config.json": '{"base_model_name_or_path": "some/base"}', "adapter_model.safetensors": "" },
      "holds a LoRA adapter of some/base, not a model",
      "merge",
    ],
    ["PyTorch", { "pytorch_model.bin": "" }, "holds PyTorch checkpoints only (pytorch_model.bin)", "convert"],
    ["pth", { "consolidated.00.pth": "" }, "holds PyTorch checkpoints only (consolidated.00.pth)", "convert"],
    [
      "shards without an index",
      { "model-00001-of-00003.safetensors": "", "model-00003-of-00003.safetensors": "" },
      "holds 2 of 3 safetensors shards, but no model.safetensors.index.json",
      "index",
    ],
    ["Keras", { "tf_model.h5": "" }, "holds weights of another framework only (tf_model.h5)", "convert"],
  ];
  test.each(cases)("%s", async (name, files, what, hint) => {
    for (const config of [false, true]) {
      const folder = at(`${name}-${config}`);
      await mkdir(folder);
      for (const [file, content] of Object.entries(files)) await writeFile(join(folder, file), content);
      if (config) {
        await writeFile(join(folder, "config.json"), await readFile(fixture("families/llama2-mha/config.json")));
      }
      const error = await openModel(folder).catch((e: unknown) => e);
      expect(error).toBeInstanceOf(UserError);
      expect((error as UserError).message).toBe(`${folder}: ${what}`);
      expect((error as UserError).hint).toContain(hint);
    }
  });
});

describe("paths and URLs", () => {
  test("the URL of a folder, also as text", async () => {
    const url = new URL("./", pathToFileURL(hearthFile("recall.jsonl")));
    for (const place of [url, url.href]) expect((await openModel(place)).config.name).toBe("hearth");
  });

  test("URLs of other places", async () => {
    for (const place of [new URL("https://example.org/model"), "https://example.org/model"]) {
      expect(await complaint(() => openModel(place))).toBe(
        "https://example.org/model: expected a path or a file: URL, since models are opened from the disk",
      );
    }
  });
});

test("keys that stand twice", () => {
  expect(duplicateKey('{"a": {"b": 1}, "b": [{"a": 1}, {"a": 2}], "c": "a\\"a\\":"}')).toBeUndefined();
  expect(duplicateKey('{"a": 1, "\\u0061": 2}')).toBe("a");
  expect(duplicateKey('[{"x": {"y": 1, "z": "}", "y" : 3}}]')).toBe("y");
});
