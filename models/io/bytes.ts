/**
 * Bytes by range, from a file or from memory.
 *
 * A checkpoint is read tensor by tensor, so a reader needs "these bytes of that file" and nothing else. Keeping that behind one small interface lets an
 * embedded model (bytes in memory) and a folder on disk go through the same readers, and gives every truncated file the same error.
 */

import { type FileHandle, lstat, open, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { UserError } from "../../runtime/common/errors.ts";

/** A readable run of bytes; `where` names it in errors. */
export interface ByteSource {
  readonly where: string;
  /** Length in bytes. */
  readonly size: number;
  /** A fresh copy of `length` bytes from `offset`, aligned for every typed array. Throws a `UserError` past the end. */
  read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>>;
}

/** The files of one model; `open` gives undefined for a file that is not there. */
export interface Folder {
  readonly where: string;
  open(name: string): Promise<ByteSource | undefined>;
  /** The names of the files in it, sorted. */
  list(): Promise<readonly string[]>;
  /** What an error should call the file. */
  path(name: string): string;
}

/** Bytes already in memory. */
export function memoryBytes(where: string, bytes: Uint8Array): ByteSource {
  return {
    where,
    size: bytes.byteLength,
    async read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
      checkRange(where, bytes.byteLength, offset, length);
      return new Uint8Array(bytes.subarray(offset, offset + length));
    },
  };
}

/** A file on disk, opened for each read so that nothing has to be closed. Throws a `UserError` when it is missing. */
export async function fileBytes(path: string): Promise<ByteSource> {
  const found = await existing(path);
  if (found === undefined) throw new UserError(`${path}: no such file`);
  return found;
}

/** A folder on disk. */
export function diskFolder(directory: string): Folder {
  const path = (name: string): string => join(directory, name);
  return {
    where: directory,
    path,
    open: (name) => existing(path(name)),
    async list(): Promise<readonly string[]> {
      try {
        return (await readdir(directory)).sort();
      } catch (error) {
        throw fileError(directory, "list", error);
      }
    },
  };
}

/** A folder in memory, for models that are part of a program. */
export function memoryFolder(where: string, files: ReadonlyMap<string, Uint8Array>): Folder {
  const path = (name: string): string => `${where}/${name}`;
  return {
    where,
    path,
    async open(name: string): Promise<ByteSource | undefined> {
      const bytes = files.get(name);
      return bytes === undefined ? undefined : memoryBytes(path(name), bytes);
    },
    list: async () => [...files.keys()].sort(),
  };
}

/** A file-system failure as a `UserError` that names the path. */
export function fileError(path: string, doing: string, cause: unknown): UserError {
  return new UserError(`${path}: cannot ${doing} (${message(cause)})`, { cause });
}

export function errorCode(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}

export function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

async function existing(path: string): Promise<ByteSource | undefined> {
  let size: number;
  try {
    const entry = await stat(path);
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
  return lstat(path).then(
    (entry) => entry.isSymbolicLink(),
    () => false,
  );
}

/** Largest single read: some systems refuse more than 2 GiB at once. */
const CHUNK = 1 << 30;

async function readRange(path: string, size: number, offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
  checkRange(path, size, offset, length);
  const bytes = new Uint8Array(length);
  let file: FileHandle | undefined;
  try {
    file = await open(path, "r");
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

function checkRange(where: string, size: number, offset: number, length: number): void {
  if (offset < 0 || length < 0 || offset + length > size) {
    throw new UserError(`${where}: truncated: expected ${length} bytes at ${offset}, but the file has ${size} bytes`);
  }
}
