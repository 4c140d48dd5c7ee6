/** A prompt from a file or from standard input: text as people write it, without what editors put around it. */
import { readFile } from "node:fs/promises";
import { UserError } from "../../runtime/common/errors.ts";
import type { Io } from "./context.ts";

/** Name of standard input where a file is asked for. */
const STDIN = "-";

/**
 * The text of a file. A byte order mark and one line end at the very end are dropped, and CR LF becomes LF; `raw` keeps
 * all of them. Throws a `UserError` naming the file when it cannot be read or is no UTF-8.
 */
export async function promptFromFile(file: string, raw: boolean, io: Io): Promise<string> {
  const where = file === STDIN ? "standard input" : file;
  const text = decode(await bytesOf(file, where, io), where);
  return raw
    ? text
    : text
        .replace(/^\uFEFF/, "")
        .replaceAll("\r\n", "\n")
        .replace(/\n$/, "");
}

async function bytesOf(file: string, where: string, io: Io): Promise<Uint8Array> {
  try {
    if (file !== STDIN) return await readFile(file);
    if (io.read === undefined) throw new Error("there is none");
    return await io.read();
  } catch (cause) {
    throw new UserError(`${where}: cannot read the prompt (${(cause as Error).message})`, { cause });
  }
}

function decode(bytes: Uint8Array, where: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    const wide = (bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff);
    const what = wide ? "UTF-16" : "another encoding, or no text at all";
    throw new UserError(`${where}: the prompt is not UTF-8 (it looks like ${what})`, {
      hint: "save it as UTF-8",
      cause,
    });
  }
}
