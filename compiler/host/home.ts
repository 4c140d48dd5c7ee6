/**
 * Where the package's own kernel sources lie.
 *
 * In a checkout a module is its own source. In the built package modules are JavaScript, and the TypeScript of kernels
 * and of the language's helpers lies in the folder `source`, where only the compiler looks for it.
 */
import { fs, path, pathOf } from "./fs.ts";

/** The folder of this package's rooms, or undefined where there are no files. */
function home(): string | undefined {
  const folder = pathOf(new URL("../../", import.meta.url).href);
  return folder === undefined ? undefined : path().resolve(folder);
}

/** The folder in which the rooms' TypeScript lies. Throws where there are no files. */
export function sourceRoot(): string {
  const root = home();
  if (root === undefined) throw new Error("there are no files here");
  const built = path().join(root, "source");
  return fs().existsSync(built) ? built : root;
}

/** The TypeScript of a module, which is the module itself unless it is one of the package's own that was built. */
export function sourceOf(file: string): string {
  const root = home();
  if (root === undefined) return file;
  const { relative, isAbsolute, join } = path();
  const within = relative(root, file);
  if (within.startsWith("..") || isAbsolute(within)) return file;
  const source = join(sourceRoot(), within.replace(/\.js$/, ".ts"));
  return fs().existsSync(source) ? source : file;
}
