/**
 * The fingerprint of the compiler's front half covers all that decides what a kernel compiles to, whoever adds a file.
 */
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { ts } from "ts-morph";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { FRONT, frontFiles } from "../../compiler/artefacts/fingerprint.ts";
import { ROOMS } from "../../scripts/rooms/table.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const door = join(root, "compiler", "frontend", "index.ts");
let copy = "";

beforeAll(() => {
  copy = mkdtempSync(join(tmpdir(), "tilestate-front-"));
  for (const room of ["compiler", "dsl"]) cpSync(join(root, room), join(copy, room), { recursive: true });
  for (const [name, dependencies] of [
    ["ts-morph", { "@ts-morph/common": "1" }],
    ["@ts-morph/common", {}],
  ] as const) {
    mkdirSync(join(copy, "node_modules", name), { recursive: true });
    writeFileSync(join(copy, "node_modules", name, "package.json"), JSON.stringify({ version: "1.0.0", dependencies }));
  }
});
afterAll(() => rmSync(copy, { recursive: true, force: true }));

let turn = 0;
/** The fingerprint that the copy's compiler has now. */
async function fingerprintNow(): Promise<string> {
  // Under a new name each time, since modules are loaded once.
  const file = join(copy, "compiler", "artefacts", `fingerprint-${turn++}.ts`);
  writeFileSync(file, readFileSync(join(root, "compiler", "artefacts", "fingerprint.ts")));
  const { fingerprint } = (await import(/* @vite-ignore */ pathToFileURL(file).href)) as { fingerprint(): string };
  return fingerprint();
}

/** What importing a file runs, found by TypeScript's own reader: the test's independent way. */
function imported(file: string, seen: Set<string> = new Set<string>()): Set<string> {
  if (seen.has(file)) return seen;
  seen.add(file);
  const source = ts.createSourceFile(file, readFileSync(file, "utf8"), ts.ScriptTarget.ESNext, true);
  const visit = (node: ts.Node): void => {
    const erased =
      (ts.isImportDeclaration(node) && node.importClause?.isTypeOnly === true) ||
      (ts.isExportDeclaration(node) && node.isTypeOnly) ||
      ts.isTypeNode(node);
    if (erased) return;
    const specifier =
      ts.isImportDeclaration(node) || ts.isExportDeclaration(node)
        ? node.moduleSpecifier
        : ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword
          ? node.arguments[0]
          : undefined;
    if (specifier !== undefined && ts.isStringLiteral(specifier) && specifier.text.startsWith("."))
      imported(resolve(dirname(file), specifier.text), seen);
    ts.forEachChild(node, visit);
  };
  visit(source);
  return seen;
}

describe("the fingerprint", () => {
  test("covers every file that the front half runs, and the rooms that the front end may import", () => {
    const names = frontFiles(join(root, "compiler")).map((name) => `compiler/${name}`);
    const run = [...imported(door)].map((f) => f.slice(root.length));
    expect(run.length).toBeGreaterThan(30);
    expect(run.filter((name) => !names.includes(name))).toEqual([]);
    // Files that lists kept by hand, and readers of imports, had forgotten.
    expect(names).toContain("compiler/passes/analysis/induction.ts");
    expect(names).toContain("compiler/ir/tile/traverse.ts");
    // The back half is no part of it: what it does with a program does not make the program another one.
    expect(names).not.toContain("compiler/wgsl/print.ts");
    const stands = new Set<string>();
    const visit = (room: string): void => {
      if (stands.has(room)) return;
      stands.add(room);
      for (const below of ROOMS.find((r) => r.room === room)?.imports ?? []) visit(below);
    };
    visit("compiler/frontend");
    const folders = new Set([...stands].map((room) => (room.endsWith(".ts") ? dirname(room) : room)));
    // The language is read, not run: what a kernel takes of it is hashed with the kernel's own sources.
    folders.delete("dsl");
    expect([...folders].sort()).toEqual(FRONT.map((room) => `compiler/${room}`).sort());
  });

  test("changes with each of them, and with nothing else", async () => {
    const first = await fingerprintNow();
    expect(first).toMatch(/^[0-9a-f]{24}$/);
    expect(await fingerprintNow()).toBe(first);
    const covered = new Set(frontFiles(join(copy, "compiler")).map((name) => join(copy, "compiler", name)));
    const seen = new Set([first]);
    for (const file of covered) {
      const text = readFileSync(file, "utf8");
      writeFileSync(file, `${text}\n// changed\n`);
      seen.add(await fingerprintNow());
      writeFileSync(file, text);
    }
    expect(seen.size).toBe(covered.size + 1);
    expect(covered.size).toBeGreaterThan(20);
    const outside = readdirSync(join(copy, "compiler"), { recursive: true, encoding: "utf8" })
      .map((name) => join(copy, "compiler", name))
      .filter((file) => file.endsWith(".ts") && !covered.has(file));
    expect(outside.length).toBeGreaterThan(20);
    for (const file of outside) writeFileSync(file, `${readFileSync(file, "utf8")}\n// changed\n`);
    expect(await fingerprintNow()).toBe(first);
  });

  test("changes with a file that is added, and with the versions of what reads TypeScript", async () => {
    const first = await fingerprintNow();
    const file = join(copy, "compiler", "frontend", "lower", "added.ts");
    writeFileSync(file, "export const added = 1;\n");
    const added = await fingerprintNow();
    writeFileSync(file, "export const added = 2;\n");
    const changed = await fingerprintNow();
    rmSync(file);
    expect(await fingerprintNow()).toBe(first);
    writeFileSync(join(dirname(file), "NOTES.md"), "No source.\n");
    expect(await fingerprintNow()).toBe(first);
    const seen = new Set([first, added, changed]);
    for (const name of ["ts-morph", "@ts-morph/common"]) {
      const manifest = join(copy, "node_modules", name, "package.json");
      writeFileSync(manifest, readFileSync(manifest, "utf8").replace("1.0.0", "1.0.1"));
      seen.add(await fingerprintNow());
    }
    expect(seen.size).toBe(5);
  });
});
