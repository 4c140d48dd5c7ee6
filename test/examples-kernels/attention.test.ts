/** Example kernels of attention: prefill with a causal mask, decode in parts with a merge, rotary embedding. */
import { describe, test } from "vitest";
import { everyAdapter } from "../support/gpu.ts";
import { normal } from "../support/random.ts";
import { blank, type Comparison, compareAdapter, compareInterpreter, given } from "./compare.ts";

const SEED = 20262;

function numbers(count: number, seed: number): number[] {
  const next = normal(SEED + seed);
  return Array.from({ length: count }, next);
}

/** Attention of one query over the first `live` of the rows of k and v that `row` names. */
function attention(
  query: readonly number[],
  row: (t: Float32Array, slot: number) => ArrayLike<number>,
  k: Float32Array,
  v: Float32Array,
  live: number,
): number[] {
  const dim = query.length;
  const scores = Array.from({ length: live }, (_, s) => {
    const key = row(k, s);
    return query.reduce((total, x, i) => total + x * (key[i] ?? 0), 0) / Math.sqrt(dim);
  });
  if (scores.length === 0) return query.map(() => 0);
  const peak = Math.max(...scores);
  const powers = scores.map((x) => Math.exp(x - peak));
  const total = powers.reduce((a, b) => a + b, 0);
  return query.map((_, i) => powers.reduce((sum, p, s) => sum + p * (row(v, s)[i] ?? 0), 0) / total);
}

function flashCase(heads: number, groups: number, queries: number, keys: number, dim: number): Comparison {
  const q = given([heads, queries, dim], numbers(heads * queries * dim, 1));
  const k = given([groups, keys, dim], numbers(groups * keys * dim, 2));
  const v = given([groups, keys, dim], numbers(groups * keys * dim, 3));
  const want: number[] = [];
  for (let h = 0; h < heads; h++) {
    const g = Math.floor(h / (heads / groups));
    const row = (t: Float32Array, s: number): Float32Array =>
      t.subarray((g * keys + s) * dim, (g * keys + s + 1) * dim);
    for (let i = 0; i < queries; i++) {
      const query = Array.from((q.values ?? []).slice((h * queries + i) * dim, (h * queries + i + 1) * dim));
      want.push(...attention(query, row, k.values as Float32Array, v.values as Float32Array, i + keys - queries + 1));
    }
  }
  return {
    file: "flash.ts",
    tensors: { q, k, v, out: blank([heads, queries, dim]) },
    calls: [["flash", "q", "k", "v", "out"]],
    want: { out: want },
  };
}

function splitCase(heads: number, groups: number, parts: number, slots: number, dim: number, live: number): Comparison {
  const q = given([heads, dim], numbers(heads * dim, 4));
  const k = given([groups, parts, slots, dim], numbers(groups * parts * slots * dim, 5));
  const v = given([groups, parts, slots, dim], numbers(groups * parts * slots * dim, 6));
  const want: number[] = [];
  for (let h = 0; h < heads; h++) {
    const first = Math.floor(h / (heads / groups)) * parts * slots;
    const row = (t: Float32Array, s: number): Float32Array => t.subarray((first + s) * dim, (first + s + 1) * dim);
    const query = Array.from((q.values ?? []).slice(h * dim, (h + 1) * dim));
    want.push(...attention(query, row, k.values as Float32Array, v.values as Float32Array, live));
  }
  return {
    file: "split-attention.ts",
    tensors: {
      q,
      k,
      v,
      partial: blank([heads, parts, dim]),
      peaks: blank([heads, parts]),
      sums: blank([heads, parts]),
      out: blank([heads, dim]),
    },
    calls: [
      ["attendPart", "q", "k", "v", live, "partial", "peaks", "sums"],
      ["mergeParts", "partial", "peaks", "sums", "out"],
    ],
    want: { out: want },
  };
}

function ropeCase(tokens: number, heads: number, half: number): Comparison {
  const x = given([tokens, heads, 2, half], numbers(tokens * heads * 2 * half, 7));
  const angles = Array.from(
    { length: tokens * half },
    (_, at) => (1000 + Math.floor(at / half)) * 10000 ** (-(at % half) / half),
  );
  const parts = Array.from({ length: tokens }, (_, t) => angles.slice(t * half, (t + 1) * half));
  const table = given(
    [tokens, 2, half],
    parts.flatMap((row) => [...row.map(Math.cos), ...row.map(Math.sin)]),
  );
  const want = Array.from(x.values ?? []);
  for (let t = 0; t < tokens; t++) {
    for (let h = 0; h < heads; h++) {
      for (let i = 0; i < half; i++) {
        const at = (t * heads + h) * 2 * half + i;
        const [cos, sin] = [table.values?.[t * 2 * half + i] ?? 0, table.values?.[(t * 2 + 1) * half + i] ?? 0];
        const [a, b] = [want[at] ?? 0, want[at + half] ?? 0];
        want[at] = a * cos - b * sin;
        want[at + half] = b * cos + a * sin;
      }
    }
  }
  return { file: "rope.ts", tensors: { x, table }, calls: [["rope", "x", "table"]], want: { x: want } };
}

const CASES: Readonly<Record<string, Comparison>> = {
  "flash, 2 heads, 11 queries, 11 keys, dim 16": flashCase(2, 2, 11, 11, 16),
  "flash, 4 heads in 2 groups, 5 queries of 13 keys, dim 20": flashCase(4, 2, 5, 13, 20),
  "flash, 4 queries of 2 keys": flashCase(2, 1, 4, 2, 8),
  "flash, 8 queries of 2 keys": flashCase(1, 1, 8, 2, 8),
  "flash, 2 heads, 13 queries of 6 keys": flashCase(2, 2, 13, 6, 12),
  "flash, 9 queries of 1 key": flashCase(1, 1, 9, 1, 8),
  "split attention, 3 parts of 7, all live": splitCase(4, 2, 3, 7, 32, 21),
  "split attention, 3 parts of 7, one empty": splitCase(2, 1, 3, 7, 20, 9),
  "rope, half 16": ropeCase(3, 2, 16),
  "rope, half 5": ropeCase(2, 3, 5),
};

test.each(Object.keys(CASES))("interpreter: %s", async (name) => compareInterpreter(CASES[name] as Comparison));

describe.each(everyAdapter())(`%s, seed ${SEED}`, (adapter) => {
  test.each(Object.keys(CASES))("%s", async (name) => compareAdapter(adapter, CASES[name] as Comparison));
});
