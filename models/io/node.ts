/**
 * Files and folders on disk, in Node, Bun and Deno.
 *
 * The modules of Node are taken when something on disk is touched, by `process.getBuiltinModule`, which is no import:
 * a bundle for a browser has this file too, and there only its errors are ever reached.
 */

import { UserError } from "../../runtime/common/errors.ts";
import { type ByteSource, checkRange, type Folder, message } from "./bytes.ts";

/** Node's own modules; `path` is what was to be touched. */
function builtin(path: string): Pick<NodeJS.Process, "getBuiltinModule"> {
  const { process } = globalThis as { readonly process?: NodeJS.Process };
  if (typeof process?.getBuiltinModule === "function") return process;
  const hint = "give a folder by httpFolder(url), or one in memory";
  throw new UserError(`${path}: cannot be opened by its path where there is no disk, as in a browser`, { hint });
}

function fs(path: string): typeof import("node:fs/promises") {
  return builtin(path).getBuiltinModule("node:fs/promises");
}

function paths(path: string): typeof import("node:path") {
  return builtin(path).getBuiltinModule("node:path");
}

/** A file on disk, opened for each read so that nothing has to be closed. Throws a `UserError` when it is missing. */
export async function fileBytes(path: string): Promise<ByteSource> {
  const found = await existing(path);
  if (found === undefined) throw new UserError(`${path}: no such file`);
  return found;
}

/** A folder on disk. Its name is its own, also where the path is "." or ends in "..". */
export function diskFolder(directory: string): Folder {
  const { basename, join, resolve } = paths(directory);
  const path = (name: string): string => join(directory, name);
  return {
    where: directory,
    name: basename(resolve(directory)),
    path,
    open: (name) => existing(path(name)),
    async list(): Promise<readonly string[]> {
      try {
        return (await fs(directory).readdir(directory)).sort();
      } catch (error) {
        throw fileError(directory, "list", error);
      }
    },
  };
}

/** The folder that a file lies in, and the file's name there. */
export function folderOf(file: string): { readonly folder: Folder; readonly name: string } {
  const { basename, dirname } = paths(file);
  return { folder: diskFolder(dirname(file)), name: basename(file) };
}

/** What a path leads to; undefined where there is nothing. Throws a `UserError` where the system does not tell. */
export async function kindOf(path: string): Promise<"folder" | "file" | undefined> {
  try {
    return (await fs(path).stat(path)).isDirectory() ? "folder" : "file";
  } catch (error) {
    const code = errorCode(error);
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw error instanceof UserError ? error : fileError(path, "open", error);
  }
}

/** The path of a `file:` URL. Throws what Node has to say of one that is none of this machine. */
export function pathOf(url: string | URL): string {
  return builtin(String(url)).getBuiltinModule("node:url").fileURLToPath(url);
}

/** A whole file as text. Throws a `UserError` that says what could not be read: `what`, a noun with its article. */
export async function readText(path: string, what: string): Promise<string> {
  const { readFile } = fs(path);
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    throw fileError(path, `read ${what}`, cause);
  }
}

/**
 * Writes `parts` in a row to `path`, whole or not at all: a temporary file beside it is renamed. Throws a `UserError`
 * naming the path.
 */
export async function writeWhole(path: string, parts: readonly Uint8Array[]): Promise<void> {
  const { open, rename, rm } = fs(path);
  const temporary = `${path}.${crypto.randomUUID().slice(0, 8)}.tmp`;
  try {
    const file = await open(temporary, "wx");
    try {
      for (const part of parts) await file.writeFile(part);
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw fileError(path, "write", error);
  }
}

/** A file-system failure as a `UserError` that names the path. */
function fileError(path: string, doing: string, cause: unknown): UserError {
  return new UserError(`${path}: cannot ${doing} (${message(cause)})`, { cause });
}

function errorCode(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}

async function existing(path: string): Promise<ByteSource | undefined> {
  let size: number;
  try {
    const entry = await fs(path).stat(path);
    if (!entry.isFile())
      throw new UserError(`${path}: expected a file, got ${entry.isDirectory() ? "a folder" : "something else"}`);
    size = entry.size;
  } catch (error) {
    if (error instanceof UserError) throw error;
    const code = errorCode(error);
    if (code === "ENOENT" && (await isLink(path))) {
      const hint = "download the model again, or copy it with what its links lead to";
      throw new UserError(`${path}: a link to a file that is not there`, { hint });
    }
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw fileError(path, "read", error);
  }
  return { where: path, size, read: (offset, length) => readRange(path, size, offset, length) };
}

async function isLink(path: string): Promise<boolean> {
  return fs(path)
    .lstat(path)
    .then(
      (entry) => entry.isSymbolicLink(),
      () => false,
    );
}

/** Largest single read: some systems refuse more than 2 GiB at once. */
const CHUNK = 1 << 30;

async function readRange(path: string, size: number, offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
  checkRange(path, size, offset, length);
  const bytes = new Uint8Array(length);
  let file: import("node:fs/promises").FileHandle | undefined;
  try {
    file = await fs(path).open(path, "r");
    let done = 0;
    while (done < length) {
      const { bytesRead } = await file.read(bytes, done, Math.min(CHUNK, length - done), offset + done);
      if (bytesRead === 0) break;
      done += bytesRead;
    }
    if (done < length) {
      throw new UserError(`${path}: truncated while it was read: expected ${length} bytes at ${offset}, got ${done}`);
    }
  } catch (error) {
    throw error instanceof UserError ? error : fileError(path, "read", error);
  } finally {
    await file?.close();
  }
  return bytes;
}
