/**
 * The artefact cache: tile programs on disk, so that a second run loads neither ts-morph nor TypeScript.
 *
 * An entry is found by the kernel file and the names wanted, and is good while every file that was read still has the
 * same hash and the compiler's front half is the same. Entries are written to a temporary name and renamed, so that
 * concurrent processes see all or nothing; they carry a hash of themselves and are verified when read, and whatever is
 * not in order is as good as not there. The folder is known by a CACHEDIR.TAG, and in it only files of our own form are
 * ours: others are neither counted nor touched.
 */

import { fs, path } from "../host/fs.ts";
import { sha256 } from "../host/hash.ts";
import { cacheRoot, makeFolder, readText, removeFile, writeWhole } from "../host/paths.ts";
import type { TileProgram } from "../ir/tile/program.ts";
import { verify } from "../ir/tile/verify.ts";
import { wellFormed } from "../ir/tile/well-formed.ts";
import { fingerprint } from "./fingerprint.ts";

/** Bytes of all entries beyond which those that were used longest ago are removed. */
const MOST_BYTES = 64 << 20;
/** Names of our folder, the usual one first: the other is for where the user has a folder of that name. */
const FOLDERS: readonly string[] = ["kernels", "tilestate-kernels"];
const TAG = "CACHEDIR.TAG";
/** The first line is that of https://bford.info/cachedir, by which programs for backups know caches. */
const TAG_TEXT = `Signature: 8a477f597d28d172789f06886806bc55
# Kernels that tilestate has compiled: all of it can be removed at any time.
`;
const ENTRY = /^[0-9a-f]{64}\.json$/;
const DRAFT = /^[0-9a-f]{64}\.json\.\d+\.[0-9a-z]+$/;
/** As entries were called before they carried a hash: a folder of them is ours. */
const EARLIER = /^[0-9a-f]{24}\.json$/;
/** A draft this old (milliseconds) was left behind by a process that has died. */
const STALE = 24 * 60 * 60 * 1000;

export interface Artefact {
  readonly compiler: string;
  readonly sources: readonly { readonly file: string; readonly hash: string }[];
  readonly programs: readonly TileProgram[];
}

/** The first 96 bits of a text's hash. */
export function hashOf(text: string): string {
  return sha256(text).slice(0, 24);
}

/** Where this machine keeps compiled kernels; undefined where nothing is kept. */
export function cacheFolder(): string | undefined {
  const root = cacheRoot();
  if (root === undefined) return undefined;
  return FOLDERS.map((name) => path().join(root, name)).find(isOurs);
}

/** Where this machine keeps what the tuner found (runtime/tuning/tuned.ts). */
export function tuningFolder(): string | undefined {
  const root = cacheRoot();
  return root === undefined ? undefined : path().join(root, "tuning");
}

/** A folder with our tag, one of our files alone, or none yet. */
function isOurs(folder: string): boolean {
  if (readText(path().join(folder, TAG), 10_000) === TAG_TEXT) return true;
  try {
    return fs()
      .readdirSync(folder)
      .every((name) => [ENTRY, DRAFT, EARLIER].some((form) => form.test(name)));
  } catch (error) {
    return (error as { readonly code?: string }).code === "ENOENT";
  }
}

/** What an entry is about: the file and the names wanted, which decide its name. */
function keyOf(file: string, names: readonly string[]): string {
  return [file, ...names].join("\0");
}

function entryPath(key: string): string | undefined {
  const folder = cacheFolder();
  return folder === undefined ? undefined : path().join(folder, `${sha256(key)}.json`);
}

/** True when every source still has the text it was compiled from. */
export function isFresh(artefact: Pick<Artefact, "sources">): boolean {
  try {
    return artefact.sources.every((s) => hashOf(fs().readFileSync(s.file, "utf8")) === s.hash);
  } catch {
    return false;
  }
}

/** The cached programs of a file, if they are still right. Being found makes an entry new again for `trim`. */
export function lookUp(file: string, names: readonly string[]): readonly TileProgram[] | undefined {
  const key = keyOf(file, names);
  const entry = entryPath(key);
  const text = entry === undefined ? undefined : readText(entry, MOST_BYTES);
  if (entry === undefined || text === undefined) return undefined;
  try {
    const artefact = unsealed(key, text);
    if (artefact === undefined || artefact.compiler !== fingerprint() || !isFresh(artefact)) return undefined;
    const programs = artefact.programs.map((p) => verify(wellFormed(p), "cache"));
    touch(entry);
    return programs;
  } catch {
    return undefined;
  }
}

/** Text of an entry: the artefact behind a hash of it and of what it is about. */
function sealed(key: string, artefact: Artefact): string {
  const body = JSON.stringify(artefact);
  return `${headOf(key, body)}${body}}\n`;
}

function headOf(key: string, body: string): string {
  return `{"hash":"${sha256(`${key}\0${body}`)}","artefact":`;
}

/** The artefact in the text of an entry; undefined where the two do not fit, as after a crash, an edit or a copy. */
function unsealed(key: string, text: string): Artefact | undefined {
  const start = headOf(key, "").length;
  const body = text.slice(start, -2);
  return `${headOf(key, body)}${body}}\n` === text ? (JSON.parse(body) as Artefact) : undefined;
}

function touch(entry: string): void {
  try {
    const now = new Date();
    fs().utimesSync(entry, now, now);
  } catch {
    // A cache that is only read keeps the times it has.
  }
}

/** Keeps programs for the next run. A cache that cannot be written is no error. */
export function keep(file: string, names: readonly string[], artefact: Artefact): void {
  try {
    const key = keyOf(file, names);
    const entry = entryPath(key);
    if (entry === undefined) return;
    tag(path().dirname(entry));
    writeWhole(entry, sealed(key, artefact));
    trim();
  } catch {
    // The next run compiles again.
  }
}

/** Makes the folder with its tag. */
function tag(folder: string): void {
  makeFolder(folder);
  const file = path().join(folder, TAG);
  if (!fs().existsSync(file)) writeWhole(file, TAG_TEXT);
}

/** Entries of the cache, the one that was used last first. */
export function cacheEntries(): { path: string; bytes: number; modified: number }[] {
  return filesLike(ENTRY).sort((a, b) => b.modified - a.modified);
}

/** Ordinary files of a form in our folder. */
function filesLike(form: RegExp): { path: string; bytes: number; modified: number }[] {
  const folder = cacheFolder();
  if (folder === undefined) return [];
  let names: string[];
  try {
    names = fs().readdirSync(folder);
  } catch {
    return [];
  }
  return names.flatMap((name) => {
    if (!form.test(name)) return [];
    const file = path().join(folder, name);
    try {
      const s = fs().lstatSync(file);
      return s.isFile() ? [{ path: file, bytes: s.size, modified: s.mtimeMs }] : [];
    } catch {
      // Another process has removed it.
      return [];
    }
  });
}

/** Removes every entry and draft of the artefact cache; says how many entries there were. */
export function clearCache(): number {
  const entries = cacheEntries();
  for (const { path: file } of [...entries, ...filesLike(DRAFT)]) fs().rmSync(file, { force: true });
  return entries.length;
}

function trim(): void {
  let total = 0;
  for (const e of cacheEntries()) {
    total += e.bytes;
    if (total > MOST_BYTES) removeFile(e.path);
  }
  for (const d of filesLike(DRAFT)) if (Date.now() - d.modified > STALE) removeFile(d.path);
}
