/**
 * `forward` and `inspect`: recorded logits come out of the file that is written, and sizes are those that are really
 * taken.
 */
import { readFile, writeFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { fixture } from "../models/formats/shared.ts";
import { temporary } from "../models/formats/temporary.ts";
import { adaptersUnderTest } from "../support/gpu.ts";
import { cli, cliJson, distance, tensorOf } from "./run.ts";

const at = temporary();
const [fastest = ""] = adaptersUnderTest();

/** Ids of a family's recorded case. */
async function idsOf(family: string): Promise<number[]> {
  const recorded = JSON.parse(await readFile(fixture(`families/${family}/case.json`), "utf8")) as Record<
    string,
    unknown
  >;
  return (recorded.ids ?? recorded.input_ids) as number[];
}

describe.each(adaptersUnderTest())("forward on %s", (adapter) => {
  test.each([
    ["llama2-mha", 2e-4],
    ["tinyllama-f16", 2e-3],
  ])("%s gives the recorded logits", async (family, tolerance) => {
    const out = at(`${adapter}-${family}.safetensors`);
    const model = fixture(`families/${family}`);
    const ids = await idsOf(family);
    await writeFile(at("ids.json"), JSON.stringify({ ids }));
    const said = await cli(
      "forward",
      "--model",
      model,
      "--ids-file",
      at("ids.json"),
      "--adapter",
      adapter,
      "--out",
      out,
    );
    expect(said.code, said.err).toBe(0);
    const got = await tensorOf(out, "logits");
    const expected = await tensorOf(fixture(`families/${family}/expected.safetensors`), "logits");
    expect(got.shape).toEqual(expected.shape.slice(-2));
    expect(got.shape[0]).toBe(ids.length);
    const mean = expected.data.reduce((a, b) => a + b, 0) / expected.data.length;
    const spread = Math.sqrt(expected.data.reduce((sum, x) => sum + (x - mean) ** 2, 0) / expected.data.length);
    expect(distance(got.data, expected.data) / spread).toBeLessThan(tolerance);
  });
});

test("ids may come as a list, in an object, or on the command line: the same logits", async () => {
  const written = async (...args: string[]): Promise<Float32Array> => {
    const out = at("some.safetensors");
    const said = await cli("forward", "--adapter", fastest, "--state", "tova:2", "--out", out, ...args);
    expect(said.code, said.err).toBe(0);
    return (await tensorOf(out, "logits")).data;
  };
  await writeFile(at("list.json"), "[35, 505, 343, 768]");
  await writeFile(at("object.json"), '{"text": "A tale from", "input_ids": [35, 505, 343, 768]}');
  const one = await written("--ids", "35,505,343,768");
  expect(one).toHaveLength(4 * 1024);
  expect(await written("--ids-file", at("list.json"))).toEqual(one);
  expect(await written("--ids-file", at("object.json"))).toEqual(one);
});

interface Inspected {
  readonly parameters: number;
  readonly storage: string;
  readonly config: { readonly layers: number; readonly heads: number };
  readonly state: { readonly kept: number; readonly slots: number };
  readonly bytes: {
    readonly weights: number;
    readonly state: number;
    readonly scratch: number;
    readonly total: number;
  };
}

describe("inspect", () => {
  test("counts what hearth's config says, for each state", async () => {
    const full = await cliJson<Inspected>("inspect");
    // embedding and output matrix are one; two norms a layer and one at the end
    const matrices = 1024 * 256 + 6 * (256 * 256 * 2 + 2 * 128 * 256 + 3 * 640 * 256);
    expect(full.parameters).toBe(matrices + 6 * 2 * 256 + 256);
    expect(full.storage).toBe("f16");
    expect(full.bytes.weights).toBe(2 * full.parameters);
    const { weights, state, scratch, total } = full.bytes;
    expect(total).toBe(weights + state + scratch);
    const slot = 2 * 2 * 64 * 4 + 4;
    expect(full.bytes.state).toBe(6 * (1025 * slot + 4));
    const bounded = await cliJson<Inspected>("inspect", "--state", "tova:128");
    expect(bounded.state).toMatchObject({ kept: 128, slots: 129 });
    expect(bounded.bytes.state).toBe(6 * (129 * slot + 4));
  });

  test("says the same in words", async () => {
    const { code, out, err } = await cli(
      "inspect",
      "--model",
      fixture("families/llama3.2-tied"),
      "--state",
      "window:32",
    );
    expect([code, err]).toEqual([0, ""]);
    expect(out).toMatch(/^model {7}llama3\.2-tied /m);
    expect(out).toMatch(/^parameters .*, stored as bf16$/m);
    expect(out).toMatch(/^state {7}window:32: 32 tokens kept, 33 slots a layer/m);
    expect(out).toMatch(/^together .* bytes\)$/m);
  });
});
