/**
 * Random matrix products: the shape that has most passes of its own (lanes that own columns, what is dealt out, codes,
 * workgroup tiles).
 *
 * One or two weights in any format against one or more rows of another factor, with a scale on its elements, a sum of
 * its squares beside the product, and something done with the result: what a decoder's kernels are made of, in random
 * order and sizes. All sums are exact in f32.
 */
import type { Choices } from "./choices.ts";
import type { KernelPlan, Storage, TensorPlan } from "./generate.ts";

const COLUMNS: readonly number[] = [8, 1, 3, 7, 16, 17, 24, 32, 40, 64, 100];
const ROWS: readonly number[] = [1, 2, 3, 4, 8, 15, 16, 17, 33];
const INNER: readonly number[] = [32, 4, 7, 12, 64, 96, 100, 128];

/** A kernel called `name`; dims are "n" (columns), "m" (rows of the other factor, if it has some) and "k". */
export function product(c: Choices, name: string): KernelPlan {
  const sizes: Record<string, number> = { n: c.of(COLUMNS), k: c.of(INNER) };
  const tensors: TensorPlan[] = [];
  const tensor = (id: string, dims: readonly string[], storage: Storage): string => {
    tensors.push({ name: id, dims, storage, output: false });
    return id;
  };
  const rows = c.of(["none", "block", "program", "sized"] as const);
  if (rows !== "none") sizes.m = c.of(ROWS);
  const formats: Storage[] = ["f32", "f16", "bf16"];
  if ((sizes.k ?? 0) % 32 === 0) formats.push("q8", "q4");

  const head = [c.chance(20) ? `const j = block("n", ${1 + c.below(8)});` : 'const j = block("n");'];
  if (rows === "block") head.push('const i = block("m");');
  if (rows === "program") head.push('const i = program("m");');
  if (rows === "sized") head.push(`const i = block("m", ${1 + c.below(5)});`);
  if (rows !== "none" && c.chance(40)) head.reverse();
  const at = rows === "none" ? "" : "i, ";
  const dims = rows === "none" ? ["k"] : ["m", "k"];
  const x = tensor("x", dims, c.of(["f32", "f16"] as const));
  const scaled = c.chance(40);
  const y = scaled ? `e * ${tensor("gamma", ["k"], c.of(formats))}.at(d)` : "e";
  const square = c.chance(40);
  const two = c.chance(35);
  const lines = ["let a = 0;", "let b = 0;", "let s = 0;"];
  const limit = c.chance(15) ? c.below((sizes.k ?? 1) + 1) : undefined;
  lines.push(`for (const d of over("k"${limit === undefined ? "" : ", limit"})) {`);
  lines.push(`  const e = ${x}.at(${at}d);`, `  const y = ${y};`);
  const weight = tensor("w", ["n", "k"], c.of(formats));
  lines.push(`  a += ${c.chance(50) ? `dot(${weight}.at(j, d), y)` : `sum(y * ${weight}.at(j, d), "k")`};`);
  if (two)
    lines.push(
      `  b += dot(${tensor("u", ["n", "k"], c.chance(70) ? (tensors.at(-1)?.storage ?? "f32") : c.of(formats))}.at(j, d), y);`,
    );
  if (square) lines.push('  s += sum(e * e, "k");');
  lines.push("}");
  let value = two ? c.of(["a + b", "a - b * 0.5", "max(a, b)", "select(a > b, a, b)"]) : "a";
  if (square) value = `${two ? `(${value})` : value} + s`;
  const inPlace = c.chance(30);
  const target = rows === "none" ? "j" : c.chance(50) ? "i, j" : "j, i";
  const order = target === "j" ? ["n"] : target === "i, j" ? ["m", "n"] : ["n", "m"];
  // What is added may be what the result replaces.
  const replaces = inPlace && c.chance(50);
  if (inPlace) {
    const old = replaces ? "out" : tensor("r", order, "f32");
    value = `${value} + ${old}.at(${target})`;
  }
  const inexact = c.chance(25);
  if (inexact) value = `tanh(min(max(${value}, -8), 8))`;
  tensors.push({ name: "out", dims: order, storage: "f32", output: true, ...(replaces ? { fill: "values" } : {}) });
  lines.push(`out.set([${target}], ${value});`);
  const params = tensors.map((t) => `${t.name}: Tensor<"${t.dims.join(" ")}", ${t.storage}>`);
  if (limit !== undefined) params.push("limit: Scalar<u32>");
  const body = [...head, ...lines].map((l) => `  ${l}`).join("\n");
  return {
    name,
    source: `export function ${name}(${params.join(", ")}): void {\n${body}\n}\n`,
    sizes,
    tensors,
    limit,
    inexact,
  };
}
