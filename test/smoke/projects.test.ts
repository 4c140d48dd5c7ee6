/**
 * The suite itself: every test file runs in exactly one project, `pure` opens no GPU, and which adapters are tested is
 * said and not guessed.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { PROJECTS } from "../projects.ts";
import { chooseAdapters, namedAdapters } from "../support/adapters.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));

/** What vitest would run: [project, file]. */
function listed(): readonly { readonly file: string; readonly projectName: string }[] {
  const flags = process.versions.deno === undefined ? [] : ["run", "-A"];
  const args = [...flags, "node_modules/vitest/vitest.mjs", "list", "--filesOnly", "--json"];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: root, encoding: "utf8" });
  if (status !== 0) throw new Error(`vitest list ended with ${status}: ${stderr}`);
  return JSON.parse(stdout.slice(stdout.indexOf("[")));
}

function testFiles(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    // The package's tests are a run of their own (test/package/vitest.config.ts).
    if (entry.isDirectory()) return ["test/fixtures", "test/package"].includes(path) ? [] : testFiles(path);
    return path.endsWith(".test.ts") ? [path] : [];
  });
}

/** A file and all files of test/ that it imports, directly or not. */
function importedFrom(file: string, seen: Set<string> = new Set()): Set<string> {
  if (seen.has(file)) return seen;
  seen.add(file);
  for (const [, to = ""] of readFileSync(file, "utf8").matchAll(
    /^(?:import(?! type)|export|\} from)\b.*"(\.[^"]*\.ts)";$/gm,
  )) {
    const next = resolve(dirname(file), to);
    // Programs that stand in a test as text name files that are not there.
    if (next.startsWith(join(root, "test/")) && existsSync(next)) importedFrom(next, seen);
  }
  return seen;
}

describe("projects", () => {
  const runs = listed().map(({ file, projectName }) => ({ file: relative(root, file), project: projectName }));

  it("hold every test file once", () => {
    expect(runs.map(({ file }) => file).sort()).toEqual(testFiles("test").sort());
    expect([...new Set(runs.map(({ project }) => project))].sort()).toEqual(Object.keys(PROJECTS).sort());
  });

  it("without a GPU know nothing of one, and those with one use it", () => {
    const gpu = join(root, "test/support/gpu.ts");
    const reaching = runs.filter(({ file }) => importedFrom(join(root, file)).has(gpu));
    expect(reaching.filter(({ project }) => project === "pure")).toEqual([]);
    expect(runs.filter((run) => run.project !== "pure" && !reaching.includes(run))).toEqual([]);
  });
});

describe("adapters under test", () => {
  const both = { llvmpipe: "", swiftshader: "" };
  const bare = { llvmpipe: 'no adapter matches "llvmpipe"', swiftshader: "" };

  it("are those that are named, by whatever name", () => {
    expect(namedAdapters(undefined)).toEqual([]);
    expect(namedAdapters("")).toEqual([]);
    expect(namedAdapters(" Lavapipe, swiftshader,llvmpipe")).toEqual(["llvmpipe", "swiftshader"]);
    expect(chooseAdapters(["swiftshader"], both, true)).toEqual(["swiftshader"]);
    expect(chooseAdapters(["swiftshader", "llvmpipe", "native"], { ...both, native: "" }, true)).toHaveLength(3);
  });

  it("fail the run when a named one is missing", () => {
    expect(() => chooseAdapters(["llvmpipe", "swiftshader"], bare, true)).toThrow(
      'TILESTATE_TEST_ADAPTERS names llvmpipe, which is not here: no adapter matches "llvmpipe"',
    );
    expect(() => chooseAdapters(["voodoo"], {}, false)).toThrow("TILESTATE_TEST_ADAPTERS names voodoo, which");
    expect(() => chooseAdapters(["native"], { native: "" }, true)).toThrow("names native alone");
  });

  it("are what is found where nothing is named, and SwiftShader wherever it exists", () => {
    expect(chooseAdapters([], both, true)).toEqual(["llvmpipe", "swiftshader"]);
    expect(chooseAdapters([], { ...bare, native: "" }, true)).toEqual(["swiftshader", "native"]);
    expect(chooseAdapters([], { llvmpipe: "", swiftshader: "for Linux only" }, false)).toEqual(["llvmpipe"]);
    expect(() => chooseAdapters([], { llvmpipe: "", swiftshader: "it is damaged" }, true)).toThrow(
      "the embedded adapter swiftshader does not open: it is damaged",
    );
    expect(() => chooseAdapters([], { llvmpipe: "no", swiftshader: "no", native: "" }, false)).toThrow(
      "there is no adapter to test on: expected at least one of llvmpipe, swiftshader",
    );
  });
});
