/**
 * The artefact cache: tile programs on disk, so that a second run loads neither ts-morph nor TypeScript.
 *
 * An entry is found by the kernel file and the names wanted, and is good while every file that was read still has the same hash and the compiler's front half
 * is the same. Entries are written to a temporary name and renamed, so that concurrent processes see all or nothing.
 */
import type { TileProgram } from "./ir.ts";
import { fs, hasFiles, os, path, pathOf, sha256 } from "./node.ts";

/** Bytes of all entries beyond which the oldest are removed. */
const MOST_BYTES = 64 << 20;
/** Files whose text decides what tile programs come out. */
const FRONT: readonly string[] = [
  "builder",
  "compile",
  "convert",
  "find-kernels",
  "ir",
  "kinds",
  "lib",
  "lower",
  "lower-access",
  "lower-expressions",
  "lower-loops",
  "lower-statements",
  "lowering",
  "order",
  "param-types",
  "prune",
  "source",
  "statics",
  "unpack",
  "verify",
  "words",
  "words-topk",
];

export interface Artefact {
  readonly compiler: string;
  readonly sources: readonly { readonly file: string; readonly hash: string }[];
  readonly programs: readonly TileProgram[];
}

export function hashOf(text: string): string {
  return sha256(text);
}

let fingerprint: string | undefined;

/** What the compiler's front half is; "packed" where its source is not on disk. */
export function compilerVersion(): string {
  if (fingerprint !== undefined) return fingerprint;
  try {
    fingerprint = hashOf(
      FRONT.map((f) => fs().readFileSync(pathOf(new URL(`./${f}.ts`, import.meta.url).href) ?? "", "utf8")).join("\0"),
    );
  } catch {
    fingerprint = "packed";
  }
  return fingerprint;
}

/** The folder of everything this machine keeps for us; TILESTATE_CACHE moves it, "off" turns it off. */
export function cacheRoot(): string | undefined {
  if (!hasFiles()) return undefined;
  const set = process.env.TILESTATE_CACHE;
  if (set === "off") return undefined;
  if (set !== undefined && set !== "") return set;
  const home = os().homedir();
  const base = process.env.XDG_CACHE_HOME ?? (home ? path().join(home, ".cache") : os().tmpdir());
  return path().join(base, "tilestate");
}

/** Where this machine keeps compiled kernels. */
export function cacheFolder(): string | undefined {
  const root = cacheRoot();
  return root === undefined ? undefined : path().join(root, "kernels");
}

/** Where this machine keeps what the tuner found (runtime/tuned.ts). */
export function tuningFolder(): string | undefined {
  const root = cacheRoot();
  return root === undefined ? undefined : path().join(root, "tuning");
}

function entryPath(file: string, names: readonly string[]): string | undefined {
  const folder = cacheFolder();
  return folder === undefined ? undefined : path().join(folder, `${hashOf([file, ...names].join("\0"))}.json`);
}

/** True when every source still has the text it was compiled from. */
export function isFresh(artefact: Pick<Artefact, "sources">): boolean {
  try {
    return artefact.sources.every((s) => hashOf(fs().readFileSync(s.file, "utf8")) === s.hash);
  } catch {
    return false;
  }
}

/** The cached programs of a file, if they are still right. */
export function lookUp(file: string, names: readonly string[]): readonly TileProgram[] | undefined {
  const entry = entryPath(file, names);
  if (entry === undefined) return undefined;
  try {
    const artefact = JSON.parse(fs().readFileSync(entry, "utf8")) as Artefact;
    return artefact.compiler === compilerVersion() && isFresh(artefact) ? artefact.programs : undefined;
  } catch {
    return undefined;
  }
}

/** Writes a file under a temporary name and renames it, so that readers see all of it or nothing; makes its folder. */
export function writeWhole(file: string, text: string): void {
  fs().mkdirSync(path().dirname(file), { recursive: true });
  const draft = `${file}.${process.pid}.${Math.random().toString(36).slice(2)}`;
  fs().writeFileSync(draft, text);
  fs().renameSync(draft, file);
}

/** Keeps programs for the next run. A cache that cannot be written is no error. */
export function keep(file: string, names: readonly string[], artefact: Artefact): void {
  const entry = entryPath(file, names);
  if (entry === undefined) return;
  try {
    writeWhole(entry, JSON.stringify(artefact));
    trim();
  } catch {
    // The next run compiles again.
  }
}

/** Entries of the cache, newest first. */
export function cacheEntries(): { path: string; bytes: number; modified: number }[] {
  const folder = cacheFolder();
  if (folder === undefined) return [];
  try {
    return fs()
      .readdirSync(folder)
      .map((name) => {
        const entry = path().join(folder, name);
        const s = fs().statSync(entry);
        return { path: entry, bytes: s.size, modified: s.mtimeMs };
      })
      .sort((a, b) => b.modified - a.modified);
  } catch {
    return [];
  }
}

/** Removes every entry; says how many there were. */
export function clearCache(): number {
  const entries = cacheEntries();
  for (const e of entries) fs().rmSync(e.path, { force: true });
  return entries.length;
}

function trim(): void {
  let total = 0;
  for (const e of cacheEntries()) {
    total += e.bytes;
    if (total > MOST_BYTES) fs().rmSync(e.path, { force: true });
  }
}
