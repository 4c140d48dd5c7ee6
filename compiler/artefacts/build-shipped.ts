/**
 * Built-in kernels come compiled, as a module beside them: its text is made here, and load.ts reads what it exports.
 *
 * It is a module and no file to be read, so that bundles and browsers have it. It holds a bundle of tile programs with
 * the hashes of the sources it was compiled from (names relative to its folder) and of the compiler's front half. In a
 * checkout it counts only while both are unchanged, so that editing a kernel is never without effect.
 */
import { dirname, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { compileFile } from "../frontend/index.ts";
import type { Statics } from "../frontend/syntax.ts";
import { bundle } from "./bundle.ts";
import { hashOf } from "./cache.ts";
import { fingerprint } from "./fingerprint.ts";
import { type KernelModule, type Shipped, templatesOf } from "./load.ts";

/**
 * Compiles the named kernels of a module, with the values of compile-time parameters that the host gives; the result is
 * the text of a module beside it, `compiled.ts`.
 */
export function shippedText(module: KernelModule, names: readonly string[], statics: Statics = {}): string {
  const file = fileURLToPath(module.url);
  const { programs, sources } = compileFile(file, [...names].sort(), statics, templatesOf(module));
  const sorted = [...programs].sort((a, b) => (a.name < b.name ? -1 : 1));
  const artefact: Shipped = {
    compiler: fingerprint(),
    sources: sources
      .map((s) => ({ file: relative(dirname(file), s.file).split(sep).join("/"), hash: hashOf(s.text) }))
      .sort((a, b) => (a.file < b.file ? -1 : 1)),
    bundle: bundle(sorted),
  };
  const head = "/** Built-in kernels as they compile. Written by `npm run ship`. */";
  const types = relative(dirname(file), fileURLToPath(new URL("../index.ts", import.meta.url)))
    .split(sep)
    .join("/");
  const value = JSON.stringify(artefact, undefined, 1);
  return `${head}\nimport type { Shipped } from "${types}";\n\nexport const shipped: Shipped = ${value};\n`;
}
