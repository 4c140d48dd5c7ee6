/**
 * Folders for what a machine keeps for us, and writing into them.
 *
 * A folder that cannot be had is no error anywhere: without one nothing is kept. Only a library that is loaded from
 * disk must lie somewhere, and for that there is a private folder among the temporary files (`libraryRoots`).
 */
import { env } from "./env.ts";
import { fs, hasFiles, os, path } from "./fs.ts";

/**
 * The folder of everything this machine keeps for us; TILESTATE_CACHE moves it, "off" turns it off. Undefined where
 * there is none to be had.
 */
export function cacheRoot(): string | undefined {
  if (!hasFiles() || env("TILESTATE_CACHE") === "off") return undefined;
  const chosen = chosenRoot();
  return chosen ?? userRoot() ?? privateRoot();
}

/**
 * Where a library may be unpacked, best first. "off" is about compiled kernels: a library needs a place in any case.
 */
export function libraryRoots(): string[] {
  return [chosenRoot() ?? userRoot(), privateRoot()].flatMap((root) => root ?? []);
}

function chosenRoot(): string | undefined {
  const chosen = env("TILESTATE_CACHE");
  if (chosen === undefined || chosen === "off") return undefined;
  try {
    return path().resolve(chosen);
  } catch {
    // The current folder is gone, and the name was relative to it.
    return undefined;
  }
}

/** The user's cache, by the XDG base directory specification, which has relative names ignored. */
function userRoot(): string | undefined {
  const { isAbsolute, join } = path();
  const xdg = env("XDG_CACHE_HOME");
  if (xdg !== undefined && isAbsolute(xdg)) return join(xdg, "tilestate");
  const home = env("HOME") ?? homeOf();
  return home !== undefined && isAbsolute(home) ? join(home, ".cache", "tilestate") : undefined;
}

/** The home directory that the system knows; a user without an entry there, as in many containers, has none. */
function homeOf(): string | undefined {
  try {
    return os().homedir();
  } catch {
    return undefined;
  }
}

/**
 * A folder of ours among the temporary files, unless somebody else has prepared it: what is kept there decides what is
 * computed.
 */
function privateRoot(): string | undefined {
  try {
    const user = process.getuid?.();
    const folder = path().join(os().tmpdir(), `tilestate-${user ?? "user"}`);
    makeFolder(folder, 0o700);
    const state = fs().lstatSync(folder);
    // Windows has no such rights, and a folder for temporary files a user.
    if (process.platform === "win32") return state.isDirectory() ? folder : undefined;
    return state.isDirectory() && state.uid === user && (state.mode & 0o022) === 0 ? folder : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Makes a folder with all above it, as `mkdir -p` does. Node's own `recursive` never returns where a folder is there
 * and none can be made in it ("no such file", says /proc).
 * @param folder its path
 * @param mode rights of the folders that are made, less what the process masks
 * @throws what the file system says where a folder cannot be made
 */
export function makeFolder(folder: string, mode = 0o777): void {
  const { existsSync, mkdirSync } = fs();
  const { dirname } = path();
  const missing: string[] = [];
  for (let at = folder; !existsSync(at) && dirname(at) !== at; at = dirname(at)) missing.push(at);
  for (const each of missing.reverse()) {
    try {
      mkdirSync(each, { mode });
    } catch (error) {
      // Another process made it in the meantime.
      if ((error as { readonly code?: string }).code !== "EEXIST") throw error;
    }
  }
}

/**
 * Writes a file under a temporary name and renames it, so that readers see all of it or nothing; makes its folder.
 * Leaves nothing behind when it fails.
 * @param file its path
 * @param text what is written, as UTF-8
 * @throws what the file system says where it cannot be written
 */
export function writeWhole(file: string, text: string): void {
  makeFolder(path().dirname(file));
  const draft = `${file}.${process.pid}.${Math.random().toString(36).slice(2)}`;
  try {
    fs().writeFileSync(draft, text, { flag: "wx" });
    fs().renameSync(draft, file);
  } catch (error) {
    removeFile(draft);
    throw error;
  }
}

/** Removes a file, if that can be done. */
export function removeFile(file: string): boolean {
  try {
    fs().rmSync(file);
    return true;
  } catch {
    return false;
  }
}

/**
 * The text of an ordinary file; undefined for anything else, and for what cannot be read.
 * @param file its path
 * @param most most bytes that it may have
 */
export function readText(file: string, most: number): string | undefined {
  try {
    const state = fs().statSync(file);
    // What is no ordinary file (a pipe, a device) may never end.
    return state.isFile() && state.size <= most ? fs().readFileSync(file, "utf8") : undefined;
  } catch {
    return undefined;
  }
}
