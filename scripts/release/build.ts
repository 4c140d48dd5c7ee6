/**
 * The package's JavaScript: `dist/`, made of the TypeScript of this checkout.
 *
 * tsc writes a .js, a .d.ts and a source map for each file, in the same folders, so that files that lie beside a module
 * are found from it as before. Added are what no compiler carries over: the files of the embedded model, and the
 * sources of kernels, which our own compiler reads (in `dist/source`, where no import reaches them).
 */
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fingerprint } from "../../compiler/artefacts/fingerprint.ts";

/** What is copied as it is. */
const DATA: readonly string[] = [
  "models/embedded/hearth/README.md",
  "models/embedded/hearth/config.json",
  "models/embedded/hearth/model.safetensors",
  "models/embedded/hearth/tokenizer.json",
  "models/embedded/hearth/tokenizer_config.json",
  "models/embedded/hearth/recall.jsonl",
  "models/embedded/hearth/recall-expected.json",
  "models/embedded/hearth/recall-plain.json",
  "cli/tilestate.mjs",
];
/** Folders whose kernels the compiler may be asked for. */
const KERNEL_SOURCES: readonly string[] = ["dsl", "models/kernels", "models/cache/policies", "bench/kernels"];
/** Not for the package: what measures other engines, and what makes kernels ship. */
const LEFT_OUT: readonly string[] = ["models/builtins", "compiler/ship"];

/** Writes `dist/` in `root`. Throws when the sources do not compile. */
export function buildDist(root: string): void {
  const dist = join(root, "dist");
  rmSync(dist, { recursive: true, force: true });
  execFileSync(
    process.execPath,
    [join(root, "node_modules/typescript/bin/tsc"), "-p", join(root, "tsconfig.build.json")],
    {
      cwd: root,
      stdio: ["ignore", "inherit", "inherit"],
      // Under Bun process.execPath is Bun, which runs tsc just as well.
      env: { ...process.env, BUN_BE_BUN: "1" },
    },
  );
  for (const name of LEFT_OUT)
    for (const end of [".js", ".js.map", ".d.ts"]) rmSync(join(dist, name + end), { force: true });
  for (const file of filesOf(dist, ".d.ts"))
    rewrite(file, (text) => text.replace(/(from |import\()("\.[^"]*)\.ts"/g, '$1$2.js"'));
  declareGlobals(root, dist);
  settleFingerprint(join(dist, "compiler/artefacts/fingerprint.js"));
  for (const file of DATA) copy(join(root, file), join(dist, file));
  for (const folder of KERNEL_SOURCES) {
    for (const file of filesOf(join(root, folder), ".ts")) {
      if (!file.endsWith("compiled.ts")) copy(file, join(dist, "source", file.slice(root.length)));
    }
  }
}

/**
 * Types of the platform that declarations may name although a project's `lib` lacks them: those of WebGPU, and these.
 */
const PLATFORM_TYPES: readonly string[] = ["AbortSignal", "URL"];

/**
 * Lets the declarations be read without the DOM's library. Interfaces of one name merge, so an empty one is harmless
 * where the real one is known, and enough where it is not. Names that are no interfaces could not be declared twice,
 * and are refused here.
 */
function declareGlobals(root: string, dist: string): void {
  const webgpu = readFileSync(join(root, "node_modules/@webgpu/types/dist/index.d.ts"), "utf8");
  const used = new Set<string>();
  for (const file of filesOf(dist, ".d.ts")) {
    rewrite(file, (text) => {
      const code = text.replace(/\/\*[\s\S]*?\*\//g, "");
      const names = [...code.matchAll(/\b(GPU\w*)\b/g)].flatMap((m) => m[1] ?? []);
      names.push(...PLATFORM_TYPES.filter((name) => new RegExp(`\\b${name}\\b`).test(code)));
      if (names.length === 0) return text;
      for (const name of names) used.add(name);
      const path = `${"../".repeat(file.slice(dist.length + 1).split("/").length - 1) || "./"}platform.d.ts`;
      return `/// <reference path="${path}" />\n${text}`;
    });
  }
  for (const name of used) {
    if (name.startsWith("GPU") && !new RegExp(`^(declare )?interface ${name}\\b`, "m").test(webgpu))
      throw new Error(`${name} is named in declarations, and is no interface: spell out what it stands for`);
  }
  const declared = [...used].sort().map((name) => `  interface ${name} {}`);
  // What `gpu.kernels(import.meta, …)` wants of it.
  declared.push("  interface ImportMeta {\n    url: string;\n  }");
  writeFileSync(join(dist, "platform.d.ts"), `declare global {\n${declared.join("\n")}\n}\nexport {};\n`);
}

/** The front half's own sources are not in the package, so what they are is a constant there. */
function settleFingerprint(file: string): void {
  const constant = fingerprint();
  writeFileSync(
    file,
    `/** What the compiler's front half was when this was built. */\nexport const PACKED = "packed";\nexport function fingerprint() {\n  return "${constant}";\n}\n`,
  );
  rmSync(`${file}.map`, { force: true });
}

function filesOf(folder: string, end: string): string[] {
  if (!existsSync(folder)) throw new Error(`${folder} is not there`);
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((e) => e.isFile() && e.name.endsWith(end))
    .map((e) => join(e.parentPath, e.name));
}

function rewrite(file: string, change: (text: string) => string): void {
  const text = readFileSync(file, "utf8");
  const changed = change(text);
  if (changed !== text) writeFileSync(file, changed);
}

function copy(from: string, to: string): void {
  mkdirSync(dirname(to), { recursive: true });
  cpSync(from, to);
}
