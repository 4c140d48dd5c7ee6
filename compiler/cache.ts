/**
 * The artefact cache: tile programs on disk, so that a second run loads neither ts-morph nor TypeScript.
 *
 * An entry is found by the kernel file and the names wanted, and is good while every file that was read still has the same hash and the compiler's front half
 * is the same. Entries are written to a temporary name and renamed, so that concurrent processes see all or nothing.
 */
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import type { TileProgram } from "./ir.ts";

/** Bytes of all entries beyond which the oldest are removed. */
const MOST_BYTES = 64 << 20;
/** Files whose text decides what tile programs come out. */
const FRONT: readonly string[] = ["builder", "convert", "ir", "lib", "lower", "source", "words", "verify"];

export interface Artefact {
  readonly compiler: string;
  readonly sources: readonly { readonly file: string; readonly hash: string }[];
  readonly programs: readonly TileProgram[];
}

export function hashOf(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 24);
}

let fingerprint: string | undefined;

/** What the compiler's front half is; "packed" where its source is not on disk. */
export function compilerVersion(): string {
  if (fingerprint !== undefined) return fingerprint;
  try {
    fingerprint = hashOf(
      FRONT.map((f) => readFileSync(fileURLToPath(new URL(`./${f}.ts`, import.meta.url)), "utf8")).join("\0"),
    );
  } catch {
    fingerprint = "packed";
  }
  return fingerprint;
}

/** Where this machine keeps compiled kernels; TILESTATE_CACHE moves it, "off" turns it off. */
export function cacheFolder(): string | undefined {
  const set = process.env.TILESTATE_CACHE;
  if (set === "off") return undefined;
  if (set !== undefined && set !== "") return join(set, "kernels");
  const base = process.env.XDG_CACHE_HOME ?? (homedir() ? join(homedir(), ".cache") : tmpdir());
  return join(base, "tilestate", "kernels");
}

function entryPath(file: string, names: readonly string[]): string | undefined {
  const folder = cacheFolder();
  return folder === undefined ? undefined : join(folder, `${hashOf([file, ...names].join("\0"))}.json`);
}

/** True when every source still has the text it was compiled from. */
export function isFresh(artefact: Artefact): boolean {
  try {
    return artefact.sources.every((s) => hashOf(readFileSync(s.file, "utf8")) === s.hash);
  } catch {
    return false;
  }
}

/** The cached programs of a file, if they are still right. */
export function lookUp(file: string, names: readonly string[]): readonly TileProgram[] | undefined {
  const path = entryPath(file, names);
  if (path === undefined) return undefined;
  try {
    const artefact = JSON.parse(readFileSync(path, "utf8")) as Artefact;
    return artefact.compiler === compilerVersion() && isFresh(artefact) ? artefact.programs : undefined;
  } catch {
    return undefined;
  }
}

/** Keeps programs for the next run. A cache that cannot be written is no error. */
export function keep(file: string, names: readonly string[], artefact: Artefact): void {
  const path = entryPath(file, names);
  const folder = cacheFolder();
  if (path === undefined || folder === undefined) return;
  try {
    mkdirSync(folder, { recursive: true });
    const draft = `${path}.${process.pid}.${Math.random().toString(36).slice(2)}`;
    writeFileSync(draft, JSON.stringify(artefact));
    renameSync(draft, path);
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
    return readdirSync(folder)
      .map((name) => {
        const path = join(folder, name);
        const s = statSync(path);
        return { path, bytes: s.size, modified: s.mtimeMs };
      })
      .sort((a, b) => b.modified - a.modified);
  } catch {
    return [];
  }
}

/** Removes every entry; says how many there were. */
export function clearCache(): number {
  const entries = cacheEntries();
  for (const e of entries) rmSync(e.path, { force: true });
  return entries.length;
}

function trim(): void {
  let total = 0;
  for (const e of cacheEntries()) {
    total += e.bytes;
    if (total > MOST_BYTES) rmSync(e.path, { force: true });
  }
}
