/** Example kernels that work row by row: softmax, layer norm, matrix products, top-k, transpose. */
import { describe, test } from "vitest";
import { everyAdapter } from "../support/gpu.ts";
import { normal } from "../support/random.ts";
import { blank, type Comparison, compareAdapter, compareInterpreter, given } from "./compare.ts";

const SEED = 20261;

function numbers(count: number, seed: number, scale = 1): number[] {
  const next = normal(SEED + seed);
  return Array.from({ length: count }, () => next() * scale);
}

/** `f` for every row of `x`, one after the other. */
function rows(x: ArrayLike<number>, columns: number, f: (row: number[]) => number[]): number[] {
  const all = Array.from(x);
  return Array.from({ length: all.length / columns }, (_, r) => f(all.slice(r * columns, (r + 1) * columns))).flat();
}

function softmax(row: readonly number[]): number[] {
  const peak = Math.max(...row);
  const powers = row.map((x) => Math.exp(x - peak));
  const total = powers.reduce((a, b) => a + b, 0);
  return powers.map((p) => p / total);
}

/** a [m, k] · b [k, n]. */
function product(a: ArrayLike<number>, b: ArrayLike<number>, m: number, k: number, n: number): number[] {
  return Array.from({ length: m * n }, (_, at) => {
    let total = 0;
    for (let i = 0; i < k; i++) total += (a[Math.floor(at / n) * k + i] ?? 0) * (b[i * n + (at % n)] ?? 0);
    return total;
  });
}

function softmaxCase(count: number, columns: number): Comparison {
  const x = given([count, columns], numbers(count * columns, columns, 3));
  return {
    file: "softmax.ts",
    tensors: { x, y: blank([count, columns]) },
    calls: [["softmax", "x", "y"]],
    want: { y: rows(x.values ?? [], columns, softmax) },
  };
}

function layerNormCase(count: number, columns: number, dtype: "f32" | "f16"): Comparison {
  const eps = 1e-5;
  const x = given(
    [count, columns],
    numbers(count * columns, columns).map((v) => v + 40),
  );
  const gamma = given([columns], numbers(columns, 1), dtype);
  const beta = given([columns], numbers(columns, 2), dtype);
  const norm = (row: number[]): number[] => {
    const mean = row.reduce((a, b) => a + b, 0) / columns;
    const variance = row.reduce((a, b) => a + (b - mean) ** 2, 0) / columns;
    return row.map(
      (v, i) => ((v - mean) / Math.sqrt(variance + eps)) * (gamma.values?.[i] ?? 0) + (beta.values?.[i] ?? 0),
    );
  };
  return {
    file: "layernorm.ts",
    tensors: { x, gamma, beta, y: blank([count, columns]) },
    calls: [["layerNorm", "x", "gamma", "beta", eps, "y"]],
    want: { y: rows(x.values ?? [], columns, norm) },
  };
}

function matvecCase(count: number, k: number, dtype: "f32" | "f16" | "bf16" | "q8" | "q4"): Comparison {
  const w = given([count, k], numbers(count * k, k), dtype);
  const x = given([k], numbers(k, 3));
  return {
    file: "matvec.ts",
    tensors: { w, x, y: blank([count]) },
    calls: [["matvec", "w", "x", "y"]],
    want: { y: product(w.values ?? [], x.values ?? [], count, k, 1) },
  };
}

function matmulCase(m: number, k: number, n: number, dtype: "f32" | "q8"): Comparison {
  const a = given([m, k], numbers(m * k, 4));
  const b = given([k, n], numbers(k * n, 5), dtype);
  return {
    file: "matmul.ts",
    tensors: { a, b, c: blank([m, n]) },
    calls: [["matmul", "a", "b", "c"]],
    want: { c: product(a.values ?? [], b.values ?? [], m, k, n) },
    manyBarriers: true,
  };
}

function geluCase(m: number, k: number, n: number): Comparison {
  const a = given([m, k], numbers(m * k, 6));
  const b = given([k, n], numbers(k * n, 7, 0.3));
  const bias = given([n], numbers(n, 8));
  const gelu = (z: number): number => 0.5 * z * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (z + 0.044715 * z ** 3)));
  const flat = product(a.values ?? [], b.values ?? [], m, k, n);
  return {
    file: "matmul.ts",
    tensors: { a, b, bias, c: blank([m, n]) },
    calls: [["matmulGelu", "a", "b", "bias", "c"]],
    want: { c: flat.map((z, i) => gelu(z + (bias.values?.[i % n] ?? 0))) },
    manyBarriers: true,
  };
}

function topkCase(count: number, columns: number, k: number): Comparison {
  // Halves, so that rows hold equal elements and the rule for ties is needed.
  const x = given(
    [count, columns],
    numbers(count * columns, 9, 2).map((v) => Math.round(v) / 2),
  );
  const picked = rows(x.values ?? [], columns, (row) =>
    row
      .map((_, i) => i)
      .sort((i, j) => (row[j] ?? 0) - (row[i] ?? 0) || i - j)
      .slice(0, k),
  );
  return {
    file: "topk.ts",
    tensors: { x, values: blank([count, k]), places: blank([count, k], "u32") },
    calls: [["topK", "x", "values", "places"]],
    want: { places: picked, values: picked.map((place, i) => x.values?.[Math.floor(i / k) * columns + place] ?? 0) },
    tolerance: 0,
  };
}

function transposeCase(count: number, columns: number): Comparison {
  const x = given([count, columns], numbers(count * columns, 10));
  const want = Array.from(
    { length: count * columns },
    (_, at) => x.values?.[(at % count) * columns + Math.floor(at / count)] ?? 0,
  );
  return {
    file: "transpose.ts",
    tensors: { x, y: blank([columns, count]) },
    calls: [["transpose", "x", "y"]],
    want: { y: want },
    tolerance: 0,
  };
}

const CASES: Readonly<Record<string, Comparison>> = {
  "softmax 7 x 37": softmaxCase(7, 37),
  "softmax 3 x 257": softmaxCase(3, 257),
  "softmax 5 x 1": softmaxCase(5, 1),
  "layer norm 5 x 96": layerNormCase(5, 96, "f32"),
  "layer norm 3 x 51, f16 weights": layerNormCase(3, 50, "f16"),
  "matrix-vector 37 x 131": matvecCase(37, 131, "f32"),
  "matrix-vector 9 x 130, f16": matvecCase(9, 130, "f16"),
  "matrix-vector 9 x 96, bf16": matvecCase(9, 96, "bf16"),
  "matrix-vector 10 x 160, q8": matvecCase(10, 160, "q8"),
  "matrix-vector 10 x 160, q4": matvecCase(10, 160, "q4"),
  "matrix-matrix 13 x 29 x 41": matmulCase(13, 29, 41, "f32"),
  // Large enough for the GPU profile's workgroup tiles.
  "matrix-matrix 20 x 24 x 34": matmulCase(20, 24, 34, "f32"),
  "matrix-matrix 9 x 17 x 64, q8": matmulCase(9, 17, 64, "q8"),
  "matrix-matrix with GELU 5 x 33 x 70": geluCase(5, 33, 70),
  "top-k 4 of 50": topkCase(3, 50, 4),
  "top-k all of 9": topkCase(2, 9, 9),
  "transpose 37 x 53": transposeCase(37, 53),
};

test.each(Object.keys(CASES))("interpreter: %s", async (name) => compareInterpreter(CASES[name] as Comparison));

describe.each(everyAdapter())(`%s, seed ${SEED}`, (adapter) => {
  test.each(Object.keys(CASES))("%s", async (name) => compareAdapter(adapter, CASES[name] as Comparison));
});
