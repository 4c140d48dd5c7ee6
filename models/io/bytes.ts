/**
 * Bytes by range: the two interfaces that every reader of models goes through, and both for what is in memory.
 *
 * A checkpoint is read tensor by tensor, so a reader needs "these bytes of that file" and nothing else. Memory, a disk
 * (node.ts) and a web server (http.ts) give it alike, and every truncated file has the same error.
 */

import { UserError } from "../../runtime/common/errors.ts";

/** A readable run of bytes; `where` names it in errors. */
export interface ByteSource {
  /** What errors call it. */
  readonly where: string;
  /** Length in bytes. */
  readonly size: number;
  /**
   * A fresh copy of some bytes, aligned for every typed array.
   * @param offset the first byte
   * @param length how many
   * @throws UserError past the end
   */
  read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>>;
}

/** The files of one model; `open` gives undefined for a file that is not there. */
export interface Folder {
  /** What errors call it. */
  readonly where: string;
  /** Its own name, without what leads to it. */
  readonly name: string;
  /**
   * Opens a file; undefined where it is not there.
   * @param name its name in the folder
   * @throws UserError for a file that is there and cannot be read
   */
  open(name: string): Promise<ByteSource | undefined>;
  /** The names of the files in it, sorted; none where nobody can tell. */
  list(): Promise<readonly string[]>;
  /**
   * What an error should call the file.
   * @param name its name in the folder
   */
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

/**
 * A folder in memory, for models that are part of a program.
 * @param where what errors call it; its last part is its name
 * @param files their bytes, by name
 */
export function memoryFolder(where: string, files: ReadonlyMap<string, Uint8Array>): Folder {
  const path = (name: string): string => `${where}/${name}`;
  return {
    where,
    name: where.split(/[\\/]/).findLast((part) => part !== "") ?? "",
    path,
    async open(name: string): Promise<ByteSource | undefined> {
      const bytes = files.get(name);
      return bytes === undefined ? undefined : memoryBytes(path(name), bytes);
    },
    list: async () => [...files.keys()].sort(),
  };
}

/** What an error says. */
export function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** @throws UserError for a range that goes beyond the end: a truncated file. */
export function checkRange(where: string, size: number, offset: number, length: number): void {
  if (offset < 0 || length < 0 || offset + length > size) {
    throw new UserError(`${where}: truncated: expected ${length} bytes at ${offset}, but the file has ${size} bytes`);
  }
}
