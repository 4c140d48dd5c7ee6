/**
 * From `import.meta` and kernel names to tile programs, by the cheapest way.
 *
 * First the artefact that ships beside the file (`compiled.json`, how built-in kernels come), then, where there is no TypeScript source, registered bundles;
 * then this machine's cache, and only then the front end with ts-morph, which is imported late for that reason. While TILESTATE_SHOW shows a kernel it is
 * always compiled, so that there is something to see.
 */
import { BundleError, fits, fromRegistered, type KernelBundle, programsOf } from "./bundle.ts";
import { compilerVersion, hashOf, isFresh, keep, lookUp } from "./cache.ts";
import type { TileProgram } from "./ir.ts";
import { fs, path, pathOf } from "./node.ts";
import { printTileProgram, show, showing } from "./show.ts";
import type { Statics } from "./syntax.ts";

/** The name of the artefact beside shipped kernels. */
export const SHIPPED = "compiled.json";

/** What `compiled.json` holds; ship.ts makes it. File names are relative to its folder. */
export interface Shipped {
  readonly compiler: string;
  readonly sources: readonly { readonly file: string; readonly hash: string }[];
  readonly bundle: KernelBundle;
}

const shipped = new Map<string, KernelBundle | undefined>();

/** The bundle beside a file, if it is still what its sources say. */
function beside(file: string): KernelBundle | undefined {
  const { dirname } = path();
  const folder = dirname(file);
  if (!shipped.has(folder)) shipped.set(folder, readShipped(folder));
  return shipped.get(folder);
}

function readShipped(folder: string): KernelBundle | undefined {
  const { join, resolve } = path();
  try {
    const read = JSON.parse(fs().readFileSync(join(folder, SHIPPED), "utf8")) as Shipped;
    const sources = read.sources.map((s) => ({ ...s, file: resolve(folder, s.file) }));
    // In a checkout the sources are there and may have changed since; in a package without them they cannot.
    const same = compilerVersion() === "packed" || compilerVersion() === read.compiler;
    return same && (isFresh({ sources }) || !sources.some((s) => fs().existsSync(s.file))) ? read.bundle : undefined;
  } catch {
    return undefined;
  }
}

/** How programs were come by, for reports and tests. */
export type Way = "shipped" | "bundled" | "cached" | "compiled";

export interface Loaded {
  readonly file: string;
  readonly way: Way;
  readonly programs: ReadonlyMap<string, TileProgram>;
}

/**
 * Loads the kernels called `names` of the module whose `import.meta.url` is given; `statics` are the values of their compile-time parameters that the host
 * knows. Throws KernelError with located diagnostics, and BundleError where there is neither a source nor a bundle.
 */
export async function loadPrograms(url: string, names: readonly string[], statics: Statics = {}): Promise<Loaded> {
  const file = pathOf(url);
  const done = (way: Way, list: Iterable<TileProgram>): Loaded => {
    const programs = new Map([...list].map((p) => [p.name, p]));
    // Those of a bundle were shown when they were unpacked.
    if (way !== "bundled" && way !== "shipped")
      for (const [name, p] of programs) show("tile", name, () => printTileProgram(p));
    return { file: file ?? url, way, programs };
  };
  const wanted = [...names].sort();
  const source = file !== undefined && /\.[cm]?tsx?$/.test(file) && fs().existsSync(file);
  if (file !== undefined && !(source && showing(wanted))) {
    const ready = beside(file);
    if (ready !== undefined && wanted.every((n) => Object.hasOwn(ready.kernels, n))) {
      const programs = [...programsOf(ready, wanted).values()];
      if (programs.every((p) => fits(p, statics[p.name]))) return done("shipped", programs);
    }
  }
  if (!source)
    return done("bundled", bundledOr(wanted, statics, `${file ?? url} is no TypeScript file that can be read`));
  const entry = wanted.map((n) => (statics[n] === undefined ? n : `${n} ${JSON.stringify(statics[n])}`));
  const cached = showing(wanted) ? undefined : lookUp(file, entry);
  if (cached !== undefined) return done("cached", cached);
  const compileFile = await importCompiler();
  if (compileFile === undefined)
    return done("bundled", bundledOr(wanted, statics, "the compiler is not part of this program"));
  const compiled = compileFile(file, wanted, statics);
  keep(file, entry, {
    compiler: compilerVersion(),
    sources: compiled.sources.map((s) => ({ file: s.file, hash: hashOf(s.text) })),
    programs: compiled.programs,
  });
  return done("compiled", compiled.programs);
}

/** Undefined in programs that were packed without it. */
async function importCompiler(): Promise<typeof import("./compile.ts").compileFile | undefined> {
  // A variable, so that bundlers do not follow the import: it leads to ts-morph and all of TypeScript.
  const specifier = "./compile.ts";
  const here = pathOf(new URL(specifier, import.meta.url).href);
  if (here === undefined || !fs().existsSync(here)) return undefined;
  return ((await import(/* @vite-ignore */ specifier)) as typeof import("./compile.ts")).compileFile;
}

function bundledOr(names: readonly string[], statics: Statics, why: string): Iterable<TileProgram> {
  const bundled = fromRegistered(names, statics);
  if (bundled !== undefined) return bundled.values();
  throw new BundleError(
    `no source and no bundle of ${names.map((n) => `"${n}"`).join(", ")}: ${why}`,
    "compile them beforehand with `tilestate kernels build`, and pass the bundle to gpu.kernels or registerBundle",
  );
}
