/**
 * llama2.c checkpoints: sections, versions and sizes, and the row order that turns side-by-side RoPE pairs into halves.
 */

import { readFile, writeFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { llamaDims } from "../../../models/config/families/llama.ts";
import { openLlama2c, openLlama2cBytes } from "../../../models/formats/llama2c.ts";
import { halvesFromPairs } from "../../../models/formats/rotary.ts";
import { memoryBytes } from "../../../models/io/bytes.ts";
import { openModel } from "../../../models/open.ts";
import { canonicalShapes, elements, type ModelSource } from "../../../models/weights/source.ts";
import { referenceLogits, rotate, times } from "./reference.ts";
import { fixture, shared } from "./shared.ts";
import { complaint, temporary } from "./temporary.ts";

const at = temporary();
const noTokenizer = (): Promise<never> => Promise.reject(new Error("no tokenizer in this test"));

const SHAPE = { dim: 8, ff: 12, layers: 2, heads: 2, kvHeads: 1, vocab: 260, context: 16 };
type Section = readonly [name: string, count: number, layers: number];

/** A checkpoint whose element i is the number i, so that every tensor shows where it was read from. */
function checkpoint(
  version: 0 | 1,
  tied: boolean,
  change: Partial<typeof SHAPE> = {},
): { bytes: Uint8Array; starts: Map<string, number> } {
  const { dim, ff, layers, heads, kvHeads: groups, vocab, context } = { ...SHAPE, ...change };
  const kv = (dim / heads) * groups;
  const q: Section[] = [
    ["q", dim * dim, layers],
    ["k", kv * dim, layers],
    ["v", kv * dim, layers],
    ["o", dim * dim, layers],
  ];
  const ffn: Section[] = [
    ["gate", ff * dim, layers],
    ["down", ff * dim, layers],
    ["up", ff * dim, layers],
  ];
  const [norms, ffnNorms]: Section[] = [
    ["attention_norm", dim, layers],
    ["ffn_norm", dim, layers],
  ];
  if (norms === undefined || ffnNorms === undefined) throw new Error("unreachable");
  const head: Section[] = tied ? [] : [["head", vocab * dim, 0]];
  const sections: Section[] =
    version === 0
      ? [
          ["embed", vocab * dim, 0],
          norms,
          ...q,
          ffnNorms,
          ...ffn,
          ["norm", dim, 0],
          ["tables", context * (dim / heads), 0],
          ...head,
        ]
      : [norms, ffnNorms, ["norm", dim, 0], ["embed", vocab * dim, 0], ...q, ...ffn, ...head];
  const starts = new Map<string, number>();
  let count = 0;
  for (const [name, size, repeats] of sections) {
    for (let i = 0; i < Math.max(1, repeats); i++) {
      starts.set(repeats === 0 ? name : `layers.${i}.${name}`, count);
      count += size;
    }
  }
  const header = version === 0 ? 28 : 256;
  const bytes = new Uint8Array(header + 4 * count);
  const view = new DataView(bytes.buffer);
  const fields = [dim, ff, layers, heads, groups, version === 0 && !tied ? -vocab : vocab, context];
  if (version === 1) {
    view.setUint32(0, 0x616b3432, true);
    view.setInt32(4, 1, true);
    view.setUint8(36, tied ? 1 : 0);
  }
  fields.forEach((field, i) => {
    view.setInt32((version === 0 ? 0 : 8) + 4 * i, field, true);
  });
  for (let i = 0; i < count; i++) view.setFloat32(header + 4 * i, i, true);
  return { bytes, starts };
}

const open = (bytes: Uint8Array): Promise<ModelSource> => openLlama2cBytes(memoryBytes("m.bin", bytes), noTokenizer);

describe.each([
  [0, true],
  [0, false],
  [1, true],
  [1, false],
] as const)("version %i, tied %s", (version, tied) => {
  test("the header becomes the config", async () => {
    expect(llamaDims((await open(checkpoint(version, tied).bytes)).config)).toEqual({
      ...SHAPE, name: "m", headDim: 4, eps: 1e-5, ropeTheta: 10000, tied, bos: [1], eos: [1, 2],
    }); // biome-ignore format: one record
  });

  test("every tensor comes from its own place in the file", async () => {
    const { bytes, starts } = checkpoint(version, tied);
    const source = await open(bytes);
    for (const [name, shape] of canonicalShapes(source.config)) {
      const tensor = source.tensor(name);
      expect(tensor).toMatchObject({ shape, dtype: "f32" });
      const start = starts.get(tied && name === "head" ? "embed" : name) ?? Number.NaN;
      const numbers = Float32Array.from({ length: elements(shape) }, (_, i) => start + i);
      const expected = /\.[qk]$/.test(name) ? halvesFromPairs(numbers, 4, SHAPE.dim) : numbers;
      expect(await tensor.data()).toEqual(expected);
    }
    expect(source.tensor("head") === source.tensor("embed")).toBe(tied);
  });

  test("a file of any other length is refused with both lengths", async () => {
    const { bytes } = checkpoint(version, tied);
    const full = bytes.byteLength;
    for (const length of [full - 1, full - 4 * SHAPE.dim, 300]) {
      expect(await complaint(() => open(bytes.slice(0, length)))).toBe(
        `m.bin: truncated: expected ${full} bytes for a llama2.c checkpoint, got ${length}`,
      );
    }
    const longer = new Uint8Array(full + 4);
    longer.set(bytes);
    expect(await complaint(() => open(longer))).toContain(
      `expected ${full} bytes for a llama2.c checkpoint, got ${full + 4}`,
    );
  });
});

describe("headers that are none", () => {
  test("too short", async () => {
    expect(await complaint(() => open(new Uint8Array(27)))).toBe(
      "m.bin: truncated: expected a llama2.c header of 28 bytes, got 27",
    );
    expect(await complaint(() => open(checkpoint(1, true).bytes.slice(0, 100)))).toBe(
      "m.bin: truncated: expected a llama2.c header of 256 bytes, got 100",
    );
  });

  test("the quantised version", async () => {
    const { bytes } = checkpoint(1, true);
    new DataView(bytes.buffer).setInt32(4, 2, true);
    expect(await complaint(() => open(bytes))).toContain(
      "llama2.c version 2 is not supported; expected version 0 or 1",
    );
  });

  test("text, and sizes that do not fit together", async () => {
    expect(await complaint(() => open(new TextEncoder().encode("x".repeat(64))))).toContain(
      "expected a llama2.c checkpoint, got a text that begins",
    );
    expect(await complaint(() => open(new Uint8Array(64).fill(0xf7)))).toContain(
      'not a llama2.c checkpoint: expected a plausible "dim"',
    );
    expect(await complaint(() => open(checkpoint(0, true, { layers: 0 }).bytes))).toContain(
      'a plausible "n_layers" in its header, got 0',
    );
    const { bytes } = checkpoint(0, true);
    new DataView(bytes.buffer).setInt32(12, 3, true);
    expect(await complaint(() => open(bytes))).toContain("dim 8, 3 heads and 1 KV heads do not fit together");
  });

  test("missing file", async () => {
    expect(await complaint(() => openLlama2c(at("absent.bin")))).toBe(`${at("absent.bin")}: no such file`);
  });
});

describe("the tokenizer beside a checkpoint", () => {
  test("none, and one of another size", async () => {
    await writeFile(at("m.bin"), checkpoint(0, true).bytes);
    const source = await openModel(at("m.bin"));
    expect(await complaint(() => source.tokenizer())).toContain(
      `${at("m.bin")}: no tokenizer beside it: expected tokenizer.bin or tok260.bin`,
    );
    await writeFile(at("tokenizer.bin"), new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 97]));
    const again = await openModel(at("m.bin"));
    expect(await complaint(() => again.tokenizer())).toBe(
      `${at("tokenizer.bin")}: expected a tokenizer of 260 pieces, as the model has, got 1`,
    );
  });
});

/** Numbers between -1 and 1 from a seed. */
function numbers(seed: number, count: number): Float32Array {
  let state = seed;
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  });
}

/** RoPE as llama2.c does it: elements 2i and 2i+1 turn together. */
function rotatePairs(row: Float64Array, headDim: number, position: number): Float64Array {
  const out = new Float64Array(row.length);
  for (let i = 0; i < row.length; i += 2) {
    const angle = position * 10000 ** (-(i % headDim) / headDim);
    const [a, b] = [row[i] ?? Number.NaN, row[i + 1] ?? Number.NaN];
    out[i] = a * Math.cos(angle) - b * Math.sin(angle);
    out[i + 1] = a * Math.sin(angle) + b * Math.cos(angle);
  }
  return out;
}

const score = (q: Float64Array, k: Float64Array): number =>
  q.reduce((sum, value, i) => sum + value * (k[i] ?? Number.NaN), 0);

describe("row order", () => {
  test("rows 2i and 2i+1 of a head go to i and i + headDim/2", () => {
    const rows = Float32Array.from({ length: 8 * 2 }, (_, i) => Math.floor(i / 2));
    expect([...halvesFromPairs(rows, 4, 2)].filter((_, i) => i % 2 === 0)).toEqual([0, 2, 1, 3, 4, 6, 5, 7]);
  });

  test.each([1, 2, 3])("scores of rotated queries and keys do not change (seed %i)", (seed) => {
    const [dim, headDim] = [24, 8];
    const [wq, wk] = [numbers(seed, headDim * dim), numbers(seed + 100, headDim * dim)];
    for (const [m, n] of [
      [0, 0],
      [7, 3],
      [511, 12],
    ] as const) {
      const [x, y] = [Float64Array.from(numbers(seed + m, dim)), Float64Array.from(numbers(seed - n, dim))];
      const pairs = score(rotatePairs(times(wq, x), headDim, m), rotatePairs(times(wk, y), headDim, n));
      const [hq, hk] = [halvesFromPairs(wq, headDim, dim), halvesFromPairs(wk, headDim, dim)];
      const halves = score(rotate(times(hq, x), headDim, m, 10000), rotate(times(hk, y), headDim, n, 10000));
      expect(halves).toBeCloseTo(pairs, 9);
      const unmoved = score(rotate(times(wq, x), headDim, m, 10000), rotate(times(wk, y), headDim, n, 10000));
      if (m !== n) expect(Math.abs(unmoved - pairs)).toBeGreaterThan(1e-3);
    }
  });
});

const trained = shared("models/stories260K");
describe.skipIf(trained === undefined)("stories260K (needs the shared data)", () => {
  const golden = async () =>
    (
      JSON.parse(await readFile(fixture("golden/stories260K.json"), "utf8")) as {
        teacher: { ids: number[]; last_logits: number[]; top5: [number, number][][] };
      }
    ).teacher;

  test("both versions hold the same model", async () => {
    const [legacy, v1] = [
      await openModel(`${trained}/stories260K.bin`),
      await openModel(`${trained}/stories260K_v1.bin`),
    ];
    expect({ ...v1.config, name: "" }).toEqual({ ...legacy.config, name: "" });
    for (const name of canonicalShapes(legacy.config).keys()) {
      expect(await v1.tensor(name).data()).toEqual(await legacy.tensor(name).data());
    }
  });

  test("rotate-half arithmetic on the reordered weights gives the logits recorded with side-by-side pairs", async () => {
    const { ids, last_logits, top5 } = await golden();
    const rows = await referenceLogits(await openModel(`${trained}/stories260K.bin`), ids);
    last_logits.forEach((logit, i) => {
      expect(rows.at(-1)?.[i]).toBeCloseTo(logit, 4);
    });
    rows.forEach((row, i) => {
      for (const [id, logit] of top5[i] ?? []) expect(row[id]).toBeCloseTo(logit, 3);
    });
  });
});
