/**
 * Libraries unpacked into the cache folder.
 *
 * What comes in: names of libraries, and their bytes on request. What comes out: a folder in which they lie together,
 * because a library is looked for beside the one that loads it. Its name ends in the length and the hash of what is in
 * it, which are compared before it is used: a library that was cut off would end the process with a bus error. A folder
 * that is not whole is made anew; processes that unpack at once leave one.
 *
 * Node's modules are fetched through `process.getBuiltinModule`, so that bundling this file for a browser pulls nothing
 * in.
 */
import { libraryRoots, makeFolder, readText, sha256, writeWhole } from "../../compiler/index.ts";
import { UserError } from "../common/errors.ts";

/** What is to be unpacked. */
export interface Packed {
  /** For messages: "the embedded software adapter". */
  readonly what: string;
  /** The folder's name, before the length and the hash. */
  readonly name: string;
  /** Names of the files. */
  readonly libraries: readonly string[];
  /** Their bytes, in that order. Asked for when they are not there yet. */
  contents(): readonly Uint8Array[];
}

/** Libraries that lie in one folder, whole or not. */
interface Folder {
  readonly path: string;
  readonly libraries: readonly string[];
}

/** What brotli-packed files end in. */
export const PACKED = ".br";
/** Beside packed files, what is in them: length in bytes and SHA-256 of each, by its name without `.br`. */
export const CONTENTS_FILE = "contents.json";
/** Length and hash of the contents, at the end of a folder's name. */
const CONTENTS = /-(\d+)-[0-9a-f]{24}$/;
/** A draft this old (milliseconds) was left behind by a process that has died. */
const STALE = 24 * 60 * 60 * 1000;
/** Longest note in bytes: a line a library. What is longer is none. */
const LONGEST_NOTE = 4096;

/**
 * Makes sure that a folder with the libraries exists, whole, and returns its path. Safe when several processes do it at
 * once.
 * @param root - where to put it, instead of the places that `libraryRoots` names.
 * @throws UserError where no folder can be written, and whatever `contents` throws.
 */
export function unpack({ what, name, libraries, contents }: Packed, root?: string): string {
  const fs = process.getBuiltinModule("node:fs");
  const { join } = process.getBuiltinModule("node:path");
  const refused: string[] = [];
  let bytes: readonly Uint8Array[] | undefined;
  for (const base of root === undefined ? libraryRoots() : [root]) {
    const found = wholeOne(base, name, libraries);
    if (found !== undefined) return found;
    bytes ??= contents();
    try {
      makeFolder(base, 0o700);
      removeDrafts(base, libraries);
      const draft = { path: fs.mkdtempSync(join(base, "unpacking-")), libraries };
      try {
        for (const [i, library] of libraries.entries())
          fs.writeFileSync(join(draft.path, library), bytes[i] ?? new Uint8Array());
        // Made for its owner alone; who may read the cache may read this.
        fs.chmodSync(draft.path, 0o755);
        const final = { path: join(base, `${name}-${contentsOf(draft)}`), libraries };
        moveInto(final, draft.path);
        return final.path;
      } finally {
        fs.rmSync(draft.path, { recursive: true, force: true });
      }
    } catch (error) {
      refused.push(`${base} (${(error as Error).message})`);
    }
  }
  const tried = refused.length === 0 ? "there is no folder to try" : `tried ${refused.join("; ")}`;
  throw new UserError(`${what} could not be unpacked: ${tried}`, {
    hint: "set TILESTATE_CACHE to a folder that can be written",
  });
}

/**
 * The bytes of a library, or of whatever else is packed like one.
 * @param file - its name ends in `.br` when it is packed.
 * @throws UserError when it cannot be read, or is not what was packed.
 */
export function readLibrary(file: string): Uint8Array {
  try {
    const bytes = process.getBuiltinModule("node:fs").readFileSync(file);
    if (!file.endsWith(PACKED)) return bytes;
    const unpacked = process.getBuiltinModule("node:zlib").brotliDecompressSync(bytes);
    checkContents(file, unpacked);
    return unpacked;
  } catch (cause) {
    throw new UserError(`${file} is damaged (${(cause as Error).message})`, {
      hint: "install the package that it belongs to again",
      cause,
    });
  }
}

/** Compares with what the package says, where it does: not every runtime's brotli tells that a file was cut off. */
function checkContents(file: string, unpacked: Uint8Array): void {
  const { basename, dirname, join } = process.getBuiltinModule("node:path");
  const { existsSync, readFileSync } = process.getBuiltinModule("node:fs");
  const list = join(dirname(file), CONTENTS_FILE);
  if (!existsSync(list)) return;
  const said = (JSON.parse(readFileSync(list, "utf8")) as Partial<Record<string, { bytes: number; sha256: string }>>)[
    basename(file, PACKED)
  ];
  if (said === undefined) return;
  if (unpacked.length !== said.bytes) throw new Error(`expected ${said.bytes} bytes in it, got ${unpacked.length}`);
  const hash = process.getBuiltinModule("node:crypto").createHash("sha256").update(unpacked).digest("hex");
  if (hash !== said.sha256) throw new Error(`expected the SHA-256 ${said.sha256}, got ${hash}`);
}

/** A folder of such a name that is whole. */
function wholeOne(base: string, name: string, libraries: readonly string[]): string | undefined {
  const { join } = process.getBuiltinModule("node:path");
  try {
    const all = process.getBuiltinModule("node:fs").readdirSync(base);
    const named = all.filter((n) => n.startsWith(`${name}-`) && n.slice(name.length).replace(CONTENTS, "") === "");
    return named.map((n) => join(base, n)).find((path) => isWhole({ path, libraries }));
  } catch {
    return undefined;
  }
}

/**
 * Puts a finished folder in its place, where there may be a broken one, or since a moment ago a whole one of another
 * process.
 */
function moveInto(final: Folder, draft: string): void {
  const fs = process.getBuiltinModule("node:fs");
  if (isWhole(final)) return;
  const old = `${draft}.old`;
  try {
    if (fs.existsSync(final.path)) fs.renameSync(final.path, old);
    fs.renameSync(draft, final.path);
  } catch (error) {
    if (!isWhole(final)) throw error;
  } finally {
    fs.rmSync(old, { recursive: true, force: true });
  }
}

/**
 * True for a folder with libraries of the length and the hash that its name ends in. Hashing 30 MB takes longer than
 * compiling a kernel, so a note beside the folder says which state of the files was found to be right; as long as they
 * are in that state they are not read again.
 */
function isWhole(folder: Folder): boolean {
  const said = CONTENTS.exec(folder.path);
  const note = `${folder.path}.checked`;
  try {
    if (said === null || Number(said[1]) !== lengthOf(folder)) return false;
    const state = stateOf(folder);
    if (readText(note, LONGEST_NOTE) === state) return true;
    if (!folder.path.endsWith(`-${contentsOf(folder)}`)) return false;
    keepNote(note, state);
    return true;
  } catch {
    return false;
  }
}

/** What changes when one of the libraries is written to or replaced. */
function stateOf({ path, libraries }: Folder): string {
  const { join } = process.getBuiltinModule("node:path");
  const fs = process.getBuiltinModule("node:fs");
  const states = libraries.map((name) => {
    const { size, mtimeNs, ctimeNs, ino } = fs.statSync(join(path, name), { bigint: true });
    return [name, size, mtimeNs, ctimeNs, ino].join(" ");
  });
  return states.join("\n");
}

function keepNote(note: string, state: string): void {
  try {
    writeWhole(note, state);
  } catch {
    // Where nothing can be written the files are read each time.
  }
}

/** Length and hash of the libraries in a folder, as its name ends in them. */
function contentsOf(folder: Folder): string {
  const fs = process.getBuiltinModule("node:fs");
  const { join } = process.getBuiltinModule("node:path");
  // Piece by piece, which takes half as long as reading 30 MB at once.
  const piece = new Uint8Array(1 << 18);
  const each = folder.libraries.map((name) => {
    const hash = process.getBuiltinModule("node:crypto").createHash("sha256");
    const file = fs.openSync(join(folder.path, name), "r");
    try {
      for (let n = fs.readSync(file, piece); n > 0; n = fs.readSync(file, piece)) hash.update(piece.subarray(0, n));
    } finally {
      fs.closeSync(file);
    }
    return hash.digest("hex");
  });
  return `${lengthOf(folder)}-${sha256(each.join(" ")).slice(0, 24)}`;
}

function lengthOf({ path, libraries }: Folder): number {
  const fs = process.getBuiltinModule("node:fs");
  const { join } = process.getBuiltinModule("node:path");
  return libraries.reduce((sum, name) => sum + fs.statSync(join(path, name)).size, 0);
}

/**
 * Removes what processes that died while unpacking have left: folders of such a name with nothing but our files in
 * them.
 */
function removeDrafts(base: string, libraries: readonly string[]): void {
  const fs = process.getBuiltinModule("node:fs");
  const { join } = process.getBuiltinModule("node:path");
  for (const name of fs.readdirSync(base)) {
    if (!/^unpacking-\w{6}(\.old)?$/.test(name)) continue;
    const folder = join(base, name);
    try {
      const ours = fs.readdirSync(folder).every((f) => libraries.includes(f));
      if (ours && Date.now() - fs.lstatSync(folder).mtimeMs > STALE) fs.rmSync(folder, { recursive: true });
    } catch {
      // Another process does the same, or it is not ours to remove.
    }
  }
}
