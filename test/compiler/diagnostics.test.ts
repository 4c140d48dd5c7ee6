/**
 * The exact text of a diagnostic for every code: place, message, source line with carets, help, and the chain of calls
 * inside helpers.
 */

import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { compileFile } from "../../compiler/frontend/index.ts";
import { generate, KernelError, type StorageType } from "../../compiler/index.ts";
import { TRAITS } from "../../runtime/adapters/traits.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const PARAMS = `x: Tensor<"rows columns">, u: Tensor<"rows", u32>, y: Tensor<"rows">`;

/** Code -> kernel body (or a whole file that declares `kernel`), with a second one where the code has several faces. */
const CASES: readonly (readonly [string, string, Readonly<Record<string, StorageType>>?])[] = [
  ["TS-100", `export function kernel(${PARAMS}): void {\n  y.set([0], 1;\n}\n`],
  ["TS-101", `const i = block("rows");\n  const wrong: string = i;\n  y.set([i], 1);`],
  ["TS-102", `export function other(${PARAMS}): void {\n  y.set([0], 1);\n}\n`],
  [
    "TS-103",
    `export function kernel(${PARAMS}): void {\n  y.set([0], 1);\n}\nexport function other(${PARAMS}): void {\n  y.set([0], 2);\n}\nexport const both = [{ kernel }, { kernel: other }];\n`,
  ],
  [
    "TS-104",
    `import { block } from "tilestate/dsl";\nexport function kernel(x, y) {\n  y.set([block("rows")], 1);\n}\n`,
  ],
  ["TS-201", `for (let i = 0; i < 3; i++) y.set([i], 1);`],
  ["TS-202", `const i = block("rows");\n  y.set([i], x.at(i, 0, 1));`],
  ["TS-203", `const i = block("rows");\n  y.set([i], somewhere);`],
  ["TS-204", `const i = block("rows");\n  for (const j of over("rows")) y.set([i], y.at(i) + y.at(j));`],
  ["TS-205", `const i = block("rows");\n  y.set([i], u.at(i) & y.at(i));`],
  ["TS-206", `const i = block("rows");\n  u.set([i], u.at(i) / 2);`],
  ["TS-207", `const i = block("rows");\n  if (u.at(i) > 3) y.set([i], 1);`],
  ["TS-208", `const i = block("rows");\n  y.set([i], u.at(i).toFixed(2) as unknown as number);`],
  ["TS-209", `const i = block("rows");\n  y.set([i], Math.exp(u.at(i)));`],
  ["TS-210", `const i = program("rows");\n  if (i > 3) return;\n  y.set([i], 1);`],
  ["TS-211", `const i = block("rows");\n  y.set([i], sum(x.at(i)));`],
  ["TS-212", `let kept = 0;\n  for (const i of over("rows")) kept = u.at(i);\n  y.set([0], kept);`],
  ["TS-213", `export function kernel(n: number, y: Tensor<"rows">): void {\n  y.set([0], n);\n}\n`],
  [
    "TS-214",
    `function again(v: number): number {\n  return again(v) + 1;\n}\nexport function kernel(y: Tensor<"rows">): void {\n  y.set([0], again(1));\n}\n`,
  ],
  ["TS-215", `const i = block("rows", 2.5);\n  y.set([i], 1);`],
  ["TS-216", `const i = block("rows");\n  y.set([0], u.at(i));`],
  ["TS-217", `const i = block("cols");\n  y.set([i], 1);`],
  ["TS-218", `for (const j of range(2)) {\n    const i = program("rows");\n    y.set([i], j);\n  }`],
  [
    "TS-219",
    `export function kernel(h: Tensor<"rows", f16>): void {\n  const i = block("rows");\n  h.add([i], 1);\n}\n`,
  ],
  ["TS-220", `const i = block("rows");\n  y.set([i], 1);\n  u.set([i], cast(y.at(i), "u32"));`],
  [
    "TS-221",
    `export function kernel(y: Tensor<"rows">, { size }: Static<{ size: number }>): void {\n  const i = block("rows", size);\n  y.set([i], 1);\n}\n`,
  ],
  [
    "TS-222",
    `function fill(y: Tensor<"rows">, { by }: Static<{ by: number }>): void {\n  y.set([block("rows")], by);\n}\nexport function kernel(y: Tensor<"rows">): void {\n  fill(y, { by: y.at(0) });\n}\n`,
  ],
  ["TS-301", `const all = x.at();\n  y.set([0], sum(sum(all, "columns"), "rows"));`],
  [
    "TS-302",
    `export function kernel(h: Tensor<"rows", q8>): void {\n  const i = block("rows");\n  h.set([i], 1);\n}\n`,
  ],
  [
    "TS-304",
    `export function kernel<T extends f32 | u32>(x: Tensor<"rows", T>, y: Tensor<"rows", T>): void {\n  const i = block("rows");\n  y.set([i], x.at(i));\n}\n`,
    { x: "f32", y: "u32" },
  ],
];

const HELPER = `function half(v: number): number {\n  return v > 0 ? v : idiv(v, 2);\n}\nexport function kernel(y: Tensor<"rows">): void {\n  const i = block("rows");\n  y.set([i], half(y.at(i)));\n}\n`;

/** What compiling (and binding) the kernel says. */
function complaint(body: string, stored: Readonly<Record<string, StorageType>> = {}): string {
  const folder = mkdtempSync(join(tmpdir(), "tilestate-diagnostics-"));
  try {
    const head = `import { block, cast, idiv, over, program, range, type Static, sum, type f16, type f32, type q8, type Tensor, type u32 } from "tilestate/dsl";\n`;
    const plain = body.startsWith("import");
    const file = join(folder, plain ? "kernel.js" : "kernel.ts");
    const whole = body.includes("export function") ? body : `export function kernel(${PARAMS}): void {\n  ${body}\n}\n`;
    writeFileSync(file, plain ? body : head + whole);
    const [program] = compileFile(file, ["kernel"]).programs;
    if (program === undefined) throw new Error("no program");
    const storage = Object.fromEntries(
      program.params.flatMap((p) => (p.kind === "tensor" ? [[p.name, stored[p.name] ?? p.storage[0] ?? "f32"]] : [])),
    );
    generate(program, { sizes: { rows: 300, columns: 300 }, storage, cells: [] }, TARGET);
    return "no complaint";
  } catch (error) {
    if (error instanceof KernelError || (error as Error).message.includes("TS-3")) return (error as Error).message;
    throw error;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const TARGET = {
  profile: "software",
  subgroup: 8,
  pinned: false,
  maxInvocations: 1024,
  storageBuffers: 16,
  traits: TRAITS.lavapipe,
} as const;

describe("diagnostics", () => {
  it.each(CASES.map(([code, body, stored]) => ({ code, body, stored })))("$code", async ({ code, body, stored }) => {
    const text = complaint(body, stored);
    expect(text).toContain(code);
    await expect(`${text}\n`).toMatchFileSnapshot(`../fixtures/diagnostics/${code}.txt`);
  });

  it("inside a helper: the chain of calls", async () => {
    const text = complaint(HELPER);
    expect(text).toContain("in half(), called at kernel.ts");
    await expect(`${text}\n`).toMatchFileSnapshot("../fixtures/diagnostics/chain.txt");
  });

  it("every code of the compiler stands in docs/diagnostics.md, and no other", () => {
    const codes = (text: string): string[] => [...new Set(text.match(/TS-\d{3}/g))].sort();
    const folder = join(ROOT, "compiler");
    const used = codes(
      readdirSync(folder, { recursive: true, encoding: "utf8" })
        .filter((f) => f.endsWith(".ts"))
        .map((f) => readFileSync(join(folder, f), "utf8"))
        .join("\n"),
    );
    expect(used.length).toBeGreaterThan(20);
    expect(codes(readFileSync(join(ROOT, "docs", "diagnostics.md"), "utf8"))).toEqual(used);
  });
});

it("docs/diagnostics.md shows the example of each code as it is", () => {
  const page = readFileSync(new URL("../../docs/diagnostics.md", import.meta.url), "utf8");
  const folder = new URL("../fixtures/diagnostics/", import.meta.url);
  const examples = readdirSync(folder).filter((f) => f.endsWith(".txt"));
  expect(examples.length).toBeGreaterThan(26);
  for (const f of examples) expect(page, f).toContain(readFileSync(new URL(f, folder), "utf8").trimEnd());
});
