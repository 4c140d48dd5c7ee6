/**
 * What the compiler's front half is, as one word: artefacts carry it, and count only for the very same one.
 *
 * Which files that are is not kept by hand. They are those that compile.ts imports, directly or through others (types are erased and decide nothing), and the
 * packages that they import, TypeScript above all, by their versions. A build that leaves no source behind replaces this module by one whose `fingerprint`
 * returns a constant made here.
 */

import { fs, path, pathOf } from "../host/fs.ts";
import { sha256 } from "../host/hash.ts";

/** The fingerprint where the source is not on disk, as in a program packed into one file. */
export const PACKED = "packed";

const FRONT_DOOR = "../frontend/index.ts";

let known: string | undefined;

/** What the front half is: a hash of its files and of the versions of the packages that it imports. */
export function fingerprint(): string {
  known ??= made() ?? PACKED;
  return known;
}

function made(): string | undefined {
  const door = pathOf(new URL(FRONT_DOOR, import.meta.url).href);
  if (door === undefined || !fs().existsSync(door)) return undefined;
  try {
    const { files, packages } = reachable(door);
    const { dirname, relative } = path();
    const parts = [...files].map(([file, text]) => `${relative(dirname(door), file)}\n${text}`).sort();
    const versions = [...packages].flatMap((name) => versionsOf(name, door)).sort();
    return sha256([...versions, ...parts].join("\0")).slice(0, 24);
  } catch {
    return undefined;
  }
}

/** Every file that `door` runs when it is imported, with its text, and the packages that they import. */
export function reachable(door: string): { files: ReadonlyMap<string, string>; packages: ReadonlySet<string> } {
  const { dirname, resolve } = path();
  const files = new Map<string, string>();
  const packages = new Set<string>();
  const visit = (file: string): void => {
    if (files.has(file)) return;
    const text = fs().readFileSync(file, "utf8");
    files.set(file, text);
    for (const specifier of importsOf(text)) {
      if (specifier.startsWith(".")) visit(resolve(dirname(file), specifier));
      else if (!specifier.startsWith("node:")) packages.add(specifier);
    }
  };
  visit(door);
  return { files, packages };
}

/** What a module imports, types aside. Statements begin their lines here, as everywhere in code that is formatted. */
function importsOf(text: string): string[] {
  const statements = text.matchAll(/^(?:import|export)(?!\s+type\b)\s[^;"]*?\bfrom\s*"([^"]+)"/gm);
  const bare = text.matchAll(/^import\s*"([^"]+)"/gm);
  const calls = text.matchAll(/\bimport\(\s*"([^"]+)"\s*\)/g);
  return [...statements, ...bare, ...calls].flatMap((m) => m[1] ?? []);
}

/** The version of a package and those of what it depends on: TypeScript comes inside of another one. */
function versionsOf(name: string, from: string): string[] {
  try {
    const folder = folderOf(name, from);
    const { version, dependencies = {} } = manifest(folder);
    const within = path().join(folder, "package.json");
    return [
      `${name}@${version}`,
      ...Object.keys(dependencies).map((other) => `${other}@${manifest(folderOf(other, within)).version}`),
    ];
  } catch {
    // Some runtimes can do without a folder of packages.
    return [`${name}@unknown`];
  }
}

interface Manifest {
  readonly version: string;
  readonly dependencies?: Readonly<Record<string, string>>;
}

function manifest(folder: string): Manifest {
  return JSON.parse(fs().readFileSync(path().join(folder, "package.json"), "utf8")) as Manifest;
}

/** Where a package lies that a file imports. */
function folderOf(name: string, from: string): string {
  const { dirname, join } = path();
  for (let at = dirname(from); ; at = dirname(at)) {
    const folder = join(at, "node_modules", name);
    if (fs().existsSync(join(folder, "package.json"))) return fs().realpathSync(folder);
    if (dirname(at) === at) throw new Error(`the package ${name} is not installed`);
  }
}
