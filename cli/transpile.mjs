/**
 * The rooms as JavaScript, for a checkout on a Node that does not run TypeScript.
 *
 * A loader's hook costs a millisecond a module at each start, and there are hundreds. So esbuild, which tsx is made of,
 * bundles what cli/main.ts leads to, a file for each set of modules that are loaded together, into a folder of
 * `.cache/node/`, once; `rooms.json` beside it says which folder counts, and for which files: those that were read and
 * those that were written, each with its size and time. As long as they are as they were, a start reads nothing else. A
 * folder that no longer counts stays for some hours, because processes that began with it may import the rest of it
 * late.
 *
 * To itself each module lies where its source does: `import.meta.url` is that of the TypeScript, so that models,
 * kernels and programs are found from it as ever.
 */
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, join, relative, sep } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const DOOR = "cli/main.ts";
const FOLDERS = "rooms-";
/** How long a folder that no longer counts stays, in milliseconds. */
const KEPT_MS = 6 * 3600 * 1000;

/**
 * The URL of cli/main.ts as JavaScript, for the checkout in the folder `root`, made anew where a source has changed.
 * Undefined where it cannot be made: in a folder that cannot be written, without esbuild, and of sources that are no
 * TypeScript.
 */
export async function transpiled(root) {
  const cache = join(root, ".cache", "node");
  try {
    const folder = current(root, cache) ?? (await make(root, cache));
    return pathToFileURL(join(cache, folder, "main.js")).href;
  } catch {
    return undefined;
  }
}

/** The folder that counts, if each of its files and sources is as it was. */
function current(root, cache) {
  try {
    const { folder, files } = JSON.parse(readFileSync(join(cache, "rooms.json"), "utf8"));
    for (const file in files) if (files[file] !== stamp(join(root, file))) return undefined;
    return folder;
  } catch {
    return undefined;
  }
}

function stamp(file) {
  const stat = statSync(file, { throwIfNoEntry: false });
  return stat && `${stat.size} ${stat.mtimeMs}`;
}

/** Makes a new folder and lets it count from now on. Throws where that fails, and leaves nothing then. */
async function make(root, cache) {
  mkdirSync(cache, { recursive: true });
  const out = mkdtempSync(join(cache, FOLDERS));
  try {
    const files = await bundle(root, out);
    const note = join(out, "rooms.json");
    writeFileSync(note, JSON.stringify({ folder: basename(out), files }));
    renameSync(note, join(cache, "rooms.json"));
  } catch (error) {
    rmSync(out, { recursive: true, force: true });
    throw error;
  }
  removeOld(cache, basename(out));
  return basename(out);
}

/** Writes the JavaScript to the folder `out`, and gives all files that were read and written, with their stamps. */
async function bundle(root, out) {
  const { build, stop } = await import("esbuild");
  const files = {};
  const note = (file) => {
    files[relative(root, file).replaceAll(sep, "/")] = stamp(file);
  };
  note(fileURLToPath(import.meta.url));
  const rooms = {
    name: "rooms",
    setup({ onLoad }) {
      onLoad({ filter: /\.ts$/ }, ({ path }) => {
        // Before it is read: what changes afterwards is seen by the next start.
        note(path);
        return { contents: placed(root, path, readFileSync(path, "utf8")), loader: "ts" };
      });
    },
  };
  const { metafile } = await build({
    ...{ absWorkingDir: root, entryPoints: [DOOR], outdir: out, plugins: [rooms], metafile: true, logLevel: "silent" },
    ...{ bundle: true, splitting: true, format: "esm", platform: "node", target: "node20.19", packages: "external" },
    // Read only where --stack asks for it.
    ...{ sourcemap: "linked", sourcesContent: false },
    // No tsconfig of anybody has a say here.
    ...{ tsconfigRaw: {}, charset: "utf8" },
    define: { "import.meta": "tilestate$meta" },
    banner: { js: PLACES },
  });
  await stop();
  for (const file of Object.keys(metafile.outputs)) if (file.endsWith(".js")) note(join(root, file));
  return files;
}

/** Begins each file that is written. It lies in ROOT/.cache/node/FOLDER. */
const PLACES = `const tilestate$root = new URL("../../../", import.meta.url);
const tilestate$at = (path) => ({ url: new URL(path, tilestate$root).href, resolve: import.meta.resolve });`;

/**
 * A module as it is bundled: it knows where its source lies and what its classes are called, and nothing hides its
 * imports.
 */
function placed(root, path, text) {
  const place = relative(root, path).replaceAll(sep, "/").split("/").map(encodeURIComponent).join("/");
  const meta = `const tilestate$meta = /* @__PURE__ */ tilestate$at(${JSON.stringify(`./${place}`)});`;
  const code = basename(path) === "import-compiler.ts" ? followed(text) : text;
  return [meta + code, ...named(code)].join("\n");
}

/**
 * Keeps the names of a module's classes, which messages say. esbuild would keep those of all closures as well, for a
 * twentieth of the time of a start.
 */
function named(text) {
  const classes = text.matchAll(/^(?:export )?(?:abstract )?class (\w+)/gm);
  return [...classes].map(([, name]) => `Object.defineProperty(${name}, "name", { value: "${name}" });`);
}

/** The module that imports the compiler so that bundlers do not see it, as one that they follow. */
function followed(text) {
  const [, door] = /\? "(\.[^"]+\.ts)"/.exec(text) ?? [];
  if (door === undefined) throw new Error("import-compiler.ts: expected the compiler's specifier, got none");
  return `export const importCompiler = async () => (await import(${JSON.stringify(door)})).compileFile;`;
}

function removeOld(cache, counts) {
  for (const name of readdirSync(cache)) {
    if (!name.startsWith(FOLDERS) || name === counts) continue;
    const folder = join(cache, name);
    const { mtimeMs = Date.now() } = statSync(folder, { throwIfNoEntry: false }) ?? {};
    if (Date.now() - mtimeMs > KEPT_MS) rmSync(folder, { recursive: true, force: true });
  }
}
