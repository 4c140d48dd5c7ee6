/**
 * Files on a web server, read by ranges of bytes (RFC 9110, 14): in browsers, and wherever there is `fetch`.
 *
 * The first request of a file asks for its beginning, which tells its length and is all there is of most files. A
 * server that knows no ranges sends the whole file at once; it is kept then, since asking again would bring all of it
 * again.
 */

import { UserError } from "../../runtime/common/errors.ts";
import { type ByteSource, checkRange, type Folder, memoryBytes, message } from "./bytes.ts";

/** Bytes that the first request of a file asks for. */
const FIRST: number = 64 << 10;

/** What is looked at of an answer, of which the platform's `Response` has more. */
export interface Answer {
  /** The number of the status, as 206. */
  readonly status: number;
  /** Its words, for messages; may be empty. */
  readonly statusText: string;
  /** Fields of the answer by name, in any case of letters. */
  readonly headers: { get(name: string): string | null };
  /** All of its bytes. */
  arrayBuffer(): Promise<ArrayBuffer>;
}

/** Fetches like the platform's `fetch`; what a program sets about its requests (a token, a cache) goes in here. */
export type Fetch = (url: string, init: { readonly headers: Readonly<Record<string, string>> }) => Promise<Answer>;

/**
 * A folder at a URL. The names of its files are not known beforehand, so its `list` is empty.
 * @param url its address; it may be relative in a browser
 * @param fetcher how to fetch; the platform's `fetch` unless given
 * @throws UserError for a URL of another scheme than http: and https:
 */
export function httpFolder(url: string | URL, fetcher: Fetch = fetch): Folder {
  const base = absolute(url);
  if (!base.pathname.endsWith("/")) base.pathname += "/";
  const path = (name: string): string => {
    const file = new URL(base);
    file.pathname += encodeURIComponent(name);
    return file.href;
  };
  return {
    where: base.href,
    name: decodeURIComponent(base.pathname.split("/").at(-2) || base.hostname),
    path,
    open: (name) => openUrl(path(name), fetcher),
    list: async () => [],
  };
}

function absolute(url: string | URL): URL {
  const { location } = globalThis as { readonly location?: { readonly href: string } };
  let found: URL;
  try {
    found = new URL(url, location?.href);
  } catch (cause) {
    throw new UserError(`${url}: not a URL (${message(cause)})`, { cause });
  }
  if (found.protocol !== "http:" && found.protocol !== "https:")
    throw new UserError(`${url}: expected the URL of a folder on a web server, http: or https:`);
  return found;
}

async function openUrl(url: string, fetcher: Fetch): Promise<ByteSource | undefined> {
  const { response, bytes } = await ask(url, fetcher, 0, FIRST);
  // A resource that nobody has, or nobody is told of.
  if (response.status === 404 || response.status === 410) return undefined;
  if (response.status === 200) return memoryBytes(url, bytes);
  const size = sizeOf(url, response);
  if (response.status === 416 && size === 0) return memoryBytes(url, new Uint8Array());
  if (response.status !== 206) throw refused(url, response);
  const wanted = Math.min(FIRST, size);
  if (bytes.length !== wanted) throw truncated(url, 0, wanted, bytes.length);
  if (bytes.length === size) return memoryBytes(url, bytes);
  return {
    where: url,
    size,
    read: (offset, length) => readRange(url, fetcher, { size, begin: bytes }, offset, length),
  };
}

interface Known {
  readonly size: number;
  /** The first bytes. */
  readonly begin: Uint8Array;
}

async function readRange(
  url: string,
  fetcher: Fetch,
  { size, begin }: Known,
  offset: number,
  length: number,
): Promise<Uint8Array<ArrayBuffer>> {
  checkRange(url, size, offset, length);
  if (length === 0 || offset + length <= begin.length) return new Uint8Array(begin.subarray(offset, offset + length));
  const { response, bytes } = await ask(url, fetcher, offset, length);
  if (response.status !== 206) throw refused(url, response);
  const now = sizeOf(url, response);
  if (now !== size) throw new UserError(`${url}: changed while it was read: it had ${size} bytes, and has ${now} now`);
  if (bytes.length !== length) throw truncated(url, offset, length, bytes.length);
  return bytes;
}

/** One request of `length` bytes from `offset`, at least one, with its whole answer. */
async function ask(
  url: string,
  fetcher: Fetch,
  offset: number,
  length: number,
): Promise<{ readonly response: Answer; readonly bytes: Uint8Array<ArrayBuffer> }> {
  try {
    const response = await fetcher(url, { headers: { range: `bytes=${offset}-${offset + length - 1}` } });
    return { response, bytes: new Uint8Array(await response.arrayBuffer()) };
  } catch (cause) {
    throw new UserError(`${url}: cannot fetch (${message(cause)})`, { cause });
  }
}

/** The length of the whole file, which an answer with a part of it tells. */
function sizeOf(url: string, response: Answer): number {
  if (response.status !== 206 && response.status !== 416) return Number.NaN;
  const range = response.headers.get("content-range");
  const size = /^bytes (?:\d+-\d+|\*)\/(\d+)$/.exec(range ?? "")?.[1];
  if (size !== undefined) return Number(size);
  const hint = "a server of another origin has to name it in Access-Control-Expose-Headers";
  const got = range === null ? "none that this page may read" : JSON.stringify(range);
  throw new UserError(`${url}: expected a Content-Range that tells the file's length, got ${got}`, { hint });
}

function refused(url: string, response: Answer): UserError {
  const { status, statusText } = response;
  return new UserError(`${url}: expected a part of the file, got ${status} ${statusText}`.trimEnd());
}

function truncated(url: string, offset: number, length: number, got: number): UserError {
  return new UserError(`${url}: truncated while it was read: expected ${length} bytes at ${offset}, got ${got}`);
}
