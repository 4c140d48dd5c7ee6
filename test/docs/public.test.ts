/** What anybody may import says what it is: checked by `deno doc --lint`, and by a rule for parameters and errors. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { runtimeProgram } from "../smoke/support.ts";
import { publicRule } from "./public-rule.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const DOORS = ["dsl/index.ts", "compiler/index.ts", "runtime/index.ts", "models/index.ts", "index.ts"] as const;

const folder = mkdtempSync(join(tmpdir(), "tilestate-docs-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Runs `deno doc`. @throws Error where there is no Deno: without it nothing here would be checked. */
function denoDoc(
  args: readonly string[],
  cwd: string = ROOT,
): { readonly code: number | null; out: string; err: string } {
  const program = runtimeProgram("deno");
  if (program === undefined)
    throw new Error("public docs are checked by Deno, and there is none in node_modules or on the path: npm ci");
  const env = { ...process.env, DENO_DIR: join(folder, "deno"), DENO_NO_UPDATE_CHECK: "1", NO_COLOR: "1" };
  const { error, status, stdout, stderr } = spawnSync(program, ["doc", ...args], {
    cwd,
    env,
    encoding: "utf8",
    maxBuffer: 1 << 26,
  });
  if (error !== undefined) throw error;
  return { code: status, out: stdout, err: stderr };
}

/** The complaints of `deno doc --lint`, each with the place that it is about. */
function linted(files: readonly string[], cwd?: string): { readonly code: number | null; complaints: string[] } {
  const { code, err } = denoDoc(["--lint", ...files], cwd);
  const complaints = [...err.matchAll(/^error\[([\w-]+)\]: (.*)\n\s*--> (.*)$/gm)].map(
    ([, rule, what, place]) => `${place?.replace(ROOT, "")} ${rule}: ${what}`,
  );
  return { code, complaints };
}

describe("deno doc --lint", () => {
  test("has nothing to say", () => {
    expect(linted(DOORS)).toEqual({ code: 0, complaints: [] });
  });

  test("would say that docs or types are missing", () => {
    const file = join(folder, "bare.ts");
    writeFileSync(file, "interface Hidden {\n  a: number;\n}\nexport function f(x: Hidden): void {}\n");
    const { code, complaints } = linted([file], folder);
    expect(code).not.toBe(0);
    expect(complaints.map((c) => c.split(" ")[1])).toEqual(
      expect.arrayContaining(["missing-jsdoc:", "private-type-ref:"]),
    );
  });
});

/** The public names of each file, as Deno finds them behind the doors. */
function publicNames(): ReadonlyMap<string, ReadonlySet<string>> {
  const { code, out, err } = denoDoc(["--json", ...DOORS]);
  expect(code, err).toBe(0);
  const { nodes } = JSON.parse(out) as {
    readonly nodes: Readonly<Record<string, { readonly symbols: readonly DocSymbol[] }>>;
  };
  expect(Object.keys(nodes).map((url) => relative(ROOT, fileURLToPath(url)))).toEqual(
    expect.arrayContaining([...DOORS]),
  );
  const files = new Map<string, Set<string>>();
  for (const { name, declarations } of Object.values(nodes).flatMap((n) => n.symbols)) {
    for (const { kind, location } of declarations) {
      // A reference is a name that another door has; it is declared there.
      if (kind === "reference") continue;
      const file = fileURLToPath(location.filename);
      files.set(file, (files.get(file) ?? new Set()).add(name));
    }
  }
  return files;
}

interface DocSymbol {
  readonly name: string;
  readonly declarations: readonly { readonly kind: string; readonly location: { readonly filename: string } }[];
}

describe("parameters and errors", () => {
  test("of everything public are in its docs", () => {
    const files = publicNames();
    const complaints: string[] = [];
    let looked = 0;
    for (const [file, names] of files) {
      const findings = publicRule(relative(ROOT, file), readFileSync(file, "utf8"), names);
      expect([...new Set(findings.found)].sort(), file).toEqual([...names].sort());
      complaints.push(...findings.complaints);
      looked += findings.looked;
    }
    expect(files.size).toBeGreaterThan(40);
    expect(looked).toBeGreaterThan(120);
    expect(complaints).toEqual([]);
  });

  const said = (text: string): readonly string[] =>
    publicRule("a.ts", text, new Set(["f", "C", "I"])).complaints.map((c) => c.replace(/^a\.ts:\d+ /, ""));

  test.each<[string, string, readonly string[]]>([
    ["no docs", "export function f(x: number): void {}", ["f: nothing is said of the parameter x"]],
    [
      "one parameter of two",
      "/** @param x what */\nexport function f(x: number, xs: number): void {}",
      ["f: nothing is said of the parameter xs"],
    ],
    [
      "the name inside of another",
      "/** @param xs what */\nexport function f(x: number, xs: number): void {}",
      ["f: nothing is said of the parameter x"],
    ],
    [
      "a pattern",
      "/** Of `x`. */\nexport function f({ x }: { x: number }): void {}",
      ["f: parameter 1 has no name, so nothing can be said of it"],
    ],
    [
      "a throw",
      "/** Fails. */\nexport function f(): void {\n  if (a) throw new Error();\n}",
      ["f: it throws, and has no @throws"],
    ],
    [
      "words that say so",
      "/** Does it. Throws Error at times. */\nexport function f(): void {}",
      ["f: its text says that it throws, and it has no @throws"],
    ],
    [
      "a tag that is none, inside of a line",
      "/** Does it. @throws Error */\nexport function f(): void { throw 1; }",
      ["f: it throws, and has no @throws"],
    ],
    [
      "methods",
      "export class C {\n  constructor(a: number) {}\n  /** Does it. */\n  go(b: number): void { throw 1; }\n  get c(): number { throw 1; }\n}",
      [
        "C.constructor: nothing is said of the parameter a",
        "C.go: nothing is said of the parameter b",
        "C.go: it throws, and has no @throws",
        "C.c: it throws, and has no @throws",
      ],
    ],
    ["interfaces", "export interface I {\n  go(b: number): void;\n}", ["I.go: nothing is said of the parameter b"]],
    ["constants", "export const f = (x: number): number => x;", ["f: nothing is said of the parameter x"]],
  ])("the rule refuses %s", (_, text, complaints) => {
    expect(said(text)).toEqual(complaints);
  });

  test.each([
    [
      "tags",
      "/**\n * Does it.\n * @param x what\n * @throws Error\n */\nexport function f(x: number): void { throw 1; }",
    ],
    ["a tag alone", "/** @throws Error */\nexport function f(): void { throw 1; }"],
    ["backticks", "/** Doubles `x`. */\nexport function f(x: number): number { return 2 * x; }"],
    [
      "a throw of a function inside",
      "/** Makes it. */\nexport function f(): () => void { return () => { throw 1; }; }",
    ],
    ["what is private", "export class C {\n  #a(x: number): void {}\n  private b(x: number): void { throw 1; }\n}"],
    ["what is internal", "export class C {\n  /** @internal */\n  a(x: number): void { throw 1; }\n}"],
    ["what is not public", "export function g(x: number): void { throw 1; }"],
  ])("the rule accepts %s", (_, text) => {
    expect(said(text)).toEqual([]);
  });
});
