/**
 * From `import.meta` and kernel names to tile programs, by the cheapest way.
 *
 * First the artefact that ships beside the file (`compiled.json`, how built-in kernels come), then this machine's cache, and only then the front end with
 * ts-morph, which is imported late for that reason.
 */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { type Artefact, compilerVersion, hashOf, isFresh, keep, lookUp } from "./cache.ts";
import type { TileProgram } from "./ir.ts";

/** The name of the artefact beside shipped kernels. */
export const SHIPPED = "compiled.json";

const shipped = new Map<string, Artefact | undefined>();

/** The artefact beside a file; its source names are relative to its own folder. */
function beside(file: string): Artefact | undefined {
  const folder = dirname(file);
  if (!shipped.has(folder)) {
    let found: Artefact | undefined;
    try {
      const read = JSON.parse(readFileSync(join(folder, SHIPPED), "utf8")) as Artefact;
      const artefact = { ...read, sources: read.sources.map((s) => ({ ...s, file: resolve(folder, s.file) })) };
      // In a checkout the sources are there and may have changed since; in a package they cannot.
      const compilerSame = compilerVersion() === "packed" || compilerVersion() === artefact.compiler;
      found =
        compilerSame && (isFresh(artefact) || !artefact.sources.some((s) => existsSync(s.file))) ? artefact : undefined;
    } catch {
      found = undefined;
    }
    shipped.set(folder, found);
  }
  return shipped.get(folder);
}

/** How programs were come by, for reports and tests. */
export type Way = "shipped" | "cached" | "compiled";

export interface Loaded {
  readonly file: string;
  readonly way: Way;
  readonly programs: ReadonlyMap<string, TileProgram>;
}

/** Loads the kernels called `names` of the module whose `import.meta.url` is given. Throws KernelError with located diagnostics. */
export async function loadPrograms(url: string, names: readonly string[]): Promise<Loaded> {
  const file = fileURLToPath(url);
  const done = (way: Way, programs: readonly TileProgram[]): Loaded => ({
    file,
    way,
    programs: new Map(programs.map((p) => [p.name, p])),
  });
  const wanted = [...names].sort();
  const ready = beside(file)?.programs.filter((p) => wanted.includes(p.name));
  if (ready !== undefined && ready.length === wanted.length) return done("shipped", ready);
  const cached = lookUp(file, wanted);
  if (cached !== undefined) return done("cached", cached);
  const { compileFile } = await import("./compile.ts");
  const compiled = compileFile(file, wanted);
  keep(file, wanted, {
    compiler: compilerVersion(),
    sources: compiled.sources.map((s) => ({ file: s.file, hash: hashOf(s.text) })),
    programs: compiled.programs,
  });
  return done("compiled", compiled.programs);
}
