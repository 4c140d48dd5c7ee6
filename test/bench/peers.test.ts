/**
 * The comparison with other runtimes, as far as it needs none of them: the graph is our model, its 4-bit blocks are our
 * numbers, the report adds up.
 */
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { parseReply } from "../../bench/pairs/lines.ts";
import { roundedToQ4, toNBits } from "../../bench/peers/blocks.ts";
import { Client } from "../../bench/peers/client.ts";
import { type Graph, initialiserBytes, llamaGraph, type PeerWeights, transposed } from "../../bench/peers/graph.ts";
import type { Run } from "../../bench/peers/protocol.ts";
import { commonLength, marginOf, promptIds, ratio, spread, summarise } from "../../bench/peers/report.ts";
import { AHEAD, type Engine, timed, topOf } from "../../bench/peers/serve.ts";
import { llamaDims, llamaSpec } from "../../models/config/families/llama.ts";
import type { ModelSpec } from "../../models/config/spec.ts";
import { randomSource, SHAPES } from "../../models/formats/random.ts";
import type { ModelSource } from "../../models/weights/source.ts";
import { dequantise, quantise } from "../../runtime/memory/quantise.ts";
import { causal, referenceRun } from "../support/reference-llama.ts";
import { runGraph } from "./onnx-rows.ts";

const SHAPE: ModelSpec = llamaSpec({
  ...llamaDims(SHAPES.stories15M as ModelSpec),
  ...{ name: "tiny", layers: 2, dim: 64, heads: 4, kvHeads: 2, headDim: 16, ff: 96, vocab: 80 },
});
const IDS = [3, 1, 4, 1, 5, 9, 2, 6];

/** The source with its matrices rounded as our q4 rounds them. */
function rounded(source: ModelSource): ModelSource {
  return {
    ...source,
    tensor(name) {
      const t = source.tensor(name);
      if (t.shape.length === 1) return t;
      return { ...t, data: async () => roundedToQ4((await t.data()) as Float32Array) };
    },
  };
}

describe("the ONNX graph", () => {
  it.each([
    ["f32", true],
    ["f32", false],
    ["q4", true],
    ["q4", false],
  ] as const)("in %s, tied: %s, computes our model", async (weights, tied) => {
    const source = randomSource({ ...SHAPE, tied });
    const graph = llamaGraph(source, { weights, positions: 16, logits: "all" });
    const got = await runGraph(graph, IDS);
    const model = weights === "q4" ? rounded(source) : source;
    const { logits: expected } = await referenceRun(model, IDS, causal);
    expect(got).toHaveLength(IDS.length);
    const rotary = 1e-6; // The tables are f32.
    for (const [row, values] of expected.entries()) {
      const worst = values.reduce((most, x, i) => Math.max(most, Math.abs(x - (got[row]?.[i] ?? Number.NaN))), 0);
      expect(worst).toBeLessThan(10 * rotary);
    }
    const last = await runGraph(llamaGraph(source, { weights, positions: 16, logits: "last" }), IDS);
    expect(last).toEqual([got.at(-1)]);
  });

  it.each(["f32", "q4"] as const)("in %s declares what it holds", async (weights: PeerWeights) => {
    const graph: Graph = llamaGraph(randomSource(SHAPE), { weights, positions: 16, logits: "last" });
    for (const i of graph.initialisers) expect((await i.data()).length, i.name).toBe(initialiserBytes(i));
    const names = [...graph.initialisers.map((i) => i.name), ...graph.inputs.map((i) => i.name)];
    const made = graph.nodes.flatMap((n) => n.outputs).filter((name) => name !== "");
    expect(new Set([...names, ...made]).size).toBe(names.length + made.length);
    for (const out of graph.outputs) expect(made).toContain(out.name);
    // Everything that is stored is read.
    const read = new Set(graph.nodes.flatMap((n) => n.inputs));
    expect(graph.initialisers.filter((i) => !read.has(i.name))).toEqual([]);
    const cache = { type: "float", dims: [1, 2, "past", 16] };
    expect(graph.inputs).toContainEqual({ name: "past.1.value", ...cache });
  });

  it("has thirteen operators a layer", () => {
    const options = { weights: "f32", positions: 16, logits: "all" } as const;
    const size = (layers: number): number =>
      llamaGraph(randomSource(llamaSpec({ ...llamaDims(SHAPE), layers })), options).nodes.length;
    expect(size(5) - size(2)).toBe(3 * 13);
  });

  it("refuses rows that are no whole blocks", () => {
    const source = randomSource(llamaSpec({ ...llamaDims(SHAPE), ff: 100 }));
    const build = (): Graph => llamaGraph(source, { weights: "q4", positions: 16, logits: "all" });
    expect(build).toThrow(new RangeError('weight "layers.0.down": rows of 100 are no whole blocks'));
  });
});

describe("4-bit blocks", () => {
  it("stand for the numbers that ours stand for", () => {
    const values = Float32Array.from({ length: 96 }, (_, i) =>
      i < 32 ? Math.sin(i * i) : i < 64 ? 0 : i / 1000 - 0.07,
    );
    const { packed, scales } = toNBits(values);
    const got = Float32Array.from(values, (_, i) => {
      const byte = packed[i >> 1] ?? 0;
      return ((i % 2 === 0 ? byte & 15 : byte >> 4) - 8) * (scales[i >> 5] ?? Number.NaN);
    });
    // As numbers: a zero has no sign.
    const numbers = (floats: Float32Array): number[] => Array.from(floats, (x) => x + 0);
    expect(numbers(got)).toEqual(numbers(dequantise(quantise(values, "q4"), values.length, "q4")));
    expect(numbers(got)).toEqual(numbers(roundedToQ4(values)));
  });
});

it("transposes", () => {
  expect([...transposed(Float32Array.of(1, 2, 3, 4, 5, 6), 2, 3)]).toEqual([1, 4, 2, 5, 3, 6]);
});

describe("the report", () => {
  const run = (prefill: number, decode: number, ids = [7, 8, 9], decoded = 2): Run => ({
    ids,
    prefill: { seconds: prefill, cpu: 2 * prefill },
    decode: { seconds: decode, cpu: decode },
    decoded,
  });

  it("gives medians with their extremes", () => {
    expect(spread([3, 1, 2])).toEqual({ median: 2, least: 1, most: 3 });
    expect(() => spread([])).toThrow(RangeError);
  });

  it("counts a prompt's tokens for reading, and for decoding those that were decoded", () => {
    const report = summarise(
      { engine: "e", version: "1" },
      [run(2, 4, undefined, 4), run(1, 1, undefined, 4), run(4, 4)],
      100,
    );
    expect(report.prefill.tokens_per_second).toEqual({ median: 50, least: 25, most: 100 });
    expect(report.prefill.cpu_ms_per_token).toEqual({ median: 40, least: 20, most: 80 });
    expect(report.decode.tokens_per_second).toEqual({ median: 1, least: 0.5, most: 4 });
    expect(report).toMatchObject({ engine: "e", version: "1", ids: [7, 8, 9], steady: true });
    expect(summarise({ engine: "e", version: "1" }, [run(1, 1), run(1, 1, [7, 8, 1])], 9).steady).toBe(false);
  });

  it("takes the median of the rounds' ratios, not the ratio of medians", () => {
    const { speed, by_cpu } = ratio("prefill", [run(1, 1), run(2, 1), run(10, 1)], [run(3, 1), run(2, 1), run(20, 1)]);
    expect(speed).toEqual({ median: 2, least: 1, most: 3 });
    expect(by_cpu).toEqual(speed);
    expect(ratio("decode", [run(1, 1, [], 4)], [run(1, 2, [], 2)]).speed.median).toBe(4);
    expect(() => ratio("decode", [run(1, 1)], [])).toThrow(RangeError);
  });

  it("finds where texts part", () => {
    expect(commonLength([1, 2, 3], [1, 2, 3])).toBe(3);
    expect(commonLength([1, 2, 3], [1, 5, 3])).toBe(1);
    expect(commonLength([1, 2, 3], [1, 2])).toBe(2);
  });

  it("finds the two likeliest tokens and how far apart they are", () => {
    const top = topOf(Float32Array.of(1, 5, 3, -1));
    expect(top).toMatchObject({ best: { id: 1, logit: 5 }, second: { id: 2, logit: 3 } });
    expect(top.deviation).toBeCloseTo(Math.sqrt(5), 10);
    expect(marginOf(top)).toBeCloseTo(2 / Math.sqrt(5), 10);
    expect(topOf(Float32Array.of(5, 1, 4)).second).toEqual({ id: 2, logit: 4 });
    expect(topOf(Float32Array.of(-5, -1)).second).toEqual({ id: 0, logit: -5 });
    expect(() => topOf(Float32Array.of(1))).toThrow(RangeError);
  });

  it("makes prompts of any length within the vocabulary", () => {
    const ids = promptIds(5000, 80);
    expect([Math.min(...ids), Math.max(...ids), ids.length]).toEqual([1, 79, 5000]);
  });
});

describe("an engine that works ahead", () => {
  it("is counted by what it does while the clock runs", async () => {
    let made = 0;
    const engine: Engine = {
      about: { engine: "hasty", version: "" },
      progress: async () => made,
      async *generate(prompt, tokens) {
        // Five at a time; the first of them is handed out when all are made.
        for (let id = 0; id < tokens; id++) {
          if (id % 5 === 0) made = prompt.length + id + 5;
          yield id;
        }
      },
      logits: async () => new Float32Array(2),
    };
    const run = await timed(engine, { prompt: [1, 2, 3], tokens: 8 });
    expect(run.ids).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(run.decoded).toBe(8 + AHEAD - 5);
    const idle: Engine = { ...engine, progress: async () => 7 };
    await expect(timed(idle, { prompt: [1], tokens: 8 })).rejects.toThrow("8 tokens are too few");
  });
});

describe("the protocol", () => {
  it("tells replies from what else an engine prints", () => {
    expect(parseReply('{"reply":{"engine":"e"}}')).toEqual({ reply: { engine: "e" } });
    expect(parseReply('{"error":"no"}')).toEqual({ error: "no" });
    for (const line of ["", "Warning: x", "12", "null", '{"else":1}', "{"]) expect(parseReply(line)).toBeUndefined();
  });

  it("passes requests to a process and its errors back, and notices its end", async () => {
    const program = fileURLToPath(new URL("./echo-engine.ts", import.meta.url));
    const client = new Client("echo", program, { ECHO_VERSION: "1.2" });
    try {
      const setup = { shape: "tiny", weights: "f32", capacity: 8, logits: "last" } as const;
      await expect(client.ask("run", { prompt: [1], tokens: 2 })).rejects.toThrow(
        'echo: run: Error: "run" before "load"',
      );
      expect(await client.ask("load", setup)).toEqual({ engine: "echo of tiny", version: "1.2" });
      const { ids, prefill, decode, decoded } = await client.ask("run", { prompt: [4, 5], tokens: 3 });
      expect([ids, decoded]).toEqual([[5, 6, 7], 2]);
      expect(Math.min(prefill.seconds, prefill.cpu, decode.seconds, decode.cpu)).toBeGreaterThanOrEqual(0);
      expect((await client.ask("top", { ids: [2, 9] })).best).toEqual({ id: 2, logit: 9 });
      await expect(client.ask("run", { prompt: [4], tokens: 0 })).rejects.toThrow("expected 0 tokens, got 1");
      const end = client.ask("run", { prompt: [0], tokens: 1 });
      await expect(end).rejects.toThrow(/^echo: ended with 3\n(.*\n)*last words/);
      await expect(client.ask("top", { ids: [1] })).rejects.toThrow("ended with 3");
    } finally {
      client.close();
    }
  });
});
