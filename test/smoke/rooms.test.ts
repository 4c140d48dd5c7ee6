/**
 * The rules of the rooms are heeded where they are broken: in trees made up for it, since the repository itself breaks
 * none.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { rulesOf, violationsIn } from "../../scripts/rooms/check.ts";
import type { Room } from "../../scripts/rooms/table.ts";

const TABLE: readonly Room[] = [
  { room: "compiler/ir", imports: [] },
  { room: "compiler/oracle", imports: [], types: ["compiler/ir"] },
  { room: "compiler/lower/syntax.ts", imports: [] },
  { room: "compiler/lower", imports: ["compiler/ir"] },
  { room: "models/io", imports: [] },
  { room: "models", imports: ["models/io"] },
];

let root = "";
afterEach(() => rmSync(root, { recursive: true, force: true }));

/** What is found in a tree of these files. */
function found(files: Readonly<Record<string, string>>, table: readonly Room[] = TABLE): Promise<string[]> {
  root = mkdtempSync(join(tmpdir(), "tilestate-rooms-"));
  for (const [name, text] of Object.entries({ "package.json": '{ "type": "module" }', ...files })) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), text);
  }
  return violationsIn(root, table);
}

test("what the table allows is let through", async () => {
  const files = {
    "compiler/ir/program.ts": "export interface Program {}\nexport const one = 1;\n",
    "compiler/oracle/run.ts": 'import type { Program } from "../ir/program.ts";\nexport type Run = Program;\n',
    "compiler/lower/index.ts":
      'import { one, type Program } from "../ir/program.ts";\nexport const lowered = (p: Program) => [p, one];\n',
    "models/io/node.ts": 'export const fs = () => import("node:fs");\n',
  };
  expect(await found(files)).toEqual([]);
});

test("an import upwards is named, be it of a type, of a type query, or when it runs", async () => {
  const above = "export interface Lowered {}\nexport const lowered = 1;\n";
  for (const text of [
    'import type { Lowered } from "../lower/index.ts";\nexport type Up = Lowered;\n',
    'export type { Lowered } from "../lower/index.ts";\n',
    'export type Up = typeof import("../lower/index.ts");\n',
    'export const up = () => import("../lower/index.ts");\n',
    'export { lowered } from "../lower/index.ts";\n',
  ]) {
    expect(await found({ "compiler/lower/index.ts": above, "compiler/ir/program.ts": text }), text).toEqual([
      "compiler/ir imports only what the table says: compiler/ir/program.ts -> compiler/lower/index.ts",
    ]);
    rmSync(root, { recursive: true });
  }
});

test("a room that is one file is no part of the folder's", async () => {
  const syntax = "export const tree = 1;\n";
  const index = 'export { tree } from "./syntax.ts";\n';
  expect(await found({ "compiler/lower/syntax.ts": syntax, "compiler/lower/index.ts": index })).toEqual([
    "compiler/lower imports only what the table says: compiler/lower/index.ts -> compiler/lower/syntax.ts",
  ]);
});

test("the oracle takes types and nothing that computes", async () => {
  const files = {
    "compiler/ir/program.ts": "export interface Program {}\nexport const one = 1;\n",
    "compiler/oracle/run.ts":
      'import { one, type Program } from "../ir/program.ts";\nexport const run = (p: Program) => [p, one];\n',
  };
  expect(await found(files)).toEqual([
    "compiler/oracle takes only types from there: compiler/oracle/run.ts -> compiler/ir/program.ts",
  ]);
});

test("a circle is found inside of a room, and of types alone", async () => {
  const files = {
    "compiler/ir/a.ts": 'import type { B } from "./b.ts";\nexport interface A { b: B }\n',
    "compiler/ir/b.ts": 'import type { A } from "./a.ts";\nexport interface B { a: A }\n',
  };
  expect((await found(files)).filter((v) => v.startsWith("no circle"))).not.toEqual([]);
});

test("models/ takes nothing from Node outside of models/io, and no file lies outside of the table", async () => {
  const files = {
    "models/open.ts": 'export { readFileSync } from "node:fs";\n',
    "models/new/a.ts": "export const a = 1;\n",
  };
  expect(await found(files)).toEqual([
    "every file is in a room of the table: models/new/a.ts",
    "only models/io knows Node: models/open.ts -> fs",
  ]);
});

test("ts-morph is taken by the reader of the front end alone", async () => {
  const text = 'export { ts } from "ts-morph";\n';
  const files = {
    "node_modules/ts-morph/package.json": '{ "name": "ts-morph", "main": "index.js" }',
    "node_modules/ts-morph/index.js": "exports.ts = 1;\n",
    "compiler/ir/program.ts": text,
    "compiler/frontend/read/typescript.ts": text,
  };
  const reader: Room = { room: "compiler/frontend/read", imports: [] };
  expect(await found(files, [reader, ...TABLE])).toEqual([
    "ts-morph stays behind compiler/frontend/read: compiler/ir/program.ts -> node_modules/ts-morph/index.js",
  ]);
});

test("a table with an arrow upwards is refused", () => {
  const upwards: readonly Room[] = [
    { room: "compiler/ir", imports: ["compiler/lower"] },
    { room: "compiler/lower", imports: [] },
  ];
  expect(() => rulesOf(upwards)).toThrow(
    "rooms: compiler/ir imports compiler/lower, which does not stand above it in the table",
  );
});
