/**
 * The package's JavaScript: `dist/`, made of the TypeScript of this checkout.
 *
 * tsc writes a .js, a .d.ts and a source map for each file, in the same folders, so that files that lie beside a module are found from it as before. Added are
 * what no compiler carries over: the files of the embedded model, and the sources of kernels, which our own compiler reads (in `dist/source`, where no import
 * reaches them).
 */
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fingerprint } from "../../compiler/fingerprint.ts";

/** What is copied as it is. */
const DATA: readonly string[] = [
  "models/hearth/README.md",
  "models/hearth/config.json",
  "models/hearth/model.safetensors",
  "models/hearth/tokenizer.json",
  "models/hearth/tokenizer_config.json",
  "models/hearth/recall.jsonl",
  "models/hearth/recall-expected.json",
  "models/hearth/recall-plain.json",
  "cli/tilestate.mjs",
];
/** Folders whose kernels the compiler may be asked for. */
const KERNEL_SOURCES: readonly string[] = ["dsl", "models/kernels", "models/state/policies", "bench/kernels"];
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
  settleFingerprint(join(dist, "compiler/fingerprint.js"));
  for (const file of DATA) copy(join(root, file), join(dist, file));
  for (const folder of KERNEL_SOURCES) {
    for (const file of filesOf(join(root, folder), ".ts")) {
      if (!file.endsWith("compiled.ts")) copy(file, join(dist, "source", file.slice(root.length)));
    }
  }
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
