/**
 * The compiler's front half, imported only when a kernel has to be compiled: it leads to ts-morph and all of
 * TypeScript.
 *
 * In a module of its own because what bundles the rooms for older Nodes (cli/transpile.mjs) puts an import in its place
 * that it follows.
 */
import { fs, pathOf } from "../host/fs.ts";

/** The compiler of files; undefined in programs that were packed without it. */
export async function importCompiler(): Promise<typeof import("../frontend/index.ts").compileFile | undefined> {
  // A variable, so that bundlers do not follow the import.
  const specifier = import.meta.url.endsWith(".ts") ? "../frontend/index.ts" : "../frontend/index.js";
  const here = pathOf(new URL(specifier, import.meta.url).href);
  if (here === undefined || !fs().existsSync(here)) return undefined;
  return ((await import(/* @vite-ignore */ specifier)) as typeof import("../frontend/index.ts")).compileFile;
}
