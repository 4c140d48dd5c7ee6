/**
 * `warm`: what it compiles and says, what a second process finds of it, where caches lie, and what is wrong with its
 * input.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { verdict } from "../../cli/commands/warm.ts";
import { type Cache, driverCache } from "../../cli/warm/caches.ts";
import { fixture } from "../models/formats/shared.ts";
import { temporary } from "../models/formats/temporary.ts";
import { brokenModel } from "../support/broken-model.ts";
import { adaptersUnderTest, onlyOn } from "../support/gpu.ts";
import { launch } from "./launch.ts";
import { cli, cliJson } from "./run.ts";

interface Report {
  readonly adapter: { readonly name: string };
  readonly decoders: readonly {
    readonly model: string;
    readonly state: string;
    readonly batch: number;
    readonly weights: string;
    readonly load: { readonly pipelines: number };
    readonly parts: readonly { readonly name: string; readonly pipelines: number; readonly dispatches: number }[];
    readonly check: { readonly tokens: number };
  }[];
  readonly caches: { readonly kernels: Cache; readonly embedded?: Cache; readonly driver: Cache };
}

const at = temporary();
const MODEL = fixture("families/llama2-mha");
const LAVAPIPE = "llvmpipe";

describe.each(adaptersUnderTest())("on %s", (adapter) => {
  test("JSON names every part with its pipelines, and what is kept where", async () => {
    const got = await cliJson<Report>("warm", MODEL, "--state", "tova:24", "--batch", "2", "--adapter", adapter);
    const [decoder] = got.decoders;
    expect(got.decoders).toHaveLength(1);
    expect(decoder).toMatchObject({ state: "tova:24", batch: 2, weights: "stored", check: { tokens: 8 } });
    const names = ["token", "16 tokens", "16 tokens, evicting"].map((name) => `prompt: ${name}`);
    expect(decoder?.parts.map(({ name }) => name)).toEqual([...names, "choice", "step", "joining the batch"]);
    expect(decoder?.load.pipelines).toBeGreaterThan(0);
    expect(decoder?.parts.find(({ name }) => name === "prompt: 16 tokens")?.pipelines).toBeGreaterThan(0);
    expect(decoder?.parts.find(({ name }) => name === "step")?.pipelines).toBe(0);
    for (const part of decoder?.parts ?? []) expect(part.dispatches, part.name).toBeGreaterThan(0);
    const { driver, embedded } = got.caches;
    expect(embedded === undefined).toBe(adapter !== "swiftshader");
    if (embedded !== undefined) {
      expect(embedded.bytes).toBeGreaterThan(1 << 20);
      expect(driver.folder).toBeUndefined();
      expect(driver.note).toContain("SwiftShader keeps nothing on disk");
    }
  });
});

test("people read a table for each model and state, then the caches", async () => {
  const { code, out, err } = await cli("warm", MODEL, "--state", "full:12", "--state", "window:12", "--gpu", "null");
  expect(code).toBe(0);
  const tables = out.split("\n").filter((line) => /, (full|window):12, batch 1, weights as stored$/.test(line));
  expect(tables).toHaveLength(2);
  expect(out.match(/^part +pipelines +dispatches +made in ms +first run ms$/gm)).toHaveLength(2);
  expect(out.match(/^loading: weights and step +\d+ +[\d.]+$/gm)).toHaveLength(2);
  expect(out.match(/^prompt: 16 tokens +\d+ +\d+ +[\d.]+ +[\d.]+$/gm)).toHaveLength(2);
  expect(out.match(/^prompt: 16 tokens, evicting +\d+ +\d+ +[\d.]+ +[\d.]+$/gm)).toHaveLength(1);
  expect(
    out.match(/^check {5}8 tokens without another pipeline: the first after [\d.]+ ms, then one in [\d.]+ ms$/gm),
  ).toHaveLength(2);
  expect(out).toMatch(/^driver {4}none: the null backend runs nothing$/m);
  expect(out).toMatch(/^kernels {3}\S.*$/m);
  expect(out).toMatch(/^together {2}\d+ pipelines in \d+ ms\n$/m);
  expect(err).toMatch(/^adapter {2}null backend: .*, opened in [\d.]+ ms$/m);
  expect(err.match(/^memory {3}/gm)).toHaveLength(2);
});

test("hearth unless a model is named; --model, arguments and shapes add up", async () => {
  const nothing = await cliJson<Report>("warm", "--gpu", "null");
  expect(nothing.decoders.map(({ model, state }) => [model, state])).toEqual([["hearth", "full"]]);
  const shape = ["--shape", "stories15M", "--state", "full:20", "--weights", "q4"];
  const several = await cliJson<Report>("warm", "hearth", "--model", "hearth", ...shape, "--gpu", "null");
  expect(several.decoders.map(({ model, weights }) => [model, weights])).toEqual([
    ["hearth", "q4"],
    ["hearth", "q4"],
    ["stories15M", "q4"],
  ]);
});

test.each(onlyOn(LAVAPIPE))(
  "on %s later processes find in Mesa's cache all that the first ones left there",
  async () => {
    const cache = at("mesa");
    const env = { MESA_SHADER_CACHE_DIR: cache, MESA_SHADER_CACHE_DISABLE: "false" };
    const left = (): Cache => driverCache({ name: "", vendor: "mesa", architecture: "", description: "" }, env);
    const once = async (): Promise<Cache> => {
      const args = ["warm", MODEL, "--state", "window:12", "--gpu", LAVAPIPE, "--json"];
      const { code, out, err } = await launch(args, env)[1];
      if (code !== 0) throw new Error(err);
      return (JSON.parse(out) as Report).caches.driver;
    };
    expect(left().bytes).toBe(0);
    const first = await once();
    expect(first.folder?.startsWith(cache)).toBe(true);
    expect(first.bytes).toBeGreaterThan(0);
    // Mesa writes in a thread of its own, and on a busy machine a process may end before that is done: the next one
    // writes the rest.
    let [before, runs] = [left(), 0];
    for (let settled = false; !settled && runs < 4; runs++) {
      const { bytes, files } = await once();
      settled = bytes === before.bytes && files === before.files;
      before = left();
    }
    expect(runs).toBeLessThan(4);
  },
);

describe("the driver's cache", () => {
  const mesa = { name: "llvmpipe", vendor: "mesa", architecture: "software", description: "llvmpipe: Mesa 25.0.7" };
  const put = async (folder: string, size: number): Promise<void> => {
    await mkdir(join(folder, "part0"), { recursive: true });
    await writeFile(join(folder, "part0", "x"), new Uint8Array(size));
  };

  test("is where Mesa's variables put it", async () => {
    await put(at("a/mesa_shader_cache_db"), 30);
    await put(at("a/mesa_shader_cache"), 20);
    await put(at("b/mesa_shader_cache"), 10);
    await put(at("home/.cache/mesa_shader_cache_db"), 40);
    const found = (env: Record<string, string>): [string | undefined, number] => {
      const { folder, bytes } = driverCache(mesa, env);
      return [folder, bytes];
    };
    const home = { HOME: at("home") };
    expect(found(home)).toEqual([at("home/.cache/mesa_shader_cache_db"), 40]);
    expect(found({ ...home, XDG_CACHE_HOME: at("b") })).toEqual([at("b/mesa_shader_cache"), 10]);
    const a = { ...home, XDG_CACHE_HOME: at("b"), MESA_SHADER_CACHE_DIR: at("a") };
    expect(found(a)).toEqual([at("a/mesa_shader_cache_db"), 30]);
    expect(found({ ...a, MESA_DISK_CACHE_MULTI_FILE: "1" })).toEqual([at("a/mesa_shader_cache"), 20]);
    const radv = { name: "rx 7900 xt", vendor: "amd", architecture: "rdna-3", description: "radv: Mesa 24.2.8" };
    expect(driverCache(radv, a).bytes).toBe(30);
    const native = { name: "llvmpipe (LLVM 15.0.6, 256 bits)", vendor: "65541", architecture: "", description: "" };
    expect(driverCache(native, a).bytes).toBe(30);
  });

  test("is said to be missing, and why", () => {
    const nothing = { MESA_SHADER_CACHE_DIR: at("nothing") };
    expect(driverCache(mesa, nothing)).toEqual({
      folder: undefined,
      files: 0,
      bytes: 0,
      note: `none: Mesa has written nothing to ${at("nothing/mesa_shader_cache_db")}; can the folder be written?`,
    });
    const off = { MESA_SHADER_CACHE_DISABLE: "true" };
    expect(driverCache(mesa, off).note).toBe("none: Mesa's is turned off by MESA_SHADER_CACHE_DISABLE");
    const nvidia = { name: "h100", vendor: "nvidia", architecture: "hopper", description: "NVIDIA: 580.00" };
    expect(driverCache(nvidia, {}).note).toBe("the driver's own, if it has one: WebGPU does not tell");
  });
});

test("the check finds pipelines that were forgotten", () => {
  expect(verdict(0)).toBeUndefined();
  expect(verdict(1)).toEqual(new Error("a decoder that was warmed up made 1 more pipeline"));
  expect(verdict(2)).toEqual(new Error("a decoder that was warmed up made 2 more pipelines"));
});

test("weights that are NaN are not blamed on the adapter", async () => {
  const folder = at("broken");
  await brokenModel(folder, MODEL, "model.norm.weight");
  const { code, err } = await cli("warm", folder);
  expect(code).toBe(1);
  expect(err).toContain(
    "error: no token can be chosen for position 1: the logits there are no finite numbers\nhint: weights ",
  );
  expect(err).not.toContain("nonsense");
});

describe("wrong input is told before anything is compiled", () => {
  const cases: [string[], number, string][] = [
    [["./no-model"], 1, "error: ./no-model: no such model file or folder\n"],
    [["--shape", "stories16M"], 1, 'error: unknown shape "stories16M"\nhint: there are: stories15M, '],
    [["--state", "full", "--state", "lru:8"], 1, 'error: unknown state policy "lru" in "lru:8"; there are '],
    [
      ["--batch", "0"],
      2,
      "error: option '--batch <n>' argument '0' is invalid. Expected a whole number of at least 1.\n",
    ],
    [["--weights", "q3"], 2, "argument 'q3' is invalid. Allowed choices are f32, f16, bf16, fp8, q8, q4, q4_1.\n"],
  ];
  test.each(cases)("%j", async (args, code, message) => {
    const said = await cli("warm", ...args, "--gpu", "null");
    expect([said.code, said.out]).toEqual([code, ""]);
    expect(said.err).toContain(message);
    expect(said.err).not.toContain("adapter  ");
    expect(said.err).not.toMatch(/^\s+at /m);
  });

  test("a batch that is too large", async () => {
    const { code, out, err } = await cli("warm", MODEL, "--batch", "300", "--gpu", "null");
    expect([code, out]).toEqual([1, ""]);
    expect(err).toContain("error: batch must be a whole number from 1 to 256, got 300\n");
  });
});
