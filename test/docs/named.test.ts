/** Every page of docs/ that code, help or another page names is there. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const ROOMS: readonly string[] = [
  "dsl",
  "compiler",
  "runtime",
  "models",
  "cli",
  "bench",
  "scripts",
  "examples",
  "test",
];

function filesOf(folder: string, end: RegExp): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    .filter((e) => e.isFile() && end.test(e.name) && !/[\\/](node_modules|theirs|dist)\b/.test(e.parentPath))
    .map((e) => join(e.parentPath, e.name));
}

test("pages that code and help name", () => {
  const named = ROOMS.flatMap((room) => filesOf(room, /\.(ts|mjs|js)$/)).flatMap((file) =>
    [...readFileSync(file, "utf8").matchAll(/(?<![\w/])docs\/[\w-]+\.md/g)].map(([page]) => page),
  );
  expect(new Set(named).size).toBeGreaterThan(5);
  expect([...new Set(named)].filter((page) => !existsSync(join(ROOT, page)))).toEqual([]);
});

test("pages that pages link to", () => {
  const pages = [join(ROOT, "README.md"), ...filesOf("docs", /\.md$/)];
  const links = pages.flatMap((page) =>
    [...readFileSync(page, "utf8").matchAll(/\]\((?!https?:|#)([^)#\s]+\.md)(?:#[^)]*)?\)/g)].map(([, to = ""]) =>
      join(dirname(page), to),
    ),
  );
  expect(links.length).toBeGreaterThan(10);
  expect(links.filter((file) => !existsSync(file))).toEqual([]);
});
