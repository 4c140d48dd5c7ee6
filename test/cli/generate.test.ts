/** `generate`: the recorded tale, JSON, seeds, ids in place of text, and an end that is told. */
import { writeFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { fixture } from "../models/formats/shared.ts";
import { temporary } from "../models/formats/temporary.ts";
import { golden } from "../support/goldens.ts";
import { adaptersUnderTest, everyAdapter } from "../support/gpu.ts";
import { cli, cliJson } from "./run.ts";

interface Generated {
  readonly model: string;
  readonly state: string;
  readonly adapter: { readonly name: string; readonly featureLevel: string };
  readonly bytes: { readonly weights: number; readonly state: number; readonly scratch: number };
  readonly prompt_ids: number[];
  readonly ids: number[];
  readonly text: string;
  readonly ended: string;
}

const at = temporary();
const [fastest = ""] = adaptersUnderTest();

describe.each(adaptersUnderTest())("on %s", (adapter) => {
  test("the default is hearth's recorded greedy tale", async () => {
    const { greedy } = await golden("hearth");
    const expected = greedy.ids.slice(0, greedy.prompt_ids.length + 40);
    const got = await cliJson<Generated>("generate", "--adapter", adapter, "--tokens", "40");
    expect([...got.prompt_ids, ...got.ids]).toEqual(expected);
    expect(greedy.text.startsWith(got.text)).toBe(true);
    expect(got.model).toBe("hearth");
    expect(got.ended).toBe("tokens");
  });

  test("the text alone goes to stdout, what is said about it to stderr", async () => {
    const { greedy } = await golden("hearth");
    const { code, out, err } = await cli("generate", "A tale from", "--tokens", "12", "--adapter", adapter);
    expect(code).toBe(0);
    expect(greedy.text.startsWith(out.trimEnd())).toBe(true);
    expect(err).toMatch(/^adapter {2}.*feature level L\d$/m);
    expect(err).toMatch(/^memory {3}hearth, 4\.39 M parameters: weights .*state 6\.0\d MiB \(full, 1024 \+ 1 slots/m);
    expect(err).toMatch(/3 prompt tokens in \d+ ms, 12 new ones at [\d.]+ tokens\/s/);
  });
});

test("--gpu is --adapter by another name", async () => {
  const named = await cliJson<Generated>("generate", "--gpu", fastest, "--tokens", "1");
  expect(named.adapter).toEqual((await cliJson<Generated>("generate", "--adapter", fastest, "--tokens", "1")).adapter);
});

if (process.versions.deno === undefined)
  test("--gpu native is not there in this runtime", async () => {
    const { code, err } = await cli("generate", "--gpu", "native");
    expect([code, err.split("\n")[0]]).toEqual([1, "error: no WebGPU adapter: navigator.gpu does not exist here"]);
  });

test.each(everyAdapter().filter((name) => name === "native"))(
  "--gpu %s is Deno's own, and says the same tale",
  async () => {
    const { greedy } = await golden("hearth");
    const got = await cliJson<Generated>("generate", "--gpu", "native", "--tokens", "40");
    expect([...got.prompt_ids, ...got.ids]).toEqual(greedy.ids.slice(0, greedy.prompt_ids.length + 40));
    expect(got.adapter.featureLevel).toBe("L0");
  },
);

test("the same seed gives the same text, another seed another, under a bounded state", async () => {
  const draw = async (seed: string): Promise<Generated> =>
    cliJson<Generated>(
      ...["generate", "--adapter", fastest, "--tokens", "30", "--state", "tova:8,recent=2"],
      ...["--temperature", "0.9", "--top-k", "50", "--top-p", "0.95", "--seed", seed],
    );
  const [one, again, other] = [await draw("5"), await draw("5"), await draw("6")];
  expect(one.ids).toHaveLength(30);
  expect(one.ids).toEqual(again.ids);
  expect(one.ids).not.toEqual(other.ids);
  expect(one.state).toBe("tova:8,recent=2");
});

test("a prompt at once, reduced to the state, then goes on", async () => {
  const prompt = "A tale from Ashwick.\nIn Ashwick lived Faye and Oskar. Faye keeps the grey whistle in the attic.";
  const got = await cliJson<Generated>(
    ...["generate", prompt, "--adapter", fastest, "--tokens", "8", "--state", "tova:12", "--prefill", "oneshot"],
  );
  expect(got.prompt_ids.length).toBeGreaterThan(12);
  expect(got.ids).toHaveLength(8);
});

test("a prompt from a file, quietly", async () => {
  await writeFile(at("prompt.txt"), "A tale from");
  const { greedy } = await golden("hearth");
  const got = await cli(
    "generate",
    "--prompt-file",
    at("prompt.txt"),
    "--tokens",
    "6",
    "--quiet",
    "--adapter",
    fastest,
  );
  expect([got.code, got.err]).toEqual([0, ""]);
  expect(greedy.text.startsWith(got.out.trimEnd())).toBe(true);
});

test("options of a draw are said to have no effect where nothing is drawn", async () => {
  const note = async (...args: string[]): Promise<string[]> => {
    const { code, err } = await cli("generate", "--tokens", "1", "--adapter", fastest, ...args);
    expect(code).toBe(0);
    return err.split("\n").filter((line) => line.startsWith("note: "));
  };
  const why = "no effect at temperature 0, where the most likely token is taken";
  expect(await note("--seed", "0")).toEqual([`note: --seed has ${why}`]);
  expect(await note("--top-k", "5", "--seed", "7", "--top-p", "0.5")).toEqual([
    `note: --top-k, --top-p and --seed have ${why}`,
  ]);
  expect(await note("--top-k", "5", "--seed", "7", "--temperature", "0.5")).toEqual([]);
  expect(await note()).toEqual([]);
  expect(await note("--seed", "7", "--quiet")).toEqual([]);
});

test("ids serve a model without a tokenizer", async () => {
  const model = fixture("families/llama2-mha");
  const args = ["generate", "--model", model, "--ids", "1,2,3", "--tokens", "5", "--adapter", fastest];
  const got = await cliJson<Generated>(...args);
  expect(got.prompt_ids).toEqual([1, 2, 3]);
  expect(got.text).toBeUndefined();
  const plain = await cli(...args, "--quiet");
  expect(plain.out).toBe(`${[1, 2, 3, ...got.ids].join(" ")} \n`);
});

test("a full cache that is used up ends the text, and says so", async () => {
  const { code, err } = await cli("generate", "--tokens", "50", "--state", "full:16", "--adapter", fastest);
  expect(code).toBe(0);
  // The last token needs no place of its own.
  expect(err).toContain("14 new ones");
  expect(err).toContain('stopped early: all 16 positions of state "full:16" are taken\n');
  const json = await cliJson<Generated>("generate", "--tokens", "50", "--state", "full:16", "--adapter", fastest);
  expect(json.ended).toBe("state is full");
});
