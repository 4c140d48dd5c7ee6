/**
 * Random models: the numbers are those that the rule gives, any part of them alone, and they keep activations in
 * bounds.
 */
import { describe, expect, it } from "vitest";
import { llamaDims, llamaSpec } from "../../../models/config/families/llama.ts";
import type { ModelSpec } from "../../../models/config/spec.ts";
import { randomSource, randomValues, SHAPES } from "../../../models/formats/random.ts";
import { canonicalShapes, elements } from "../../../models/weights/source.ts";
import { decodeBF16, decodeF16, encodeBF16, encodeF16 } from "../../../runtime/memory/dtype.ts";

const TINY: ModelSpec = llamaSpec({
  ...llamaDims(SHAPES["TinyLlama-1.1B"] as ModelSpec),
  ...{ name: "tiny", layers: 2, dim: 64, heads: 4, kvHeads: 2, headDim: 16, ff: 96, vocab: 80 },
});

/** The rule with big integers, where the source uses 32-bit arithmetic. */
function byTheRule(name: string, i: number, mean: number, deviation: number): number {
  const mask = 0xffffffffn;
  let seed = 0x811c9dc5n;
  for (const c of name) seed = ((seed ^ BigInt(c.charCodeAt(0))) * 0x01000193n) & mask;
  let x = (seed + BigInt(i) * 0x9e3779b9n) & mask;
  x = ((x ^ (x >> 16n)) * 0x85ebca6bn) & mask;
  x = ((x ^ (x >> 13n)) * 0xc2b2ae35n) & mask;
  const h = Number(BigInt.asIntN(32, x ^ (x >> 16n)));
  return Math.fround(mean + h * Math.fround(Math.sqrt(3) * deviation * 2 ** -31));
}

describe("random weights", () => {
  it("follow the rule in their docstring", () => {
    const gate = randomValues(TINY, "layers.1.gate");
    const norm = randomValues(TINY, "norm");
    for (const i of [0, 1, 2, 63, 64, 6143]) {
      expect(gate[i]).toBe(byTheRule("layers.1.gate", i, 0, 1.5 / Math.sqrt(64)));
    }
    for (const i of [0, 63]) expect(norm[i]).toBe(byTheRule("norm", i, 1, 0.1));
  });

  it("are spread as they should be, in every tensor", () => {
    for (const [name, shape] of canonicalShapes(TINY)) {
      const values = randomValues(TINY, name);
      expect(values.length).toBe(elements(shape));
      const mean = values.reduce((a, b) => a + b, 0) / values.length;
      const deviation = Math.sqrt(values.reduce((a, b) => a + (b - mean) ** 2, 0) / values.length);
      const norm = name.endsWith("norm");
      const gain = { q: 1.4, k: 1.4, v: 1, o: 1.5, gate: 1.5, up: 1.5, down: 1, head: 2 }[name.split(".").at(-1) ?? ""];
      const expected = norm ? 0.1 : name === "embed" ? 0.05 : (gain ?? Number.NaN) / Math.sqrt(shape.at(-1) ?? 0);
      const slack = 5 / Math.sqrt(values.length);
      expect(Math.abs(mean - (norm ? 1 : 0)) / expected, name).toBeLessThan(slack);
      expect(Math.abs(deviation / expected - 1), name).toBeLessThan(slack);
    }
  });

  it("differ from tensor to tensor", () => {
    const q = randomValues(TINY, "layers.0.q");
    for (const other of ["layers.1.q", "layers.0.o"] as const) {
      const values = randomValues(TINY, other);
      expect(values.reduce((n, x, i) => n + (x === q[i] ? 1 : 0), 0)).toBeLessThan(3);
    }
  });

  it("can be read in parts", async () => {
    const { tensor } = randomSource(TINY);
    const whole = await tensor("layers.0.down").data();
    expect(await tensor("layers.0.down").part?.(100, 50)).toEqual(whole.slice(100, 150));
    const far = randomValues(SHAPES["Llama-3.1-8B"] as ModelSpec, "head", 525_000_000, 2);
    expect(far[1]).toBe(byTheRule("head", 525_000_001, 0, 2 / 64));
  });

  it("come rounded to 16 bits when asked for", async () => {
    const exact = randomValues(TINY, "layers.0.v");
    for (const [stored, encode, decode] of [
      ["f16", encodeF16, decodeF16],
      ["bf16", encodeBF16, decodeBF16],
    ] as const) {
      const t = randomSource(TINY, { stored }).tensor("layers.0.v");
      expect(t.dtype).toBe(stored);
      expect(decode((await t.data()) as Uint16Array)).toEqual(decode(encode(exact)));
    }
  });
});

describe("shapes by name", () => {
  it("have the sizes that their names promise", () => {
    const parameters = (name: string): number => {
      const config = SHAPES[name] as ModelSpec;
      const all = [...canonicalShapes(config)].filter(([n]) => !(config.tied && n === "head"));
      return all.reduce((sum, [, shape]) => sum + elements(shape), 0);
    };
    expect(Object.fromEntries(Object.keys(SHAPES).map((n) => [n, parameters(n)]))).toEqual({
      stories15M: 15_191_712,
      stories110M: 109_529_856,
      "SmolLM2-135M": 134_515_008,
      "Llama-3.2-1B": 1_235_814_400,
      "TinyLlama-1.1B": 1_100_048_384,
      "Llama-3.1-8B": 8_030_261_248,
    });
  });

  it("are found in any case, tie their head or not, and have no tokenizer", async () => {
    const tied = randomSource("stories15m");
    expect(tied.tensor("head")).toBe(tied.tensor("embed"));
    const untied = randomSource("tinyllama-1.1b");
    expect(untied.tensor("head")).not.toBe(untied.tensor("embed"));
    await expect(untied.tokenizer()).rejects.toThrow("TinyLlama-1.1B has random weights and no tokenizer");
    expect(() => randomSource("stories16M")).toThrow('unknown shape "stories16M"');
    expect(() => tied.tensor("layers.6.q")).toThrow(RangeError);
  });
});
