/**
 * What older Nodes run of a checkout (cli/transpile.mjs), in a small one that is made here: a launcher, a main.ts and
 * what that leads to.
 */
import { execFileSync, spawn } from "node:child_process";
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { beforeEach, describe, expect, test } from "vitest";
import { launch } from "./launch.ts";

const HOME = fileURLToPath(new URL("../../", import.meta.url));
/** How this runtime starts a program. */
const HOW = process.versions.bun ? ["--bun"] : process.versions.deno ? ["run", "-A"] : [];
/** Whether the launcher has to transpile here at all. */
const OLD = process.versions.bun === undefined && process.versions.deno === undefined && !process.features.typescript;

/** The module that keeps its import of the compiler from other bundlers. */
const IMPORTER = "compiler/artefacts/import-compiler.ts";

const SOURCES: Readonly<Record<string, string>> = {
  "package.json": '{ "type": "module" }',
  "cli/main.ts": `import { importCompiler } from "../${IMPORTER}";
import { Same as Other } from "../runtime/same.ts";
import { word } from "../runtime/word.ts";

class Same {
  static one(): Same {
    return new Same();
  }
}

export async function main(args: readonly string[]): Promise<number> {
  if (args.includes("--stack")) throw new Error("as asked");
  const { here } = await import("./late.ts");
  const compileFile: (() => unknown) | undefined = await importCompiler();
  const classes = [Same.one(), Other.one()].map((x) => x.constructor.name);
  console.log(JSON.stringify({ word, main: import.meta.url, late: here, compiler: compileFile?.(), classes }));
  return 0;
}
`,
  "cli/late.ts": "export const here: string = import.meta.url;\n",
  "runtime/same.ts": `export class Same {
  static one(): Same {
    return new Same();
  }
}
`,
  "runtime/word.ts": 'export const word: string = "one";\n',
  "compiler/frontend/index.ts": 'export const compileFile = (): string => "compiled";\n',
};
/** Says the URL that the launcher would import, or null, and runs what lies there. */
const PROGRAM = `import { transpiled } from "./cli/transpile.mjs";
const door = await transpiled(process.argv[2]);
console.log(JSON.stringify(door ?? null));
if (door !== undefined) await (await import(door)).main([]);
`;

/** Says the URL alone. */
const MAKE = `import { transpiled } from "./cli/transpile.mjs";
console.log(await transpiled(process.argv[2]));
`;

let root: string;

beforeEach(() => {
  root = join(realpathSync(mkdtempSync(join(tmpdir(), "tilestate-test-"))), "a checkout");
  for (const [file, text] of Object.entries(SOURCES)) write(file, text);
  write("program.mjs", PROGRAM);
  write("make.mjs", MAKE);
  for (const file of ["cli/tilestate.mjs", "cli/transpile.mjs", IMPORTER, ...leadsTo(IMPORTER)]) {
    mkdirSync(dirname(join(root, file)), { recursive: true });
    cpSync(join(HOME, file), join(root, file));
  }
  symlinkSync(join(HOME, "node_modules"), join(root, "node_modules"), "junction");
});

/** The modules that a module of this checkout imports by name. */
function leadsTo(file: string): string[] {
  const names = [...readFileSync(join(HOME, file), "utf8").matchAll(/^import \{.*\} from "(\..+)";$/gm)];
  return names.map(([, name = ""]) => join(dirname(file), name));
}

function write(file: string, text: string): void {
  mkdirSync(dirname(join(root, file)), { recursive: true });
  writeFileSync(join(root, file), text);
}

interface Said {
  /** The folder that was run; undefined where there was none. */
  readonly folder: string | undefined;
  readonly said: Readonly<Record<"word" | "main" | "late" | "compiler", string>> & { readonly classes: string[] };
}

/** Starts the program and gives what it said. */
async function run(): Promise<Said> {
  const child = spawn(process.execPath, [...HOW, join(root, "program.mjs"), root], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let [out, err] = ["", ""];
  child.stdout.on("data", (part) => {
    out += part;
  });
  child.stderr.on("data", (part) => {
    err += part;
  });
  const code = await new Promise<number | null>((done) => child.on("close", done));
  if (code !== 0) throw new Error(`the program ended with ${code}: ${err}`);
  const [door = "", said = "null"] = out.split("\n");
  const url = JSON.parse(door) as string | null;
  return { folder: url === null ? undefined : basename(dirname(fileURLToPath(url))), said: JSON.parse(said || "null") };
}

const url = (file: string): string => pathToFileURL(join(root, file)).href;
const cache = (...names: string[]): string => join(root, ".cache/node", ...names);
const folders = (): string[] => readdirSync(cache()).filter((name) => name !== "rooms.json");
/** The files that count, by their paths from the checkout. */
const counted = (folder = cache()): string[] =>
  Object.keys((JSON.parse(readFileSync(join(folder, "rooms.json"), "utf8")) as { files: object }).files);

test("is made once, and its modules lie where their sources do", async () => {
  const { folder, said } = await run();
  const places = { main: url("cli/main.ts"), late: url("cli/late.ts") };
  expect(said).toEqual({ word: "one", ...places, compiler: "compiled", classes: ["Same", "Same"] });
  expect(folders()).toEqual([folder]);
  expect(counted()).toEqual(expect.arrayContaining(["cli/main.ts", "cli/late.ts", "cli/transpile.mjs"]));
  const began = readFileSync(cache("rooms.json"));
  expect(await run()).toEqual({ folder, said });
  expect(folders()).toEqual([folder]);
  expect(readFileSync(cache("rooms.json"))).toEqual(began);
});

test("goes along when the checkout is moved", async () => {
  const { folder } = await run();
  const moved = join(dirname(root), "moved");
  renameSync(root, moved);
  root = moved;
  const again = await run();
  expect([again.folder, again.said.main]).toEqual([folder, url("cli/main.ts")]);
});

describe("is made anew", () => {
  test("for a source that changed", async () => {
    const { folder } = await run();
    write("runtime/word.ts", 'export const word: string = "two";\n');
    const again = await run();
    expect(again.said.word).toBe("two");
    expect(again.folder).not.toBe(folder);
    // Processes may still run from the other.
    expect(folders().sort()).toEqual([folder, again.folder].sort());
  });

  test("for a source that is gone", async () => {
    const { folder } = await run();
    rmSync(join(root, "runtime/word.ts"));
    expect((await run()).folder).toBeUndefined();
    expect(folders()).toEqual([folder]);
    const main = (SOURCES["cli/main.ts"] ?? "")
      .replace(/^import \{ word.*\n/m, "")
      .replace("{ word,", '{ word: "none",');
    write("cli/main.ts", main);
    expect((await run()).said.word).toBe("none");
    expect(counted()).not.toContain("runtime/word.ts");
  });

  test("for another way of making it", async () => {
    const { folder } = await run();
    appendFileSync(join(root, "cli/transpile.mjs"), "\n");
    expect((await run()).folder).not.toBe(folder);
  });

  test("and what has not counted for long is removed", async () => {
    const { folder = "" } = await run();
    utimesSync(cache(folder), 0, 0);
    appendFileSync(join(root, "cli/late.ts"), "\n");
    const again = await run();
    expect(folders()).toEqual([again.folder]);
  });

  const main = (folder: string): string => cache(folder, "main.js");
  test.each<[string, (folder: string) => void]>([
    ["a note that is none", () => writeFileSync(cache("rooms.json"), "{")],
    ["a note of something else", () => writeFileSync(cache("rooms.json"), "null")],
    ["a file cut short", (folder) => truncateSync(main(folder), 10)],
    ["a file that is gone", (folder) => rmSync(main(folder))],
    ["a folder that is gone", (folder) => rmSync(cache(folder), { recursive: true })],
  ])("for %s", async (_, spoil) => {
    const { folder = "", said } = await run();
    spoil(folder);
    const again = await run();
    expect(again.said).toEqual(said);
    expect(again.folder).not.toBe(folder);
    expect((await run()).folder).toBe(again.folder);
  });
});

test("processes that make it at once all run, and one of theirs counts", async () => {
  const all = await Promise.all([run(), run(), run()]);
  const made = all.map(({ folder }) => folder);
  expect(all.map(({ said }) => said.word)).toEqual(["one", "one", "one"]);
  const { folder } = await run();
  expect(made).toContain(folder);
  expect(folders().sort()).toEqual([...new Set(made)].sort());
});

describe("is not made, and the launcher runs all the same,", () => {
  test("where nothing can be written", async () => {
    write(".cache", "");
    expect((await run()).folder).toBeUndefined();
    expect(said()).toMatchObject({ word: "one", main: url("cli/main.ts") });
  });

  test("of what is no TypeScript, which the runtime then says", async () => {
    write("runtime/word.ts", "export const word = ;\n");
    expect((await run()).folder).toBeUndefined();
    expect(folders()).toEqual([]);
    expect(() => said()).toThrow(/word\.ts/);
  });
});

/** Starts the launcher of the small checkout and gives what it printed. Throws what it said where it failed. */
function said(...args: string[]): unknown {
  return JSON.parse(
    execFileSync(process.execPath, [...HOW, join(root, "cli/tilestate.mjs"), ...args], {
      encoding: "utf8",
      stdio: "pipe",
    }),
  );
}

test("the launcher makes it where the runtime needs it, and nowhere else", () => {
  expect(said()).toMatchObject({ word: "one", main: url("cli/main.ts") });
  expect(existsSync(cache("rooms.json"))).toBe(OLD);
});

test("with --stack traces name the sources and their lines", () => {
  expect(() => said("--stack")).toThrow(/as asked[\s\S]*cli\/main\.ts:12:/);
});

test("in this checkout all rooms are transpiled, and a kernel of a user's is compiled from there", async () => {
  const folder = mkdtempSync(join(tmpdir(), "tilestate-test-"));
  cpSync(join(HOME, "examples/softmax.ts"), join(folder, "mine.ts"));
  const [, ended] = launch(["kernels", "compile", join(folder, "mine.ts")], { TILESTATE_CACHE: join(folder, "cache") });
  expect(await ended).toMatchObject({ code: 0, err: "", out: expect.stringContaining("softmax") });
  // Also where this runtime does without.
  const made = execFileSync(process.execPath, [...HOW, join(root, "make.mjs"), HOME], { encoding: "utf8" });
  expect(made.trim()).toBe(pathToFileURL(join(HOME, ".cache/node", basename(dirname(made)), "main.js")).href);
  expect(counted(join(HOME, ".cache/node"))).toEqual(expect.arrayContaining(["cli/main.ts", "models/index.ts"]));
});
