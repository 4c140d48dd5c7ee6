/**
 * The artefact that ships beside built-in kernels, `compiled.json`: made here, read by load.ts.
 *
 * It holds a bundle of tile programs with the hashes of the sources it was compiled from (names relative to its folder) and of the compiler's front half. In
 * a checkout it counts only while both are unchanged, so that editing a kernel is never without effect.
 */
import { dirname, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { bundle } from "./bundle.ts";
import { hashOf } from "./cache.ts";
import { compileFile } from "./compile.ts";
import { fingerprint } from "./fingerprint.ts";
import type { Shipped } from "./load.ts";

/** Compiles the named kernels of the module at `url`; the result is the text of the `compiled.json` beside it. */
export function shippedText(url: string, names: readonly string[]): string {
  const file = fileURLToPath(url);
  const { programs, sources } = compileFile(file, [...names].sort());
  const sorted = [...programs].sort((a, b) => (a.name < b.name ? -1 : 1));
  const artefact: Shipped = {
    compiler: fingerprint(),
    sources: sources
      .map((s) => ({ file: relative(dirname(file), s.file).split(sep).join("/"), hash: hashOf(s.text) }))
      .sort((a, b) => (a.file < b.file ? -1 : 1)),
    bundle: bundle(sorted),
  };
  return `${JSON.stringify(artefact, undefined, 1)}\n`;
}
