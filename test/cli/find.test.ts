/**
 * Which kernels the commands find in a file: by the rule of `gpu.kernels`, so that each of them compiles under its
 * name.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { findKernels } from "../../cli/kernels/find.ts";
import { compileFile } from "../../compiler/frontend/index.ts";
import { temporary } from "../models/formats/temporary.ts";
import { cli, cliJson } from "./run.ts";

const at = temporary();
const HEAD =
  'import { block, type DType, type f32, type Instance, type Scalar, type Static, specialise, type Tensor, type u32 } from "tilestate/dsl";\n';
const body = '{\n  y.set([block("n")], 1);\n}';
let made = 0;

/** Names in a file, each of which is compiled as well. `others` are files beside it. */
async function names(
  text: string,
  others: Readonly<Record<string, string>> = {},
  file = "kernels.ts",
): Promise<string[]> {
  const folder = `project${made++}`;
  await mkdir(at(folder));
  for (const [name, source] of Object.entries({ ...others, [file]: text }))
    await writeFile(at(`${folder}/${name}`), name.endsWith("ts") ? HEAD + source : source);
  const found = (await findKernels(at(`${folder}/${file}`))).map((k) => k.name);
  if (found.length > 0) expect(compileFile(at(`${folder}/${file}`), found).programs.map((p) => p.name)).toEqual(found);
  return found;
}

describe("kernels of a file", () => {
  test("are exported functions of no result with a tensor, and only those", async () => {
    const text = `
export function one(y: Tensor<"n">): void ${body}
export function two(
  a: Scalar,
  y: Tensor<"n", f32>,
): void ${body}
export function helper(x: Tensor<"n">, i: number): number {
  return x.at(i);
}
function hidden(y: Tensor<"n">): void ${body}
export function host(n: number): void {}
export const text = 'export function quoted(x: Tensor<"n">): void {}';
// export function commented(x: Tensor<"n">): void {}
export function untold(y: Tensor<"n">) ${body}
`;
    expect(await names(text)).toEqual(["one", "two", "untold"]);
  });

  test("are generic, overloaded, arrow functions and of any name", async () => {
    const text = `
export function generic<T extends f32 | u32>(y: Tensor<"n", T>): void ${body}
export const arrow = (y: Tensor<"n">): void => ${body};
export const short = (y: Tensor<"n">): void => y.set([block("n")], 1);
export const whole = function (y: Tensor<"n">): void ${body};
type Kernel = (y: Tensor<"n">) => void;
export const typed: Kernel = (y) => ${body};
export function größer(y: Tensor<"n">): void ${body}
export function 核(y: Tensor<"n">): void ${body}
export const $dollar_1 = (y: Tensor<"n">): void => ${body};
type Vector = Tensor<"n">;
export function aliased(y: Vector): void ${body}
export function overloaded(y: Tensor<"n">): void;
export function overloaded(y: Tensor<"n">, k: Scalar): void;
export function overloaded(y: Tensor<"n">, k?: Scalar): void ${body}
export let variable = (y: Tensor<"n">): void => ${body};
`;
    // A variable may be another function by the time it is loaded.
    expect(await names(text.replace(/export function overloaded[\s\S]*?export let/, "export let"))).toEqual([
      ...["generic", "arrow", "short", "whole", "typed", "größer", "核", "$dollar_1", "aliased"],
    ]);
    const overloaded = text.slice(text.indexOf("export function overloaded"), text.indexOf("export let"));
    expect(await names(overloaded.replaceAll(/, k\??: Scalar/g, ", k: Scalar"))).toEqual(["overloaded"]);
  });

  test("may be exported under another name, from another file, and by default", async () => {
    const text = `
function a(y: Tensor<"n">): void ${body}
export { a as b };
export { c as d } from "./other.ts";
export * from "./more.js";
export default function named(y: Tensor<"n">): void ${body}
`;
    const others = {
      "other.ts": `export function c(y: Tensor<"n">): void ${body}`,
      "more.ts": `export function e(y: Tensor<"n">): void ${body}\nexport function f(n: number): void {}`,
    };
    expect(await names(text, others)).toEqual(["b", "d", "named", "e"]);
    expect(await names(`const k = (y: Tensor<"n">): void => ${body};\nexport default k;`)).toEqual(["default"]);
  });

  test("have values for their compile-time parameters, and are those that the file specialises or loads", async () => {
    const text = `
const same = (x: number): number => x;
interface Options { rows?: number }
function block4(y: Tensor<"n">, x: number): void {
  y.set([block("n", 4)], x);
}
export function open(y: Tensor<"n">, { f, rows = 2 }: Static<{ f: (x: number) => number; rows?: number }>): void {
  block4(y, f(rows));
}
export function whole(y: Tensor<"n">, { f = same, rows = 2 }: Options & Static<{ f?: (x: number) => number }>): void {
  block4(y, f(rows));
}
export function named(y: Tensor<"n">, options: Static<{ rows?: number }>): void {
  block4(y, options.rows ?? 1);
}
export function closed(y: Tensor<"n">, { f = same }: Static<{ f?: (x: number) => number }> = {}): void {
  block4(y, f(1));
}
function hidden(y: Tensor<"n">): void {
  block4(y, 1);
}
const first = specialise(open, { f: (x) => x });
export const second: Instance<typeof open> = specialise(open, { f: same });
declare const gpu: { kernels(meta: object, kernels: object): Promise<object> };
const k = await gpu.kernels(import.meta, { first, third: specialise(open, { f: same }), fourth: closed, closed, hidden });
const other = { fifth: closed };
`;
    expect(await names(text)).toEqual(["whole", "named", "closed", "first", "second", "third", "fourth", "hidden"]);
  });

  test("may be JavaScript with types in its comments", async () => {
    const text = `
import { block } from "tilestate/dsl";
/** @param {import("tilestate/dsl").Tensor<"n">} y */
export function one(y) ${body}
/** @type {(y: import("tilestate/dsl").Tensor<"n">) => void} */
export const two = (y) => ${body};
export function untyped(y) ${body}
/** @param {import("tilestate/dsl").Tensor<"n">} y */
export function helper(y) { return y.at(0); }
`;
    expect(await names(text, {}, "kernels.mjs")).toEqual(["one", "two"]);
  });

  test("come with the text of their function and the comments right above it", async () => {
    const text = `/** A file. */

// Apart.

/** Sets. */
// With a note.
export function set(y: Tensor<"n">): void {
  y.set([block("n")], 1); // "}"
}
/** An arrow. */
export const arrow = (y: Tensor<"n">): void => ${body};
export { c } from "./other.ts";
`;
    await mkdir(at("texts"));
    await writeFile(at("texts/kernels.ts"), HEAD + text);
    await writeFile(
      at("texts/other.ts"),
      `${HEAD}/** Elsewhere. */\nexport function c(y: Tensor<"n">): void ${body}\n`,
    );
    const found = await findKernels(at("texts/kernels.ts"));
    expect(found.map((k) => k.source)).toEqual([
      text.slice(text.indexOf("/** Sets"), text.indexOf("/** An arrow") - 1),
      `/** An arrow. */\nexport const arrow = (y: Tensor<"n">): void => ${body};`,
      `/** Elsewhere. */\nexport function c(y: Tensor<"n">): void ${body}`,
    ]);
    expect(found.map((k) => k.file)).toEqual([at("texts/kernels.ts"), at("texts/kernels.ts"), at("texts/other.ts")]);
    const choose = fileURLToPath(new URL("../../models/kernels/choose.ts", import.meta.url));
    const best = (await findKernels(choose)).find((k) => k.name === "best")?.source ?? "";
    expect(best.startsWith("/** The most likely token of every row")).toBe(true);
    expect(best.endsWith("\n}")).toBe(true);
    expect(best).not.toContain("function choose");
  });
});

describe("the commands", () => {
  test("compile, show and build find the same kernels", async () => {
    const file = at("größer.mjs");
    await writeFile(
      file,
      `import { block } from "tilestate/dsl";\n/** @param {import("tilestate/dsl").Tensor<"n">} y */\nexport const größer = (y) => ${body};\n`,
    );
    const { kernels } = await cliJson<{ kernels: { name: string }[] }>("kernels", "compile", file);
    expect(kernels.map((k) => k.name)).toEqual(["größer"]);
    expect((await cli("kernels", "show", "größer", "--file", file, "--part", "source")).out).toContain(
      "const größer = (y)",
    );
    expect(await cliJson("kernels", "build", file, "--out", at("größer.json"))).toMatchObject({ kernels: ["größer"] });
  });

  test("say why an async function is no kernel, and where a file does not parse", async () => {
    await writeFile(at("async.ts"), `${HEAD}export async function later(y: Tensor<"n">): Promise<void> ${body}\n`);
    const later = await cli("kernels", "compile", at("async.ts"));
    expect(later.code).toBe(1);
    expect(later.err).toContain('async.ts:2:23  TS-102  "later" is an async function, and a kernel is a plain one\n');
    await writeFile(at("broken.ts"), `${HEAD}export function one(y: Tensor<"n">: void ${body}\n`);
    for (const command of [["compile"], ["show", "one", "--file"], ["build"]]) {
      const { code, err } = await cli("kernels", ...command, at("broken.ts"));
      expect([code, err.split("\n")[0]]).toEqual([1, "broken.ts:2:35  TS-100  ',' expected."]);
    }
  });
});
