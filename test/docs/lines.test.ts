/**
 * Lines of code and prose are at most 120 characters long.
 *
 * Exempt is what cannot be broken or was recorded: tables, URLs, blocks of code and output in pages, the results of
 * benchmarks, generated modules, and in code the lines that a long literal (a message, a pattern, recorded text) makes
 * long.
 */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const root = fileURLToPath(new URL("../../", import.meta.url));
const WIDTH = 120;

function tracked(...patterns: readonly string[]): string[] {
  const out = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard", "--", ...patterns], {
    cwd: root,
    encoding: "utf8",
  });
  return out.split("\n").filter((file) => file !== "" && !/compiled\.ts$|^test\/fixtures\//.test(file));
}

/** The lines of a page that are prose: neither in a fence nor a table's. */
function proseOf(text: string): (readonly [number: number, line: string])[] {
  let fenced = false;
  return text.split("\n").flatMap((line, i) => {
    if (/^\s*(```|~~~)/.test(line)) {
      fenced = !fenced;
      return [];
    }
    return fenced || /^\s*\|/.test(line) ? [] : [[i + 1, line] as const];
  });
}

/** What is left of a line of code without its literals; comments stay. */
function withoutLiterals(line: string): string {
  return line.replace(/"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`(?:[^`\\]|\\.)*`?|\/(?![/*])(?:[^/\\]|\\.)+\/[a-z]*/g, "");
}

/** The lines of code that are not the inside of a text over several lines. */
function codeOf(text: string): (readonly [number: number, line: string])[] {
  let within = false;
  return text.split("\n").flatMap((line, i) => {
    const before = within;
    if (!isComment(line) && (line.replace(/\\./g, "").match(/`/g)?.length ?? 0) % 2 === 1) within = !within;
    const told = isComment(line) || isLong(withoutLiterals(line)) || !/["'`/]/.test(line);
    return !before && told ? [[i + 1, line] as const] : [];
  });
}

const isComment = (line: string): boolean => /^\s*(\/\/|\/?\*)/.test(line);
const isLong = (line: string): boolean => [...line].length > WIDTH && !/https?:\/\//.test(line);

function longIn(file: string): string[] {
  const text = readFileSync(join(root, file), "utf8");
  const lines = file.endsWith(".md") ? proseOf(text) : codeOf(text);
  return lines.filter(([, line]) => isLong(line)).map(([number]) => `${file}:${number}`);
}

test("no line of prose or code is longer than 120 characters", () => {
  const files = tracked("*.ts", "*.mjs", "*.mts", "*.md", ".ci/run");
  expect(files.length).toBeGreaterThan(400);
  expect(files.flatMap(longIn)).toEqual([]);
});

test.each([
  ["a comment", `// ${"word ".repeat(30)}`],
  ["a line of a comment", ` * ${"word ".repeat(30)}`],
  ["code", `const sum = ${"a + ".repeat(40)} a;`],
])("%s that is too long is seen", (_, line) => {
  expect(isLong(isComment(line) ? line : withoutLiterals(line))).toBe(true);
});

test("a long literal alone is not", () => {
  expect(isLong(withoutLiterals(`  throw new Error("${"word ".repeat(30)}");`))).toBe(false);
});
