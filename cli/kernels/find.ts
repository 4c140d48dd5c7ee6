/**
 * Which kernels a file exports, and their source text, found without a parser.
 *
 * A kernel is an exported function of no result with a Tensor among its parameters. A look at the text is enough to name candidates; whether they are kernels
 * is then the compiler's word. Importing the file instead would run its host code.
 */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { UserError } from "../../runtime/errors.ts";

/** The text of a kernel file. Throws `UserError` naming it. */
export function readSource(path: string): { readonly file: string; readonly text: string } {
  const file = resolve(path);
  try {
    return { file, text: readFileSync(file, "utf8") };
  } catch (cause) {
    const missing = (cause as { code?: string }).code === "ENOENT";
    throw new UserError(`${path}: ${missing ? "no such file" : `cannot read (${(cause as Error).message})`}`);
  }
}

const EXPORTED = /^export\s+function\s+([A-Za-z_$][\w$]*)\s*\(([^)]*)\)\s*:\s*void\b/gm;

/** Names of the exported kernels, in the order of the file. */
export function exportedKernels(text: string): string[] {
  return [...text.matchAll(EXPORTED)].filter((m) => /\bTensor\s*</.test(m[2] ?? "")).map((m) => m[1] ?? "");
}

/** A function's text with the comment above it; undefined where the file only re-exports it. */
export function sourceOf(text: string, name: string): string | undefined {
  const lines = text.split("\n");
  const start = lines.findIndex((line) =>
    new RegExp(`^(export\\s+)?function\\s+${name.replaceAll("$", "\\$")}\\b`).test(line),
  );
  if (start < 0) return undefined;
  const end = lines.findIndex((line, i) => i >= start && line.startsWith("}"));
  let first = start;
  if (lines[start - 1]?.trimEnd().endsWith("*/")) {
    first = start - 1;
    while (first > 0 && !lines[first]?.trimStart().startsWith("/**")) first--;
  }
  return lines.slice(first, (end < 0 ? lines.length - 1 : end) + 1).join("\n");
}
