/**
 * Node's own modules, fetched when something on disk is touched.
 *
 * The compiler's doors are also part of browser bundles, where an import of `node:fs` would fail before the first line
 * ran. `process.getBuiltinModule` (Node, Bun and Deno have it) is no import, so bundlers see nothing to follow.
 */

/** True where there are files: in Node, Bun and Deno, not in browsers and their workers. */
export function hasFiles(): boolean {
  return typeof globalThis.process?.getBuiltinModule === "function";
}

export function fs(): typeof import("node:fs") {
  return process.getBuiltinModule("node:fs");
}

export function path(): typeof import("node:path") {
  return process.getBuiltinModule("node:path");
}

export function os(): typeof import("node:os") {
  return process.getBuiltinModule("node:os");
}

/** The path of a `file:` URL; undefined for other URLs and where there are no files. */
export function pathOf(url: string): string | undefined {
  if (!hasFiles() || !url.startsWith("file:")) return undefined;
  try {
    return process.getBuiltinModule("node:url").fileURLToPath(url);
  } catch {
    return undefined;
  }
}
