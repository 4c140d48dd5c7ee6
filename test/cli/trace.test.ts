/**
 * `trace`: the authors' recorded kept sets and attention, other policies against plain reasoning, and tensors that do
 * not fit.
 */
import { readFile } from "node:fs/promises";
import { beforeAll, describe, expect, test } from "vitest";
import { readSafetensors, writeSafetensors } from "../../models/formats/safetensors.ts";
import { encodeBF16, encodeF16 } from "../../runtime/memory/dtype.ts";
import { fixture } from "../models/formats/shared.ts";
import { temporary } from "../models/formats/temporary.ts";
import { adaptersUnderTest } from "../support/gpu.ts";
import { cli, cliJson, distance, tensorOf } from "./run.ts";

interface Recorded {
  readonly slots: number;
  readonly prompt: number;
  readonly prefill: string;
  readonly steps: number;
  readonly kept_positions_after_each_step: number[][];
  readonly score_gap_at_the_cut: (number | null)[];
}

interface Written {
  readonly kept: number[][];
  readonly attention: number[][][];
}

const at = temporary();
const [fastest = ""] = adaptersUnderTest();
const gqa = fixture("policies/tova-gqa.safetensors");

async function traced(file: string, state: string, ...args: string[]): Promise<Written> {
  const out = at("trace.json");
  const said = await cli("trace", "--state", state, "--tensors", file, "--out", out, ...args);
  expect(said.code, said.err).toBe(0);
  return JSON.parse(await readFile(out, "utf8")) as Written;
}

describe.each(adaptersUnderTest())("on %s", (adapter) => {
  test.each(["tova-mha", "tova-gqa", "tova-mqa", "tova-oneshot"])(
    "%s is what the authors' code keeps",
    async (name) => {
      const recorded = JSON.parse(await readFile(fixture(`policies/${name}.json`), "utf8")) as Recorded;
      const tensors = fixture(`policies/${name}.safetensors`);
      const how = ["--prompt", String(recorded.prompt), "--prefill", recorded.prefill];
      const got = await traced(tensors, `tova:${recorded.slots}`, ...how, "--adapter", adapter);
      const expected = recorded.kept_positions_after_each_step;
      // No recorded gap is so small that either choice would do, so all of them must agree.
      expect(recorded.score_gap_at_the_cut.every((gap) => gap === null || gap > 1e-6)).toBe(true);
      expect(got.kept).toEqual(expected);
      const attention = await tensorOf(tensors, "attention");
      expect([got.attention.length, got.attention[0]?.length, got.attention[0]?.[0]?.length]).toEqual(attention.shape);
      expect(distance(got.attention.flat(2), attention.data)).toBeLessThan(1e-5);
    },
  );
});

test("a window keeps the newest and the first", async () => {
  const { kept } = await traced(gqa, "window:6,first=2", "--adapter", fastest);
  expect(kept).toHaveLength(120);
  expect(kept[3]).toEqual([0, 1, 2, 3]);
  expect(kept[5]).toEqual([0, 1, 2, 3, 4, 5]);
  expect(kept[6]).toEqual([0, 1, 3, 4, 5, 6]);
  expect(kept[119]).toEqual([0, 1, 116, 117, 118, 119]);
});

test("with room for all steps every policy keeps all, with the same attention", async () => {
  const whole = await traced(gqa, "full", "--adapter", fastest);
  expect(whole.kept[119]).toEqual(Array.from({ length: 120 }, (_, i) => i));
  for (const state of ["tova:120", "window:120", "tova:200,recent=5"]) {
    const other = await traced(gqa, state, "--adapter", fastest);
    expect(other.kept).toEqual(whole.kept);
    expect(distance(other.attention.flat(2), whole.attention.flat(2))).toBeLessThan(1e-5);
  }
});

test("recent and first tokens are never dropped", async () => {
  const { kept } = await traced(gqa, "tova:10,recent=4,first=2", "--adapter", fastest);
  for (const [t, positions] of kept.entries()) {
    for (const p of [0, 1, t, t - 1, t - 2, t - 3]) if (p >= 0 && p <= t) expect(positions, `step ${t}`).toContain(p);
  }
});

test("a prompt that the state holds is one entry", async () => {
  const { kept } = await traced(gqa, "tova:12", "--prompt", "5", "--prefill", "oneshot", "--adapter", fastest);
  expect(kept).toHaveLength(116);
  expect(kept[0]).toEqual([0, 1, 2, 3, 4]);
});

describe("16-bit tensors", () => {
  let plain: Float32Array[] = [];
  beforeAll(async () => {
    plain = [];
    for (const name of ["q", "k", "v"]) plain.push((await tensorOf(gqa, name)).data);
  });
  test.each([
    ["F16", encodeF16, 5e-3],
    ["BF16", encodeBF16, 5e-2],
  ] as const)("%s are widened", async (dtype, encode, tolerance) => {
    const [q, k, v] = plain.map((x, i) => ({ dtype, shape: [120, i === 0 ? 8 : 2, 16], data: encode(x) }));
    if (q === undefined || k === undefined || v === undefined) throw new Error("three tensors expected");
    await writeSafetensors(at("halves.safetensors"), { q, k, v });
    const [got, expected] = [
      await traced(at("halves.safetensors"), "full", "--adapter", fastest),
      await traced(gqa, "full", "--adapter", fastest),
    ];
    expect(distance(got.attention.flat(2), expected.attention.flat(2))).toBeLessThan(tolerance);
  });
});

test("--json tells what was done", async () => {
  const got = await cliJson<Record<string, unknown>>(
    ...["trace", "--state", "tova:3", "--tensors", gqa, "--out", at("t.json"), "--adapter", fastest],
  );
  expect(got).toMatchObject({ state: "tova:3", steps: 120, heads: 8, groups: 2, head_dim: 16, entries: 120 });
});

describe("tensors that do not fit give one sentence", () => {
  const zeros = (...shape: number[]): { dtype: "F32"; shape: number[]; data: Float32Array } => {
    return { dtype: "F32", shape, data: new Float32Array(shape.reduce((a, b) => a * b, 1)) };
  };
  const cases: [string, Parameters<typeof writeSafetensors>[1], string][] = [
    ["one is missing", { q: zeros(3, 2, 4), k: zeros(3, 2, 4) }, 'no tensor "v"; there are: q, k'],
    [
      "not three dims",
      { q: zeros(3, 8), k: zeros(3, 2, 4), v: zeros(3, 2, 4) },
      'tensor "q": expected [steps, query heads, head dim], got [3, 8]',
    ],
    [
      "other steps",
      { q: zeros(3, 2, 4), k: zeros(4, 2, 4), v: zeros(3, 2, 4) },
      'tensor "k": expected [3, 2, 4] as "q" has it, got [4, 2, 4]',
    ],
    [
      "k and v differ",
      { q: zeros(3, 2, 4), k: zeros(3, 2, 4), v: zeros(3, 1, 4) },
      'tensor "v": expected [3, 2, 4] as "q" and "k" have it, got [3, 1, 4]',
    ],
    [
      "whole numbers",
      {
        q: { dtype: "I32", shape: [1, 1, 4], data: new Int32Array(4) },
        k: zeros(1, 1, 4),
        v: zeros(1, 1, 4),
      },
      'tensor "q": expected F32, F16 or BF16, got I32',
    ],
  ];
  test.each(cases)("%s", async (_, tensors, message) => {
    const file = at("odd.safetensors");
    await writeSafetensors(file, tensors);
    const { code, err } = await cli("trace", "--state", "tova:2", "--tensors", file, "--out", at("o.json"));
    expect([code, err]).toEqual([1, `error: ${file}: ${message}\n`]);
  });

  test("heads that cannot be shared, a full state that is too small, a prompt that is too long", async () => {
    const file = at("heads.safetensors");
    await writeSafetensors(file, { q: zeros(3, 3, 4), k: zeros(3, 2, 4), v: zeros(3, 2, 4) });
    const run = (...args: string[]): Promise<{ err: string }> =>
      cli("trace", "--out", at("o.json"), "--adapter", fastest, ...args);
    expect((await run("--state", "tova:2", "--tensors", file)).err).toContain(
      "error: recorded tensors: 3 query heads cannot share 2 KV heads evenly\n",
    );
    expect((await run("--state", "full:7", "--tensors", gqa)).err).toContain(
      'error: state "full:7" holds 7 positions, but 120 steps were recorded\nhint: ',
    );
    expect((await run("--state", "tova:7", "--prompt", "121", "--tensors", gqa)).err).toContain(
      "error: a prompt of 121 steps, but 120 were recorded\n",
    );
  });
});

test("the tensors that the goldens carry have the names that are read", async () => {
  expect([...(await readSafetensors(gqa)).tensors.keys()].sort()).toEqual(["attention", "k", "q", "v"]);
});
