/**
 * A software GPU inside the package's own dependencies, for machines that have none.
 *
 * SwiftShader is Google's Vulkan on the CPU; native-part.ts says where a build of it lies. Dawn looks for `libvulkan.so.1` beside its own
 * binary before it asks the system, so a copy of Dawn's binary with SwiftShader under that name next to it needs no loader, no driver list and no
 * rights. The copy lives in a cache folder: node_modules stays as it was, and the original binary in the same process still sees the system's adapters. Its
 * name ends in the length and the hash of what is in it, which are compared before it is loaded: a library that was cut off would end the process with a bus
 * error. One that is not whole is unpacked anew.
 *
 * Node's modules are fetched through `process.getBuiltinModule`, so that bundling this file for a browser pulls nothing in.
 */
import { libraryRoots, makeFolder, readText, sha256, writeWhole } from "../../compiler/index.ts";
import { UserError } from "../common/errors.ts";
import { type DawnModule, requireDawn } from "./dawn-module.ts";
import { nativePart, platformPackage, swiftShaderFor } from "./native-part.ts";

/** What a folder of ours holds. */
const LIBRARIES: readonly string[] = ["dawn.node", "libvulkan.so.1"];
/** A draft this old (milliseconds) was left behind by a process that has died. */
const STALE = 24 * 60 * 60 * 1000;

/** A note is two lines; what is longer is none. */
const LONGEST_NOTE = 4096;

let loaded: DawnModule | undefined;

/**
 * Loads the copy of Dawn that only sees SwiftShader, unpacking it on first use (about 30 MB in the cache folder).
 * @throws UserError on platforms other than Linux on x86-64, and when a package or the cache folder is missing.
 */
export function loadEmbeddedDawn(): DawnModule {
  if (loaded === undefined) {
    loaded = requireDawn(process.getBuiltinModule("node:path").join(unpackEmbedded(), "dawn.node"));
  }
  return loaded;
}

/**
 * Makes sure that the folder with the two libraries exists, whole, and returns its path. Safe when several processes do it at once.
 * @throws UserError where there are no such libraries, and where no folder can be written.
 */
export function unpackEmbedded(root?: string): string {
  const fs = process.getBuiltinModule("node:fs");
  const path = process.getBuiltinModule("node:path");
  if (process.platform !== "linux" || process.arch !== "x64") {
    throw new UserError(
      `the embedded software adapter exists for Linux on x86-64 only, not for ${process.platform} on ${process.arch}`,
    );
  }
  const dawn = nativePart();
  if (dawn === undefined)
    throw new UserError("Dawn, which the embedded software adapter runs under, is not installed", {
      hint: `npm install ${platformPackage()}`,
    });
  const { archive, version } = swiftShaderFor(dawn);
  const name = `swiftshader-${version}-dawn-${dawn.version}`;

  const refused: string[] = [];
  for (const base of root === undefined ? libraryRoots() : [root]) {
    const found = wholeOne(base, name);
    if (found !== undefined) return found;
    try {
      makeFolder(base, 0o700);
      removeDrafts(base);
      const draft = fs.mkdtempSync(path.join(base, "unpacking-"));
      try {
        unpackInto(draft, dawn.binary, archive);
        const final = path.join(base, `${name}-${contentsOf(draft)}`);
        moveInto(final, draft);
        return final;
      } finally {
        fs.rmSync(draft, { recursive: true, force: true });
      }
    } catch (error) {
      if (error instanceof UserError) throw error;
      refused.push(`${base} (${(error as Error).message})`);
    }
  }
  const tried = refused.length === 0 ? "there is no folder to try" : `tried ${refused.join("; ")}`;
  throw new UserError(`the embedded software adapter could not be unpacked: ${tried}`, {
    hint: "set TILESTATE_CACHE to a folder that can be written",
  });
}

/** Writes the libraries. */
function unpackInto(folder: string, dawnBinary: string, archive: string): void {
  const fs = process.getBuiltinModule("node:fs");
  const { join } = process.getBuiltinModule("node:path");
  const tar = process.getBuiltinModule("node:zlib").brotliDecompressSync(fs.readFileSync(archive));
  const contents = [fs.readFileSync(dawnBinary), fileInTar(tar, "libvk_swiftshader.so", archive)];
  for (const [i, name] of LIBRARIES.entries()) fs.writeFileSync(join(folder, name), contents[i] ?? "");
  // Made for its owner alone; who may read the cache may read this.
  fs.chmodSync(folder, 0o755);
}

/** A folder of such a name that is whole. */
function wholeOne(base: string, name: string): string | undefined {
  const { join } = process.getBuiltinModule("node:path");
  try {
    const all = process.getBuiltinModule("node:fs").readdirSync(base);
    return all.flatMap((n) => (n.startsWith(`${name}-`) ? join(base, n) : [])).find(isWhole);
  } catch {
    return undefined;
  }
}

/** Puts a finished folder in its place, where there may be a broken one, or since a moment ago a whole one of another process. */
function moveInto(final: string, draft: string): void {
  const fs = process.getBuiltinModule("node:fs");
  if (isWhole(final)) return;
  const old = `${draft}.old`;
  try {
    if (fs.existsSync(final)) fs.renameSync(final, old);
    fs.renameSync(draft, final);
  } catch (error) {
    if (!isWhole(final)) throw error;
  } finally {
    fs.rmSync(old, { recursive: true, force: true });
  }
}

/**
 * True for a folder with libraries of the length and the hash that its name ends in. Hashing 30 MB takes longer than compiling a kernel, so a note beside the
 * folder says which state of the files was found to be right; as long as they are in that state they are not read again.
 */
function isWhole(folder: string): boolean {
  const said = /-(\d+)-[0-9a-f]{24}$/.exec(folder);
  const note = `${folder}.checked`;
  try {
    if (said === null || Number(said[1]) !== lengthOf(folder)) return false;
    const state = stateOf(folder);
    if (readText(note, LONGEST_NOTE) === state) return true;
    if (!folder.endsWith(`-${contentsOf(folder)}`)) return false;
    keepNote(note, state);
    return true;
  } catch {
    return false;
  }
}

/** What changes when one of the libraries is written to or replaced. */
function stateOf(folder: string): string {
  const { join } = process.getBuiltinModule("node:path");
  const fs = process.getBuiltinModule("node:fs");
  return LIBRARIES.map((name) => {
    const { size, mtimeNs, ctimeNs, ino } = fs.statSync(join(folder, name), { bigint: true });
    return [name, size, mtimeNs, ctimeNs, ino].join(" ");
  }).join("\n");
}

function keepNote(note: string, state: string): void {
  try {
    writeWhole(note, state);
  } catch {
    // Where nothing can be written the files are read each time.
  }
}

/** Length and hash of the libraries in a folder, as its name ends in them. */
function contentsOf(folder: string): string {
  const fs = process.getBuiltinModule("node:fs");
  const { join } = process.getBuiltinModule("node:path");
  // Piece by piece, which takes half as long as reading 30 MB at once.
  const piece = new Uint8Array(1 << 18);
  const each = LIBRARIES.map((name) => {
    const hash = process.getBuiltinModule("node:crypto").createHash("sha256");
    const file = fs.openSync(join(folder, name), "r");
    try {
      for (let n = fs.readSync(file, piece); n > 0; n = fs.readSync(file, piece)) hash.update(piece.subarray(0, n));
    } finally {
      fs.closeSync(file);
    }
    return hash.digest("hex");
  });
  return `${lengthOf(folder)}-${sha256(each.join(" ")).slice(0, 24)}`;
}

function lengthOf(folder: string): number {
  const fs = process.getBuiltinModule("node:fs");
  const { join } = process.getBuiltinModule("node:path");
  return LIBRARIES.map((name) => fs.statSync(join(folder, name)).size).reduce((a, b) => a + b);
}

/** Removes what processes that died while unpacking have left: folders of such a name with nothing but our files in them. */
function removeDrafts(base: string): void {
  const fs = process.getBuiltinModule("node:fs");
  const { join } = process.getBuiltinModule("node:path");
  for (const name of fs.readdirSync(base)) {
    if (!/^unpacking-\w{6}(\.old)?$/.test(name)) continue;
    const folder = join(base, name);
    try {
      const ours = fs.readdirSync(folder).every((f) => LIBRARIES.includes(f));
      if (ours && Date.now() - fs.lstatSync(folder).mtimeMs > STALE) fs.rmSync(folder, { recursive: true });
    } catch {
      // Another process does the same, or it is not ours to remove.
    }
  }
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
