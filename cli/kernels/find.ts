/**
 * Which kernels a file exports, and their source text, found without a parser.
 *
 * A kernel is an exported function of no result with a Tensor among its parameters, or a specialised one. A look at the text is enough to name candidates;
 * whether they are kernels is then the compiler's word. Importing the file instead would run its host code.
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

const EXPORTED = /^export\s+function\s+([A-Za-z_$][\w$]*)\s*\(/gm;
/** A key or a constant that is a specialised kernel. */
const SPECIALISED = /([A-Za-z_$][\w$]*)(?:\s*:[^=;{}()]*=|\s*=|\s*:)\s*specialise\s*\(/g;

/** The start of what a call of `gpu.kernels` gets, and keys in it that are not the name of their kernel. */
const LOADED = /\.kernels\s*\(/g;
const RENAMED = /([A-Za-z_$][\w$]*)\s*:\s*[A-Za-z_$][\w$]*\s*(?=[,}])/g;

/** Names of the exported kernels, in the order of the file, of those that it specialises, and of those that it loads under another name. */
export function exportedKernels(text: string): string[] {
  const exported = [...text.matchAll(EXPORTED)].flatMap((m) => {
    const params = bracketed(text, m.index + m[0].length);
    const result = text.slice(m.index + m[0].length + params.length + 1);
    return /^\s*:\s*void\b/.test(result) && /\bTensor\s*</.test(params) && isWhole(params) ? (m[1] ?? "") : [];
  });
  const loaded = [...text.matchAll(LOADED)].map((m) => bracketed(text, m.index + m[0].length)).join("\n");
  const keys = [...text.matchAll(SPECIALISED), ...loaded.matchAll(RENAMED)].map((m) => m[1] ?? "");
  return [...new Set([...exported, ...keys])];
}

/** The text from `start` to the bracket that closes the one before it. */
function bracketed(text: string, start: number): string {
  let open = 1;
  let end = start;
  for (; end < text.length; end++) {
    if (text[end] === "(") open++;
    if (text[end] === ")" && --open === 0) break;
  }
  return text.slice(start, end);
}

/** A kernel whose compile-time parameters all have defaults, or that has none; others are kernels only where they are specialised. */
function isWhole(params: string): boolean {
  const names = /\{([^{}]*)\}\s*:/.exec(params)?.[1];
  if (names === undefined) return !/\bStatic\s*</.test(params);
  return names.split(",").every((n) => n.trim() === "" || n.includes("="));
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
