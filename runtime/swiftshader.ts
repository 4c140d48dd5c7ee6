/**
 * A software GPU inside the package's own dependencies, for machines that have none.
 *
 * SwiftShader is Google's Vulkan on the CPU; a build of it lies in the npm package @sparticuz/chromium. Dawn looks for `libvulkan.so.1` beside its own
 * binary before it asks the system, so a copy of Dawn's binary with SwiftShader under that name next to it needs no loader, no driver list and no
 * rights. The copy lives in a cache folder: node_modules stays as it was, and the original binary in the same process still sees the system's adapters.
 *
 * Node's modules are fetched through `process.getBuiltinModule`, so that bundling this file for a browser pulls nothing in.
 */
import { env } from "./env.ts";
import { UserError } from "./errors.ts";

/** What a Dawn binary exports. */
export interface DawnModule {
  create(options: string[]): GPU;
}

let loaded: DawnModule | undefined;

/**
 * Loads the copy of Dawn that only sees SwiftShader, unpacking it on first use (about 30 MB in the cache folder).
 * @throws UserError on platforms other than Linux on x86-64, and when a package or the cache folder is missing.
 */
export function loadEmbeddedDawn(): DawnModule {
  if (loaded === undefined) {
    const folder = unpackEmbedded();
    const require = process.getBuiltinModule("node:module").createRequire(import.meta.url);
    loaded = require(process.getBuiltinModule("node:path").join(folder, "dawn.node")) as DawnModule;
  }
  return loaded;
}

/** Makes sure that the folder with the two libraries exists and returns its path. Safe when several processes do it at once. */
export function unpackEmbedded(root?: string): string {
  const fs = process.getBuiltinModule("node:fs");
  const path = process.getBuiltinModule("node:path");
  const zlib = process.getBuiltinModule("node:zlib");
  if (process.platform !== "linux" || process.arch !== "x64") {
    throw new UserError(
      `the embedded software adapter exists for Linux on x86-64 only, not for ${process.platform} on ${process.arch}`,
    );
  }
  const dawn = packageFolder("webgpu", ".");
  const chromium = packageFolder("@sparticuz/chromium", "../..");
  const dawnBinary = path.join(dawn.folder, "dist", "linux-x64", "dawn.node");
  const archive = path.join(chromium.folder, "bin", "swiftshader.tar.br");
  const name = `swiftshader-${chromium.version}-dawn-${dawn.version}-${fs.statSync(dawnBinary).size}`;

  const refused: string[] = [];
  for (const base of root === undefined ? cacheRoots() : [root]) {
    const final = path.join(base, name);
    // The folder is renamed into place only when it is complete, so its being there is enough.
    if (fs.existsSync(final)) return final;
    try {
      fs.mkdirSync(base, { recursive: true, mode: 0o700 });
      const draft = fs.mkdtempSync(path.join(base, "unpacking-"));
      try {
        fs.copyFileSync(dawnBinary, path.join(draft, "dawn.node"));
        const tar = zlib.brotliDecompressSync(fs.readFileSync(archive));
        fs.writeFileSync(path.join(draft, "libvulkan.so.1"), fileInTar(tar, "libvk_swiftshader.so", archive));
        fs.renameSync(draft, final);
      } catch (error) {
        fs.rmSync(draft, { recursive: true, force: true });
        // Another process may have been faster; its folder is as good as ours.
        if (!fs.existsSync(final)) throw error;
      }
      return final;
    } catch (error) {
      if (error instanceof UserError) throw error;
      refused.push(`${base} (${(error as Error).message})`);
    }
  }
  throw new UserError(`the embedded software adapter could not be unpacked: tried ${refused.join("; ")}`, {
    hint: "set TILESTATE_CACHE to a folder that can be written",
  });
}

/** Where the copy may live, best first: what the user says, the user's cache, a private folder among the temporary files. */
function cacheRoots(): string[] {
  const path = process.getBuiltinModule("node:path");
  const os = process.getBuiltinModule("node:os");
  const chosen = env("TILESTATE_CACHE");
  // "off" is about compiled kernels; the adapter's library needs a place in any case.
  if (chosen !== undefined && chosen !== "off") return [path.resolve(chosen)];
  const roots: string[] = [];
  const xdg = env("XDG_CACHE_HOME");
  const home = env("HOME");
  if (xdg !== undefined) roots.push(path.join(xdg, "tilestate"));
  else if (home !== undefined) roots.push(path.join(home, ".cache", "tilestate"));
  const shared = path.join(os.tmpdir(), `tilestate-${process.getuid?.() ?? "user"}`);
  if (ownedByUs(shared)) roots.push(shared);
  return roots;
}

/** Libraries are loaded from this folder, so one that somebody else prepared among the temporary files must not be used. */
function ownedByUs(folder: string): boolean {
  const fs = process.getBuiltinModule("node:fs");
  try {
    fs.mkdirSync(folder, { recursive: true, mode: 0o700 });
    const state = fs.lstatSync(folder);
    return state.isDirectory() && state.uid === process.getuid?.() && (state.mode & 0o022) === 0;
  } catch {
    return false;
  }
}

/** A dependency's folder (given from the folder of its entry file) and its version. */
function packageFolder(name: string, fromEntry: string): { readonly folder: string; readonly version: string } {
  const path = process.getBuiltinModule("node:path");
  const fs = process.getBuiltinModule("node:fs");
  let folder: string;
  try {
    const require = process.getBuiltinModule("node:module").createRequire(import.meta.url);
    folder = path.resolve(path.dirname(require.resolve(name)), fromEntry);
  } catch (cause) {
    throw new UserError(`the npm package ${name} is not installed, and the embedded software adapter comes with it`, {
      hint: "install it, or do not leave out optional dependencies when installing",
      cause,
    });
  }
  const manifest = JSON.parse(fs.readFileSync(path.join(folder, "package.json"), "utf8")) as { version: string };
  return { folder, version: manifest.version };
}

/** One file of an uncompressed ustar archive: a 512-byte header (name at 0, octal size at 124), the content, padding to 512. */
function fileInTar(tar: Uint8Array, wanted: string, archive: string): Uint8Array {
  const text = new TextDecoder();
  const field = (from: number, length: number): string =>
    text.decode(tar.subarray(from, from + length)).replace(/\0.*$/s, "");
  for (let at = 0; at + 512 <= tar.length; ) {
    const name = field(at, 100);
    if (name === "") break;
    const size = Number.parseInt(field(at + 124, 12).trim(), 8);
    if (name.replace(/^\.\//, "") === wanted) return tar.subarray(at + 512, at + 512 + size);
    at += 512 + Math.ceil(size / 512) * 512;
  }
  throw new UserError(`${archive}: expected it to contain ${wanted}, but it does not`);
}
