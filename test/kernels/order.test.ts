/**
 * Which kernels TS-220 refuses, with both places, and that what it takes does what its statements say in their order,
 * wherever it runs.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { compileFile } from "../../compiler/frontend/index.ts";
import { KernelError } from "../../compiler/index.ts";
import { type Gpu, open } from "../../runtime/index.ts";
import type { KernelPlan, TensorPlan } from "../fuzz/generate.ts";
import { compare } from "../fuzz/run.ts";
import { adaptersUnderTest } from "../support/gpu.ts";

const HEAD = `import { amax, block, cast, every, idiv, max, min, over, program, range, select, size, sum, type Tensor, type u32, unroll } from "tilestate/dsl";\n`;
const TENSORS: readonly TensorPlan[] = [
  { name: "x", dims: ["rows", "n"], storage: "f32", output: true, fill: "values" },
  { name: "y", dims: ["rows", "n"], storage: "f32", output: true, fill: "values" },
  { name: "c", dims: ["rows", "n"], storage: "u32", output: true, fill: "values" },
  { name: "s", dims: ["rows"], storage: "f32", output: true, fill: "values" },
  { name: "p", dims: ["rows", "n"], storage: "u32", output: false, fill: "permutation" },
  { name: "h", dims: ["half"], storage: "f32", output: false },
  { name: "k", dims: ["one"], storage: "u32", output: false },
];
/** Long enough for several subgroups to share a row at L0, and short enough for a lane to hold one. */
const SIZES = { rows: 2, n: 64, half: 32, one: 1 };

/**
 * A kernel over x, y, c, s (read and written) and p, a permutation of each row; r is the row of a program and i walks
 * along it.
 */
function sourceOf(name: string, body: string): string {
  const params = TENSORS.map((t) => `${t.name}: Tensor<"${t.dims.join(" ")}", ${t.storage}>`).join(", ");
  const start = body.includes("program(") || body.includes("block(") ? "" : '  const r = program("rows");\n';
  const index = /\bi\b/.test(body) && !/(const|of) i\b|const i =/.test(body) ? '  const i = every("n");\n' : "";
  return `export function ${name}(${params}): void {\n${start}${index}  ${body.replaceAll("; ", ";\n  ")}\n}\n`;
}

function compiled(sources: string, names: readonly string[]): ReturnType<typeof compileFile> {
  const folder = mkdtempSync(join(tmpdir(), "tilestate-order-"));
  try {
    const file = join(folder, "kernel.ts");
    writeFileSync(file, HEAD.replace("type Tensor", "type f32, type Tensor") + sources);
    return compileFile(file, names);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function complaint(source: string): string {
  try {
    compiled(source, ["kernel"]);
    return "taken";
  } catch (error) {
    if (error instanceof KernelError) return error.message;
    throw error;
  }
}

const REFUSED: Readonly<Record<string, string>> = {
  "a row reversed in place": `x.set([r, i], x.at(r, size("n") - 1 - i));`,
  "a row permuted in place, read by data": `x.set([r, i], x.at(r, p.at(r, i)));`,
  "a row permuted in place, written by data": `x.set([r, p.at(r, i)], x.at(r, i));`,
  "what data may name twice": `const q = p.at(r, i); x.set([r, q], x.at(r, q) + 1);`,
  "a blur in place": `x.set([r, i], (x.at(r, select(i > 0, i - 1, i)) + x.at(r, i)) / 2);`,
  "a shift in place": `x.set([r, i], x.at(r, (i + 1) % size("n")));`,
  "a shift in place within the program's part": `const r = program("rows"); const i = block("n", 64); x.set([r, i], x.at(r, i + 1));`,
  "rotate-half as Hugging Face writes it": `const m = idiv(size("n"), 2); x.set([r, i], x.at(r, i) * 2 + select(i < m, -x.at(r, (i + m) % size("n")), x.at(r, (i + m) % size("n"))));`,
  "neighbours swapped": `x.set([r, i ^ 1], x.at(r, i));`,
  "another step of the index": `x.set([r, idiv(i, 2)], x.at(r, i));`,
  "zeros, then a scatter": `y.set([r, i], 0); y.set([r, p.at(r, i)], 1);`,
  "zeros, then counts": `c.set([r, i], 0); c.add([r, p.at(r, i)], 1);`,
  "updates of two kinds": `c.add([r, p.at(r, i)], 1); c.max([r, p.at(r, i)], 5);`,
  "updates, then a read": `c.add([r, p.at(r, i)], 1); y.set([r, i], cast(c.at(r, i), "f32"));`,
  "a row, and one of its elements after it": `x.set([r, i], 2); x.set([r, 0], 1);`,
  "a row, and one of its elements before it": `x.set([r, 0], 1); x.set([r, i], 2);`,
  "one element read, a row written": `const a = x.at(r, 0); x.set([r, i], 1); s.set([r], a);`,
  "two loops over one row": `for (const a of over("n")) y.set([r, a], 0); for (const b of over("n")) y.set([r, b], 1);`,
  "a row written, another place of it read": `x.set([r, i], 1); y.set([r, i], x.at(r, size("n") - 1 - i));`,
  "turns of a loop that read each other's elements": `for (const t of range(3)) x.set([r, i], x.at(r, (i + t) % size("n")));`,
  "turns of a loop that write each other's elements": `for (const t of range(3)) x.set([r, (i + t) % size("n")], t);`,
  "overlapping parts": `const a = every("half"); for (const t of range(2)) y.set([r, a + t * (size("half") - 1)], t);`,
  "halves that overlap by one": `const a = every("half"); const b = x.at(r, a + size("half") - 1); x.set([r, a], b);`,
  "halves of a size that may have wrapped": `const m = size("n") - 5; for (const a of over("n", m)) { const b = x.at(r, a + m); x.set([r, a], b); }`,
  "halves of a size that data says": `const m = k.at(0); for (const a of over("n", m)) { const b = x.at(r, a + m); x.set([r, a], b); }`,
  "parts that what has wrapped brings together": `const a = every("half"); const m = max(size("n") - 65, 0) + size("half"); const b = x.at(r, a + m); x.set([r, a], b);`,
  "parts below another limit than they are apart": `const m = idiv(size("n"), 2); for (const a of over("n", m + 1)) { const b = x.at(r, a + m); x.set([r, a], b); }`,
  "what an earlier turn's reduction allows": `let m = 0; for (const t of range(4)) { const l = sum(x.at(r, i)); x.set([r, size("n") - 1 - i], m); m = l; }`,
  "after either side of a branch": `if (k.at(0) > 4) x.set([r, i], 1); else x.set([r, i], 2); x.set([r, size("n") - 1 - i], 2);`,
  "sides of a branch in turns of a loop": `for (const t of range(2)) { if (t > 0) x.set([r, i], 1); else x.set([r, size("n") - 1 - i], 2); }`,
  "rows that two programs share": `const r = program("rows"); const i = every("n"); x.set([idiv(r, 2), i], x.at(idiv(r, 2), i) + 1);`,
  "a row of its own, and one that all programs write": `y.set([r, i], 0); y.set([0, i], 1);`,
  "the same, the other way round": `y.set([0, i], 1); y.set([r, i], cast(r, "f32"));`,
  "rows from either end, by two programs": `y.set([r, i], 1); y.set([size("rows") - 1 - r, i], 2);`,
  "blocks from either end, by two programs": `const r = program("rows"); const i = block("n", 16); y.set([r, i], 1); y.set([r, size("n") - 1 - i], 2);`,
  "zeros, and counts of other programs": `c.set([r, i], 0); c.add([0, i], 1);`,
  "updates of two kinds, by other programs": `c.max([0, i], 1); c.add([r, i], 1);`,
  "turns of a loop that count on their own": `let o = cast(0, "u32"); for (const t of range(4)) { y.set([r, (i + o) % size("n")], t); o += 1; }`,
  "a reduction times zero": `const v = c.at(r, i); const m = sum(v); c.set([r, size("n") - 1 - i], v + m * 0);`,
  "a reduction times a size that may be zero": `const v = c.at(r, i); const m = sum(v); c.set([r, size("n") - 1 - i], v + m * (size("one") - 1));`,
  "a remainder of a reduction by a size that may be zero": `const v = c.at(r, i); const m = sum(v); c.set([r, size("n") - 1 - i], v + m % (size("one") - 1));`,
  "a reduction on the side of a select that sizes leave out": `const v = c.at(r, i); const m = sum(v); const q = select(size("n") > 1000, m, 1); c.set([r, size("n") - 1 - i], v * q);`,
  "an element times zero, kept by one lane": `const v = c.at(r, 5); c.set([r, i], v * 0 + 1); s.set([r], cast(v, "f32"));`,
};

const TAKEN: Readonly<Record<string, string>> = {
  "in place": `x.set([r, i], x.at(r, i) * 2);`,
  "in place, the index said in another way": `x.set([r, i + 3 - 3], x.at(r, 1 + i - 1) + 1);`,
  "in place, reversed on both sides": `x.set([r, size("n") - 1 - i], x.at(r, size("n") - 1 - i) + 1);`,
  "in place, behind an exclusive or": `x.set([r, i ^ 1], x.at(r, i ^ 1) + cast(i, "f32"));`,
  "over an element of the row": `x.set([r, i], x.at(r, i) - x.at(r, 0));`,
  twice: `x.set([r, i], 1); x.set([r, i], cast(i, "f32"));`,
  "elements known by number": `x.set([r, 0], 1); x.set([r, 1], 2); x.set([r, 63], 3);`,
  "single elements, which one lane does in order": `const a = x.at(r, 1); x.set([r, 0], a); x.set([r, 2], 1);`,
  "a number kept, and used by all lanes": `const a = s.at(r); s.set([r], a + 1); y.set([r, i], a);`,
  "after a reduction": `const e = x.at(r) - amax(x.at(r)); x.set([r], e + sum(e));`,
  "a second loop that needs what all lanes read": `let m = 0; for (const a of over("n")) m += sum(x.at(r, a)); for (const b of over("n")) x.set([r, b], x.at(r, b) - m);`,
  "halves of known size": `const a = every("half"); const u = x.at(r, a); const v = x.at(r, a + size("half")); x.set([r, a], u - v); x.set([r, a + size("half")], u + v);`,
  "halves of a size that is computed": `const m = idiv(size("n"), 2); for (const a of over("n", m)) { const u = x.at(r, a); const v = x.at(r, a + m); x.set([r, a], u - v); x.set([r, a + m], u + v); }`,
  "halves of a size that is written out": `for (const a of over("n", 32)) { const u = x.at(r, a); const v = x.at(r, a + 32); x.set([r, a], u - v); x.set([r, a + 32], u + v); }`,
  "halves below the least of several limits": `const m = idiv(size("n"), 2); for (const a of over("n", min(min(size("half"), 40), m))) { const u = x.at(r, a); const v = x.at(r, a + m); x.set([r, a], u - v); x.set([r, a + m], u + v); }`,
  "parts of a size that data says, held within the half": `const m = min(k.at(0), size("half")); for (const a of over("n", m)) { const u = x.at(r, a); const v = x.at(r, a + m); x.set([r, a], u - v); x.set([r, a + m], u + v); }`,
  pairs: `for (const a of over("half")) { const u = x.at(r, 2 * a); const v = x.at(r, 2 * a + 1); x.set([r, 2 * a], u - v); x.set([r, 2 * a + 1], u + v); }`,
  "turns over the same elements": `for (const t of range(4)) y.set([r, i], x.at(r, i) * t);`,
  "turns that each have a part": `const a = every("half"); for (const t of range(2)) x.set([r, t * size("half") + a], x.at(r, t * size("half") + a) * 2);`,
  "turns that each have every other element": `for (const a of over("half")) { for (const t of range(2)) x.set([r, 2 * a + t], x.at(r, 2 * a + t) + cast(t, "f32")); }`,
  "turns written out": `for (const a of over("half")) { for (const t of unroll(2)) x.set([r, 2 * a + t], x.at(r, 2 * a + t) + t); }`,
  "either side of a branch": `if (k.at(0) > 4) x.set([r, i], 1); else x.set([r, size("n") - 1 - i], 2);`,
  "updates that commute": `c.add([r, p.at(r, i)], 1); c.add([r, i], 2);`,
  "a scatter": `y.set([r, p.at(r, i)], x.at(r, i));`,
  "a scatter in a loop": `for (const a of over("n")) y.set([r, p.at(r, a)], x.at(r, a));`,
  "a reversal that needs a product with a reduction": `const v = c.at(r, i); const m = sum(v); c.set([r, size("n") - 1 - i], v * (m + 1) + m * 2);`,
  "a reversal that needs both sides of a select": `const v = c.at(r, i); const m = sum(v); c.set([r, size("n") - 1 - i], select(i > 5, m % 7, m) + v);`,
  "counts that start at zero in each program's own row": `c.set([r, i], 0); c.add([r, i], 5);`,
  "the first element by itself, the next by each program": `if (r === 0) s.set([0], 7); y.set([r, i], 1);`,
  "an in-place change of blocks": `const r = program("rows"); const i = block("n", 32); x.set([r, i], x.at(r, i) + 1);`,
};

describe("TS-220", () => {
  it.each(Object.entries(REFUSED))("refuses %s", (_, body) => {
    const text = complaint(sourceOf("kernel", body));
    expect(text).toMatch(/^kernel\.ts:\d+:\d+ {2}TS-220 {2}"[xyc]" is (read|written) here /);
    expect(text).toMatch(/at kernel\.ts:\d+:\d+|in several turns of the loop/);
    expect(text).toContain("  help: ");
  });

  it("names both places", () => {
    const text = complaint(sourceOf("kernel", REFUSED["zeros, then a scatter"] ?? ""));
    expect(text.split("\n").slice(0, 3)).toEqual([
      'kernel.ts:6:3  TS-220  "y" is written here and at kernel.ts:5:3, where two lanes may write one element',
      "  6 |   y.set([r, p.at(r, i)], 1);",
      "    |   ^^^^^^^^^^^^^^^^^^^^^^^^^",
    ]);
  });

  it("sees through helpers, functions that are passed on, and copies of an index", () => {
    const helper = `function move(t: Tensor<"rows n">, r: number, to: number, from: number, f: (v: number) => number): void {\n  t.set([r, to], f(t.at(r, from)));\n}\n`;
    const call = (from: string): string =>
      sourceOf("kernel", `const j = ${from}; move(x, r, i, j, (v) => v + 1);`) + helper;
    expect(complaint(call('size("n") - 1 - i'))).toContain('"x" is read here and written at kernel.ts:9:3');
    expect(complaint(call("i + 1 - 1"))).toBe("taken");
  });
});

describe("what is taken", () => {
  const gpus: Gpu[] = [];
  afterAll(async () => {
    for (const gpu of gpus) await gpu.close();
  });
  const plans = Object.values(TAKEN).map(
    (body, i): KernelPlan => ({
      name: `k${i}`,
      source: sourceOf(`k${i}`, body),
      sizes: SIZES,
      tensors: TENSORS,
      limit: undefined,
      inexact: false,
    }),
  );
  const programs = (): ReturnType<typeof compileFile>["programs"] =>
    compiled(
      plans.map((p) => p.source).join("\n"),
      plans.map((p) => p.name),
    ).programs;

  it("gives the interpreter's results on the simulator and every adapter, at L0 as well", async () => {
    const byName = new Map(programs().map((p) => [p.name, p]));
    expect([...byName.keys()]).toEqual(plans.map((p) => p.name));
    const told = (found: Awaited<ReturnType<typeof compare>>): string[] =>
      found.map((f) => `${f.where}: ${f.what}\n${f.plan.source}`);
    expect(told(await compare("simulator", plans, byName, 1))).toEqual([]);
    for (const adapter of adaptersUnderTest()) {
      const gpu = await open({ adapter });
      gpus.push(gpu);
      expect(told(await compare(gpu, plans, byName, 1, byName, 1))).toEqual([]);
    }
  });
});
