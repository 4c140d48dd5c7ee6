/**
 * What importing the runtime costs a program: the time of a new process that imports `tilestate/runtime`, less that of
 * one that does nothing, in turn.
 *
 * In the package, and in a checkout that has `dist/` (npm run release makes it), that is the built JavaScript; else the
 * sources, which the runtime's TypeScript loader has to read first.
 */
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { UserError } from "../runtime/common/errors.ts";
import { type Measure, measureOf, median } from "./stats.ts";

export interface ImportCost {
  /** Whether it was built JavaScript. */
  readonly built: boolean;
  /** Milliseconds of a process that does nothing. */
  readonly empty_ms: number;
  /** Milliseconds that the import adds to them. */
  readonly import_ms: number;
  readonly measures: readonly Measure[];
}

/**
 * Starts both programs `rounds` times in the runtime of this process, after once without counting.
 * @throws UserError when one of them fails.
 */
export async function measureImport(rounds: number): Promise<ImportCost> {
  const candidates = ["../dist/runtime/index.js", "../runtime/index.js", "../runtime/index.ts"];
  const found = candidates.map((file) => new URL(file, import.meta.url)).find((url) => existsSync(url));
  if (found === undefined) throw new UserError("the runtime's files are not there, and their import cannot be timed");
  const built = found.href.endsWith(".js");
  const folder = mkdtempSync(join(tmpdir(), "tilestate-import-"));
  try {
    const [empty, full] = [join(folder, "empty.mjs"), join(folder, "import.mjs")];
    writeFileSync(empty, "");
    writeFileSync(full, `import ${JSON.stringify(found.href)};\n`);
    const flags = flagsFor(built);
    const times = { empty: [] as number[], added: [] as number[] };
    for (let round = -1; round < rounds; round++) {
      const nothing = await timed([...flags, empty]);
      const something = await timed([...flags, full]);
      if (round < 0) continue;
      times.empty.push(nothing);
      times.added.push(something - nothing);
    }
    const measure = measureOf("import of the runtime, above an empty program", "ms", "lower", times.added);
    return { built, empty_ms: median(times.empty), import_ms: measure.median, measures: [measure] };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function flagsFor(built: boolean): readonly string[] {
  if (process.versions.deno !== undefined) return ["run", "-A"];
  if (process.versions.bun !== undefined || built || process.features.typescript) return [];
  return ["--import", import.meta.resolve("tsx")];
}

function timed(args: readonly string[]): Promise<number> {
  return new Promise((done, fail) => {
    const began = performance.now();
    const child = spawn(process.execPath, args, { stdio: ["ignore", "ignore", "pipe"] });
    let errors = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      errors += text;
    });
    child.on("error", fail);
    child.on("close", (code) => {
      if (code !== 0) return fail(new UserError(`an import ended with code ${code}: ${errors.trim()}`));
      done(performance.now() - began);
    });
  });
}
