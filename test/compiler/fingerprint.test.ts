/** The fingerprint of the compiler's front half covers all that decides what a kernel compiles to, whoever adds a file. */
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { ts } from "ts-morph";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { reachable } from "../../compiler/artefacts/fingerprint.ts";

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
  test("covers every file that the front half runs", () => {
    const { files, packages } = reachable(door);
    expect([...files.keys()].sort()).toEqual([...imported(door)].sort());
    expect([...packages]).toEqual(["ts-morph"]);
    const names = [...files.keys()].map((f) => f.slice(root.length));
    // A file that a list kept by hand had forgotten.
    expect(names).toContain("compiler/passes/analysis/induction.ts");
    // The back half is no part of it: what it does with a program does not make the program another one.
    expect(names).not.toContain("compiler/wgsl/print.ts");
  });

  test("changes with each of them, and with nothing else", async () => {
    const first = await fingerprintNow();
    expect(first).toMatch(/^[0-9a-f]{24}$/);
    expect(await fingerprintNow()).toBe(first);
    const covered = new Set([...reachable(join(copy, "compiler", "frontend", "index.ts")).files.keys()]);
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
    const file = join(copy, "compiler", "frontend", "lower", "index.ts");
    const text = readFileSync(file, "utf8");
    writeFileSync(join(copy, "compiler", "frontend", "lower", "added.ts"), "export const added = 1;\n");
    writeFileSync(file, `import { added } from "./added.ts";\n${text}\nexport const more: number = added;\n`);
    const added = await fingerprintNow();
    writeFileSync(join(copy, "compiler", "frontend", "lower", "added.ts"), "export const added = 2;\n");
    const changed = await fingerprintNow();
    writeFileSync(file, text);
    const seen = new Set([first, added, changed]);
    for (const name of ["ts-morph", "@ts-morph/common"]) {
      const manifest = join(copy, "node_modules", name, "package.json");
      writeFileSync(manifest, readFileSync(manifest, "utf8").replace("1.0.0", "1.0.1"));
      seen.add(await fingerprintNow());
    }
    expect(seen.size).toBe(5);
  });
});
