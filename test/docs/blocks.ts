/**
 * The fenced examples of a documentation page, made into comparisons that can be run.
 *
 * A `ts` or `js` block with kernels ends with comments that say what it is given and what comes out
 * (`// x = [1, 2, 3]`, `// y becomes [2, 4, 6]`); every exported kernel is called once, in order, with tensors of the
 * names of its parameters. A `ts` block that is followed by a `text` block is refused with that text.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { compileFile } from "../../compiler/frontend/index.ts";
import type { TensorParam, TileProgram } from "../../compiler/index.ts";
import type { DType } from "../../runtime/memory/dtype.ts";
import { blank, type Call, type Comparison, type Given, given } from "../examples-kernels/given.ts";

export interface Block {
  readonly language: string;
  /** Line of the page on which the block opens. */
  readonly line: number;
  readonly text: string;
}

/** The fenced blocks of a page of docs/. */
export function blocksOf(page: string): Block[] {
  const lines = readFileSync(new URL(`../../docs/${page}`, import.meta.url), "utf8").split("\n");
  const blocks: Block[] = [];
  let open: { language: string; line: number; text: string[] } | undefined;
  for (const [i, line] of lines.entries()) {
    const fence = /^```(\w*)$/.exec(line);
    if (fence === null) open?.text.push(line);
    else if (open === undefined) open = { language: fence[1] ?? "", line: i + 1, text: [] };
    else {
      blocks.push({ language: open.language, line: open.line, text: open.text.join("\n") });
      open = undefined;
    }
  }
  return blocks;
}

/** Names of the kernels that a block exports, in order. */
export function kernelsOf(text: string): string[] {
  return [...text.matchAll(/^export function (\w+)/gm)].map((m) => m[1] ?? "");
}

/** Calls `use` with the block as a file called example.ts (or .js) in a folder of its own. */
export async function asFile<T>({ text, language }: Block, use: (file: string) => T | Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "tilestate-docs-"));
  try {
    const file = join(folder, `example.${language}`);
    writeFileSync(file, text);
    return await use(file);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

type Nested = number | readonly Nested[];

interface Value {
  readonly dtype: DType | undefined;
  readonly value: Nested;
}

/** Reads the comments `// x = [1, 2]`, `// w = f16 [1, 2]` (or another format) and `// y becomes [3]`. */
function statements(text: string, verb: string): Map<string, Value> {
  const found = new Map<string, Value>();
  for (const m of text.matchAll(new RegExp(`^// (\\w+) ${verb} (?:(f16|bf16|q8|q4|u32|i32) )?([-\\[\\d].*)$`, "gm"))) {
    const [, name = "", dtype, numbers = ""] = m;
    found.set(name, { dtype: dtype as DType | undefined, value: JSON.parse(numbers) as Nested });
  }
  return found;
}

function shapeOf(x: Nested): number[] {
  return typeof x === "number" ? [] : [x.length, ...(x[0] === undefined ? [] : shapeOf(x[0]))];
}

function flat(x: Nested): number[] {
  return typeof x === "number" ? [x] : x.flatMap(flat);
}

/** The comparison that a block with kernels describes; `file` is where its text lies. */
export function comparisonOf(text: string, file: string, programs: readonly TileProgram[]): Comparison {
  const before = statements(text, "=");
  const after = statements(text, "becomes");
  const tensors: Record<string, Given> = {};
  const calls: Call[] = [];
  for (const program of programs) {
    const args = program.params.map((p): string | number => {
      const start = before.get(p.name);
      if (p.kind === "scalar") {
        if (typeof start?.value !== "number")
          throw new Error(`${program.name}: no line "// ${p.name} = …" gives the scalar`);
        return start.value;
      }
      tensors[p.name] ??= tensorOf(p, start, after.get(p.name));
      return p.name;
    });
    calls.push([program.name, ...args]);
  }
  const want = Object.fromEntries([...after].map(([name, v]) => [name, flat(v.value)]));
  if (after.size === 0) throw new Error("no line says what a tensor becomes");
  for (const name of [...before.keys(), ...after.keys()]) {
    const known = programs.some((p) => p.params.some((q) => q.name === name));
    if (!known) throw new Error(`a comment gives "${name}", which is no parameter`);
  }
  return { file: pathToFileURL(file).href, tensors, calls, want };
}

function tensorOf(p: TensorParam, start: Value | undefined, end: Value | undefined): Given {
  const dtype = start?.dtype ?? end?.dtype ?? p.storage[0] ?? "f32";
  if (start !== undefined) return given(shapeOf(start.value), flat(start.value), dtype);
  if (end === undefined) throw new Error(`no comment gives the tensor "${p.name}"`);
  return blank(shapeOf(end.value), dtype);
}

/** Compiles a block and hands on its comparison. */
export async function withComparison(block: Block, use: (c: Comparison) => Promise<void>): Promise<void> {
  await asFile(block, async (file) => {
    const { text } = block;
    const names = kernelsOf(text);
    const compiled = compileFile(file, names).programs;
    const programs = names.flatMap((n) => compiled.find((p) => p.name === n) ?? []);
    await use(comparisonOf(text, file, programs));
  });
}
