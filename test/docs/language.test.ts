/**
 * Every example of the language reference is compiled and run: in the interpreter and on each adapter, or refused as
 * the page says.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { describe, expect, test, vi } from "vitest";
import { compileFile } from "../../compiler/frontend/index.ts";
import { KernelError } from "../../compiler/index.ts";
import * as dsl from "../../dsl/index.ts";
import { compareAdapter, compareInterpreter } from "../examples-kernels/compare.ts";
import { adaptersUnderTest } from "../support/gpu.ts";
import { asFile, type Block, blocksOf, kernelsOf, withComparison } from "./blocks.ts";

const blocks: readonly Block[] = blocksOf("language.md");
const code: readonly Block[] = blocks.filter((b) => b.language === "ts" || b.language === "js");
const answerOf = (b: Block): Block | undefined => {
  const next = blocks[blocks.indexOf(b) + 1];
  return next?.language === "text" ? next : undefined;
};
const host: readonly Block[] = code.filter((b) => b.text.includes("await open("));
const refused: readonly Block[] = code.filter((b) => answerOf(b) !== undefined || b.text.includes("// refused with"));
const kernels: readonly Block[] = code.filter((b) => !host.includes(b) && !refused.includes(b));

function complaintOn(b: Block): Promise<KernelError> {
  return asFile(b, (file) => {
    try {
      compileFile(file, kernelsOf(b.text));
    } catch (error) {
      if (error instanceof KernelError) return error;
      throw error;
    }
    throw new Error("the example was compiled");
  });
}

test("the page has examples of every kind, and names every word of the language", () => {
  expect(kernels.length).toBeGreaterThan(15);
  expect(refused.length).toBeGreaterThan(5);
  expect(host.length).toBeGreaterThan(0);
  expect(kernels.filter((b) => b.language === "js").length).toBeGreaterThan(0);
  const page = readFileSync(new URL("../../docs/language.md", import.meta.url), "utf8");
  const table = page.slice(page.indexOf("## All words"));
  expect(Object.keys(dsl).filter((word) => !new RegExp(`\\b${word}\\b`).test(table))).toEqual([]);
});

describe.each(kernels.map((b) => ({ line: b.line, block: b })))("language.md:$line", ({ block }) => {
  test("interpreter", async () => withComparison(block, compareInterpreter));
  test.each(adaptersUnderTest())("%s", async (adapter) => withComparison(block, (c) => compareAdapter(adapter, c)));
});

describe.each(refused.map((b) => ({ line: b.line, block: b })))("language.md:$line", ({ block }) => {
  test("is refused", async () => {
    const error = await complaintOn(block);
    const answer = answerOf(block);
    if (answer !== undefined) expect(error.message).toBe(answer.text);
    else expect(error.diagnostics[0]?.code).toBe(/\/\/ refused with (TS-\d+)/.exec(block.text)?.[1]);
  });
});

describe.each(host.map((b) => ({ line: b.line, text: b.text })))("language.md:$line", ({ text }) => {
  test("prints what it says", async () => {
    // Inside the checkout, so that the package's own name resolves.
    const root = fileURLToPath(new URL("../../.cache/", import.meta.url));
    mkdirSync(root, { recursive: true });
    const folder = mkdtempSync(join(root, "docs-"));
    const printed: string[] = [];
    const spy = vi.spyOn(console, "log").mockImplementation((text: string) => void printed.push(text));
    try {
      const file = join(folder, "example.ts");
      writeFileSync(file, text);
      await import(/* @vite-ignore */ pathToFileURL(file).href);
    } finally {
      spy.mockRestore();
      rmSync(folder, { recursive: true, force: true });
    }
    expect(printed).toEqual([...text.matchAll(/\/\/ prints (.*)$/gm)].map((m) => m[1]));
  });
});
