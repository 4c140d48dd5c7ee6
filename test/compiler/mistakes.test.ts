/**
 * Every face of every diagnostic: what a kernel's author can get wrong and the exact text of the answer.
 *
 * diagnostics.test.ts has one example of each code; here are the others, in one file that reads like a list of mistakes
 * (test/fixtures/diagnostics/mistakes.txt).
 */

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { TARGETS } from "../../cli/kernels/targets.ts";
import { compileFile } from "../../compiler/frontend/index.ts";
import { generate, KernelError, type Statics } from "../../compiler/index.ts";
import type { Target } from "../../compiler/schedule/target.ts";

const PARAMS = `x: Tensor<"rows n">, v: Tensor<"n">, u: Tensor<"n", u32>, s: Tensor<"n", i32>, k: Scalar<u32>, y: Tensor<"n">`;
const WORDS =
  "abs, amax, argmin, bitcast, block, cast, cumsum, dot, emptyTopk, every, exp, full, idiv, over, program, range, select, size, specialise, sum, topk, unroll, zeros";
const HEAD = `import { ${WORDS}, type DType, type f16, type f32, type i32, type q8, type real, type Scalar, type Static, type Tensor, type u32 } from "tilestate/dsl";\n`;

type Files = Readonly<Record<string, string>>;

/** Title -> statements of a kernel that has `i = block("n")`, a whole file, or several files. */
const MISTAKES: Readonly<
  Record<string, readonly (readonly [title: string, mistake: string | Files, statics?: Statics])[]>
> = {
  "files and names": [
    [
      "a helper file that does not parse",
      {
        "kernel.ts": `import { half } from "./helper.ts";\nexport function kernel(y: Tensor<"n">): void {\n  y.set([0], half(1));\n}`,
        "helper.ts": "export function half(x: number: number {\n  return x / 2;\n}",
      },
    ],
    ["no kernel of that name", `export const kernel = 3;`],
    ["a kernel that is a variable", `export let kernel = (y: Tensor<"n">): void => y.set([0], 1);`],
    [
      "a type error in a helper of another file",
      {
        "kernel.ts": `import { half } from "./helper.ts";\nexport function kernel(y: Tensor<"n">): void {\n  y.set([0], half(1));\n}`,
        "helper.ts": `export function half(x: number): number {\n  const text: string = x;\n  return x / 2;\n}`,
      },
    ],
    [
      "a mistake deep in helpers of another file",
      {
        "kernel.ts": `import { outer } from "./helper.ts";\nexport function kernel(y: Tensor<"n">): void {\n  const i = block("n");\n  y.set([i], outer(y.at(i)));\n}`,
        "helper.ts": `export function outer(x: number): number {\n  return inner(x) + 1;\n}\nfunction inner(x: number): number {\n  return x > 0 ? 1 : 2;\n}`,
      },
    ],
    ["a name that is nowhere", `y.set([i], nowhere);`],
    [
      "a variable of the module",
      `let step = 3;\nexport function kernel(y: Tensor<"n">): void {\n  y.set([0], step);\n}`,
    ],
    [
      "a variable of the module, changed",
      `let step = 3;\nexport function kernel(y: Tensor<"n">): void {\n  step = 4;\n  y.set([0], 1);\n}`,
    ],
    ["a name before its declaration", `y.set([i], later);\n  const later = 1;`],
    [
      "a variable changed from an inner function",
      `let total = 0;\n  const add = (by: number): void => {\n    total += by;\n  };\n  add(1);\n  y.set([i], total);`,
    ],
    [
      "several mistakes at once",
      {
        "kernel.ts": `export function kernel(y: Tensor<"n">): void {\n  y.set([0], Math.sin(1));\n}\nexport function other(y: Tensor<"n">): void {\n  y.set([0, 1], 1);\n  const wrong: string = 1;\n}`,
      },
    ],
  ],
  "syntax that kernels do not have": [
    ["while", `while (true) y.set([i], 1);`],
    ["do", `do y.set([i], 1);\n  while (true);`],
    ["break", `for (const j of range(3)) break;`],
    ["continue", `for (const j of range(3)) continue;`],
    ["switch", `switch (3) {}`],
    ["for in", `for (const j in [1]) y.set([i], 1);`],
    ["throw", `throw 1;`],
    ["a function inside", `function inner(): void {}`],
    ["deep destructuring", `const [[a]] = [[1]] as const;`],
    ["the rest of a list", `const [a, ...rest] = [1, 2];`],
    ["no first value", `let a: number;`],
    ["++", `let a = 1;\n  a++;`],
    ["++ in front", `let a = 1;\n  ++a;`],
    ["assignment inside an expression", `let a = 1;\n  y.set([i], (a = 2));`],
    ["assignment to an element", `let a = [1];\n  a[0] = 2;`],
    ["[ ]", `y.set([i], y[0]);`],
    ["an object made of another", `const a = { ...{ b: 1 } };`],
    ["a template string", `const a = \`\${1}\`;`],
    ["null", `const a = null;`],
    ["a label", `here: y.set([i], 1);`],
    ["a loop over a list", `for (const j of [1, 2]) y.set([i], j);`],
    ["a list stored", `y.set([i], [1, 2] as never);`],
    ["an object stored", `y.set([i], { a: 1 } as never);`],
    ["a part of a number", `const [a] = 3 as never as [number];\n  y.set([i], a);`],
    ["a field of a list", `const { a } = [1] as never as { a: number };\n  y.set([i], a);`],
    ["more names than values", `const [a, b] = [1] as never as [number, number];\n  y.set([i], a + b);`],
    [
      "a variable of the file in a list",
      `const f = (): void => {\n    [total] = [1];\n  };\n  let total = 0;\n  f();\n  y.set([i], total);`,
    ],
    ["a field that is no function", `const o = { f: 1 as never as () => number };\n  y.set([i], o.f());`],
    [
      "a list changed by a loop",
      `let a = [1] as never;\n  for (const j of range(3)) a = [2] as never;\n  y.set([i], a);`,
    ],
    ["a loop variable that exists", `let j = 1;\n  for (j of range(3)) y.set([i], j);`],
    [
      "a return in a loop of a helper",
      `function find(n: number): number {\n  for (const j of range(n)) return j;\n  return 0;\n}\nexport function kernel(y: Tensor<"n">): void {\n  y.set([0], find(3));\n}`,
    ],
    ["a value returned by a kernel", `return 1 as never;`],
  ],
  parameters: [
    ["real numbers or integers", `export function kernel(y: Tensor<"n", DType>): void {\n  y.set([0], 1);\n}`],
    ["no type", `export function kernel(y): void {\n  y.set([0], 1);\n}`],
    ["dims that are not one text", `export function kernel(y: Tensor<"n" | "m">): void {\n  y.set([0], 1);\n}`],
  ],
  "compile-time parameters": [
    [
      "no value",
      `export function kernel(y: Tensor<"n">, options: Static<{ rows: number }>): void {\n  y.set([block("n", options.rows)], 1);\n}`,
    ],
    [
      "no function",
      `export function kernel(y: Tensor<"n">, { f }: Static<{ f: (x: number) => number }>): void {\n  y.set([0], f(1));\n}`,
    ],
    [
      "one that the kernel does not have",
      `export function kernel(y: Tensor<"n">, { rows = 2 }: Static<{ rows?: number }>): void {\n  y.set([block("n", rows)], 1);\n}`,
      { kernel: { columns: 3 } },
    ],
    [
      "one of another kind",
      `export function kernel(y: Tensor<"n">, { rows = 2 }: Static<{ rows?: number }>): void {\n  y.set([block("n", rows)], 1);\n}`,
      { kernel: { rows: true } },
    ],
    [
      "not a number",
      `export function kernel(y: Tensor<"n">, { rows = 2 }: Static<{ rows?: number }>): void {\n  y.set([block("n", rows)], 1);\n}`,
      { kernel: { rows: Number.NaN } },
    ],
    [
      "a tensor among them",
      `export function kernel(y: Tensor<"n">, { x }: Static<{ x: Tensor<"n"> }>): void {\n  y.set([0], x.at(0));\n}`,
    ],
    [
      "not the last parameter",
      `export function kernel({ rows = 2 }: Static<{ rows?: number }>, y: Tensor<"n">): void {\n  y.set([block("n", rows)], 1);\n}`,
    ],
    [
      "a size, which is known too late",
      `function fill(y: Tensor<"n">, { by }: Static<{ by: number }>): void {\n  y.set([block("n")], by);\n}\nexport function kernel(y: Tensor<"n">): void {\n  fill(y, { by: size("n") });\n}`,
    ],
    [
      "a value that is not written down",
      `function fill(y: Tensor<"n">, { by }: Static<{ by: number }>): void {\n  y.set([block("n")], by);\n}\nlet n = 3;\nn += 1;\nexport const kernel = specialise(fill, { by: n });`,
    ],
    [
      "a mistake inside an epilogue of another file",
      {
        "kernel.ts": `import { wrong } from "./helper.ts";\nfunction apply(y: Tensor<"n">, { f }: Static<{ f: (x: number) => number }>): void {\n  const i = block("n");\n  y.set([i], f(y.at(i)));\n}\nexport const kernel = specialise(apply, { f: wrong });`,
        "helper.ts": `export function wrong(x: number): number {\n  return x > 0 ? x : 0;\n}`,
      },
    ],
    [
      "a mistake inside an epilogue in place",
      `function apply(y: Tensor<"n">, { f }: Static<{ f: (x: number) => number }>): void {\n  const i = block("n");\n  y.set([i], f(y.at(i)));\n}\nexport const kernel = specialise(apply, { f: (x) => idiv(x, 2) });`,
    ],
    [
      "a type error inside an epilogue in place",
      `function apply(y: Tensor<"n">, { f }: Static<{ f: (x: number) => number }>): void {\n  const i = block("n");\n  y.set([i], f(y.at(i)));\n}\nexport const kernel = specialise(apply, { f: (x) => { const text: string = x; return 1; } });`,
    ],
    [
      "a key that stands for two functions",
      `export function kernel(y: Tensor<"n">): void {\n  y.set([0], 1);\n}\nexport function more(y: Tensor<"n">): void {\n  y.set([0], 2);\n}\nexport const load = (gpu: { kernels(o: object): void }): void => {\n  gpu.kernels({ kernel });\n  gpu.kernels({ kernel: more });\n};`,
    ],
    [
      "a key of some object that has another meaning than the function of that name",
      `export function kernel(y: Tensor<"n">): void {\n  y.set([0], 1);\n}\nexport function more(y: Tensor<"n">): void {\n  y.set([0], 2);\n}\nexport const table = { kernel: more };`,
    ],
    [
      "a key that stands for two instances",
      `function kernel(y: Tensor<"n">, { f }: Static<{ f: (x: number) => number }>): void {\n  y.set([0], f(1));\n}\nexport const all = [{ kernel: specialise(kernel, { f: exp }) }, { kernel: specialise(kernel, { f: abs }) }];`,
    ],
  ],
  topk: [
    ["nothing to go into", `const [a] = topk(v.at(), every("n"), 3 as never);\n  y.set([i], a);`],
    ["a dim that no tensor has", `const [a] = topk(v.at(), every("n"), "few");\n  y.set([i], a);`],
    ["a list without a dim", `const [a] = topk(v.at(), every("n"), [k, k]);\n  y.set([i], a);`],
    ["a list over a block", `const [a] = topk(x.at(0), every("n"), [v.at(i), u.at(i)]);\n  y.set([i], a);`],
    ["real places", `const [a] = topk(v.at(), v.at(), "rows");\n  y.set([i], sum(a));`],
    ["conditions", `const [a] = topk((v.at() > 0) as never, every("n"), "rows");\n  y.set([i], sum(a));`],
    ["which dim", `const [a] = topk(x.at(), every("n"), "rows");\n  y.set([i], sum(a));`],
    [
      "integers into a list of real numbers",
      `const [a] = topk(u.at(), every("n"), emptyTopk("rows"));\n  y.set([i], sum(a));`,
    ],
  ],
  types: [
    ["a tensor as a number", `y.set([i], y + 1);`],
    ["a tensor as an argument of a word", `y.set([i], exp(y as never));`],
    ["nothing as a number", `y.set([i], exp(y.set([0], 1) as never));`],
    ["a constant that is not a number", `y.set([i], 0 / 0);`],
    ["a fraction where integers are", `u.set([i], 0.5);`],
    ["a number too large for u32", `u.set([i], 5_000_000_000);`],
    ["infinity as an integer", `u.set([i], Infinity);`],
    ["real numbers into an integer tensor", `u.set([i], v.at(i));`],
    ["u32 and i32", `y.set([i], u.at(i) + s.at(i));`],
    ["a negative number and u32", `y.set([i], select(u.at(i) < -1, 1, 0));`],
    ["a negative number or u32", `u.set([i], select(v.at(i) > 0, u.at(i), -1));`],
    ["minus of u32", `s.set([i], -u.at(i));`],
    ["bits of a real number", `y.set([i], v.at(i) & 1);`],
    ["a real number shifted", `y.set([i], v.at(i) << 1);`],
    ["a shift beyond the word", `u.set([i], u.at(i) << 32);`],
    ["bits of a literal", `y.set([i], bitcast(1, "f32"));`],
    ["! of a number", `y.set([i], select(!u.at(i), 1, 0));`],
    ["~ of a condition", `u.set([i], ~((u.at(i) > 1) as unknown as number));`],
    ["&& of numbers", `y.set([i], u.at(i) && v.at(i));`],
    ["a sum of conditions", `y.set([i], sum((v.at() > 0) as unknown as number));`],
    ["a largest condition", `y.set([i], amax((v.at() > 0) as unknown as number));`],
    ["a running sum of conditions", `y.set([i], cumsum((v.at(i) > 0) as unknown as number));`],
    ["conditions added", `y.set([i], ((v.at(i) > 0) as unknown as number) + 1);`],
    ["the size of a condition", `y.set([i], abs((v.at(i) > 0) as unknown as number));`],
    ["a number as a condition", `if (k) y.set([i], 1);`],
    ["a number where select wants a condition", `y.set([i], select(v.at(i) as unknown as boolean, 1, 0));`],
    ["a fraction as an index", `y.set([0.5], 1);`],
    ["a negative index", `y.set([i], v.at(-1));`],
    ["a real index", `y.set([i], v.at(v.at(i)));`],
    ["an integer divided by /", `u.set([i], idiv(u.at(i), 2) / u.at(i));`],
    ["a real number divided by idiv", `y.set([i], idiv(v.at(i), 2));`],
    ["an integer divided by zero", `u.set([i], idiv(u.at(i), 0));`],
    ["a remainder of zero", `u.set([i], u.at(i) % 0);`],
    ["real numbers as loop bounds", `for (const j of range(v.at(0))) y.set([i], j);`],
    ["argmin over a real index", `u.set([i], argmin(v.at(), v.at()));`],
  ],
  "type parameters": [
    [
      "one of the kinds does not work",
      `export function kernel<T extends DType>(x: Tensor<"n", T>, y: Tensor<"n", T>): void {\n  const i = block("n");\n  y.set([i], exp(x.at(i)));\n}`,
    ],
    [
      "too many of them",
      `export function kernel<A extends DType, B extends DType, C extends DType>(a: Tensor<"n", A>, b: Tensor<"n", B>, c: Tensor<"n", C>): void {\n  const i = block("n");\n  c.set([i], 1);\n}`,
    ],
  ],
  "tiles and dims": [
    ["a tile as the condition of ?:", `y.set([i], v.at(i) > 0 ? 1 : 2);`],
    ["a property of a tensor", `y.set([i], y.length as never);`],
    ["a method of a tile", `y.set([i], Number(v.at(i).toFixed(1)));`],
    ["two ranges over one dim", `for (const j of over("n")) y.set([i], v.at(j) + v.at(i));`],
    ["too few dims to reduce", `y.set([i], sum(k));`],
    ["a dim that is not there to reduce", `y.set([i], sum(v.at(), "rows"));`],
    ["which dim to reduce", `y.set([0], amax(x.at()));`],
    ["dot of nothing in common", `y.set([i], dot(x.at(0), k));`],
    ["a dim that no tensor has", `y.set([i], size("m"));`],
    ["a new tile over a dim that no tensor has", `y.set([i], zeros("m"));`],
    ["a tile filled with a tile", `y.set([0], sum(full("rows", v.at(i))));`],
    ["a dim that the indices lack", `y.set([0], v.at(i));`],
    ["too many indices of set", `y.set([i, 0], 1);`],
    ["the grid has the dim already", `const j = program("n");\n  y.set([j], 1);`],
    ["the grid inside a branch", `if (k > 1) {\n    const j = program("rows");\n    y.set([i], j);\n  }`],
  ],
  "loops and branches": [
    [
      "a block kept beyond its turn",
      `let last = 0;\n  for (const j of over("rows")) last = x.at(j, 0);\n  y.set([i], last);`,
    ],
    [
      "a variable that changes its type",
      `let a = cast(1, "u32");\n  for (const j of range(3)) a = v.at(j);\n  y.set([i], a);`,
    ],
    [
      "a text changed by a loop",
      `let d = "n" as never;\n  for (const j of range(3)) d = "rows" as never;\n  y.set([i], size(d));`,
    ],
    ["a number that becomes a text", `let d = 1;\n  for (const j of range(3)) d = "rows" as never;\n  y.set([i], d);`],
    ["a text changed by a branch", `let d = "n" as never;\n  if (k > 1) d = "rows" as never;\n  y.set([i], size(d));`],
    ["i32 and u32 from two branches", `let a = u.at(0);\n  if (k > 1) a = s.at(0);\n  y.set([i], a);`],
    ["unroll without a known length", `for (const j of unroll(k)) y.set([i], j);`],
    ["unroll without an end in sight", `for (const j of unroll(1e9)) y.set([i], j);`],
    ["a tile as a limit", `for (const j of over("rows", u.at(i))) y.set([i], sum(x.at(j, 0)));`],
    ["a tile as a bound", `for (const j of range(u.at(i))) y.set([i], j);`],
  ],
  calls: [
    ["something that is no function", `const f = 3 as never as () => number;\n  y.set([i], f());`],
    ["an unknown function", `y.set([i], nowhere(1));`],
    ["an argument too few", `const f = (a: number, b: number): number => a + b;\n  y.set([i], f(1));`],
    ["an argument too few for a word", `y.set([i], idiv(u.at(i)));`],
    ["a dim that is not a text", `y.set([i], size(3 as never));`],
    ["no dim", `y.set([i], size());`],
    [
      "a block of no elements",
      `export function kernel(y: Tensor<"n">): void {\n  const i = block("n", 0);\n  y.set([i], 1);\n}`,
    ],
    [
      "a block as large as a parameter",
      `export function kernel(k: Scalar<u32>, y: Tensor<"n">): void {\n  const i = block("n", k);\n  y.set([i], 1);\n}`,
    ],
    ["set without a list", `y.set(i, 1);`],
    ["a cast to a storage format", `y.set([i], cast(v.at(i), "f16"));`],
    [
      "a helper that calls itself through another",
      `function a(n: number): number {\n  return b(n);\n}\nfunction b(n: number): number {\n  return a(n);\n}\nexport function kernel(y: Tensor<"n">): void {\n  y.set([0], a(1));\n}`,
    ],
    [
      "an atomic update of any real format",
      `export function kernel(y: Tensor<"n", real>): void {\n  const i = block("n");\n  y.add([i], 1);\n}`,
    ],
  ],
  "reading back": [
    ["what the kernel has stored", `y.set([i], 1);\n  v.set([i], y.at(i));`],
    ["what other programs store", `y.set([i], y.at(0) + 1);`],
    [
      "what an earlier turn stored",
      `export function kernel(y: Tensor<"n">): void {\n  for (const j of range(1, size("n"))) y.set([j], y.at(j - 1));\n}`,
    ],
    ["what either branch stored", `if (k > 1) y.set([i], 1);\n  else v.set([i], 2);\n  y.set([i], v.at(i));`],
  ],
  binding: [
    ["too large a tile", `y.set([0], sum(sum(x.at(), "rows")));`],
    [
      "a part of a block",
      `export function kernel(y: Tensor<"n", q8>): void {\n  for (const j of over("n", 3)) y.set([j], 1);\n}`,
    ],
    [
      "a block format",
      `export function kernel(y: Tensor<"n", q8>): void {\n  const i = block("n", 16);\n  y.set([i], 1);\n}`,
    ],
  ],
};

const TARGET = TARGETS.lavapipe as Target;

function complaint(mistake: string | Files, statics: Statics = {}): string {
  const folder = mkdtempSync(join(tmpdir(), "tilestate-mistakes-"));
  try {
    const whole = typeof mistake === "string" && !/\b(?:function|const|let) kernel\b/.test(mistake);
    const files: Files =
      typeof mistake !== "string"
        ? mistake
        : {
            "kernel.ts": whole
              ? `export function kernel(${PARAMS}): void {\n  const i = block("n");\n  ${mistake}\n}`
              : mistake,
          };
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(folder, name)), { recursive: true });
      writeFileSync(join(folder, name), `${text}\n${HEAD}`);
    }
    const names = Object.values(files).some((t) => t.includes("function other")) ? ["kernel", "other"] : ["kernel"];
    for (const program of compileFile(join(folder, "kernel.ts"), names, statics).programs) {
      const storage = Object.fromEntries(
        program.params.flatMap((p) => (p.kind === "tensor" ? [[p.name, p.storage[0] ?? "f32"]] : [])),
      );
      generate(program, { sizes: { rows: 320, n: 320 }, storage, cells: [] }, TARGET);
    }
    return "(nothing)";
  } catch (error) {
    if (error instanceof KernelError) return error.message;
    throw error;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

describe("mistakes", () => {
  test.each(Object.keys(MISTAKES))("%s", async (topic) => {
    const told = (MISTAKES[topic] ?? []).map(
      ([title, mistake, statics]) => [title, complaint(mistake, statics)] as const,
    );
    expect(told.filter(([, text]) => !/TS-\d{3} {2}/.test(text))).toEqual([]);
    const page = told.map(([title, text]) => `# ${title}\n\n${text}\n`).join("\n");
    await expect(page).toMatchFileSnapshot(`../fixtures/diagnostics/mistakes/${topic.replaceAll(" ", "-")}.txt`);
  });

  test("carets stand under the columns that the first line names", () => {
    for (const [title, mistake, statics] of Object.values(MISTAKES).flat()) {
      for (const part of complaint(mistake, statics).split("\n\n")) {
        const [head = "", source, carets = ""] = part.split("\n");
        const column = Number(/:(\d+) {2}TS-/.exec(head)?.[1]);
        expect(column, title).toBeGreaterThan(0);
        if (source === undefined) continue;
        const bar = source.indexOf(" | ") + 3;
        expect(carets.indexOf("^") - bar + 1, `${title}\n${part}`).toBe(column);
        expect(source[bar + column - 1], title).toMatch(/\S/);
      }
    }
  });
});
