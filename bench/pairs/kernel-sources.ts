/** The sources of the benchmark's kernels, for another checkout's compiler. */
import { mkdtempSync, readdirSync, readFileSync, realpathSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const SOURCES: string = fileURLToPath(new URL("../kernels/", import.meta.url));

/** Copies the kernels' sources to a new folder, so that their imports lead into the checkout at `root`. */
export function copySources(root: string): string {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), "tilestate-pairs-")));
  for (const file of readdirSync(SOURCES)) {
    const text = readFileSync(join(SOURCES, file), "utf8");
    const into = (_: string, path: string): string =>
      JSON.stringify(relative(folder, join(root, path)).replaceAll("\\", "/"));
    writeFileSync(join(folder, file), text.replaceAll(/"\.\.\/\.\.\/([^"]+)"/g, into));
  }
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }\n');
  return folder;
}
