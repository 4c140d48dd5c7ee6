/**
 * What the compiler's front half is, as one word: artefacts carry it, and count only for the very same one.
 *
 * It is a hash of all files of the rooms of the front end and of those that it stands on, and of the version of what
 * reads TypeScript. Which rooms these are follows from the table of rooms (scripts/rooms/table.ts), and a test holds
 * the list to it. It is made when an artefact is first looked for. A build that leaves no source behind replaces this
 * module by one whose `fingerprint` returns a constant made here.
 */

import { fs, path, pathOf } from "../host/fs.ts";
import { sha256 } from "../host/hash.ts";

/** The fingerprint where the source is not on disk, as in a program packed into one file. */
export const PACKED = "packed";

/** Folders of `compiler/` whose files decide what a kernel compiles to; folders in them are named by themselves. */
export const FRONT: readonly string[] = [
  "frontend",
  "frontend/lower",
  "frontend/races",
  "frontend/read",
  "host",
  "ir",
  "ir/tile",
  "passes/analysis",
];
/** The package that the front end reads TypeScript with. */
const READER = "ts-morph";

let known: string | undefined;

/** What the front half is: a hash of its files and of the versions of the packages that it imports. */
export function fingerprint(): string {
  known ??= made() ?? PACKED;
  return known;
}

function made(): string | undefined {
  const root = pathOf(new URL("../", import.meta.url).href);
  if (root === undefined || !fs().existsSync(path().join(root, "frontend"))) return undefined;
  try {
    const parts = frontFiles(root).flatMap((name) => [
      Buffer.from(`\0${name}\n`),
      fs().readFileSync(`${root}/${name}`),
    ]);
    return sha256(Buffer.concat([Buffer.from(versionsOf(READER, root).sort().join("\0")), ...parts])).slice(0, 24);
  } catch {
    return undefined;
  }
}

/** The files of the front half, as paths below the folder of the compiler with "/" between their parts, sorted. */
export function frontFiles(root: string): readonly string[] {
  const { join } = path();
  return FRONT.flatMap((room) =>
    fs()
      .readdirSync(join(root, room))
      .filter((name) => /\.[jt]s$/.test(name) && !name.endsWith(".d.ts"))
      .map((name) => `${room}/${name}`),
  ).sort();
}

/** The version of a package and those of what it depends on: TypeScript comes inside of another one. */
function versionsOf(name: string, from: string): string[] {
  try {
    const folder = folderOf(name, from);
    const { version, dependencies = {} } = manifest(folder);
    const within = folder;
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

/** Where a package lies that a file in this folder imports. */
function folderOf(name: string, from: string): string {
  const { dirname, join } = path();
  for (let at = from; ; at = dirname(at)) {
    const folder = join(at, "node_modules", name);
    if (fs().existsSync(join(folder, "package.json"))) return fs().realpathSync(folder);
    if (dirname(at) === at) throw new Error(`the package ${name} is not installed`);
  }
}
