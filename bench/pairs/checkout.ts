/**
 * Another checkout (or this one), seen from outside: its version and packages, and its doors, which are imported from
 * where its package.json says they are.
 *
 * What a door lacks is said in one sentence: an older commit may not have what is measured.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, realpathSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { UserError } from "../../runtime/common/errors.ts";
import type { Facts } from "../facts.ts";

interface Manifest {
  readonly name?: string;
  readonly version?: string;
  readonly exports?: Readonly<Record<string, unknown>>;
  readonly bin?: string | Readonly<Record<string, string>>;
  readonly dependencies?: Readonly<Record<string, string>>;
}

/** The checkout cannot do what is asked; the message is a sentence about it. */
export class Missing extends Error {
  override readonly name: string = "Missing";
}

export class Checkout {
  /** The folder, without links in its path: kernels are found by the path of their file. */
  readonly root: string;
  readonly #manifest: Manifest;

  /** @throws UserError when the folder is no checkout of this package. */
  constructor(folder: string) {
    if (!existsSync(folder) || !statSync(folder).isDirectory()) throw new UserError(`${folder}: no such folder`);
    this.root = realpathSync(folder);
    const file = join(this.root, "package.json");
    let manifest: Manifest | undefined;
    try {
      manifest = JSON.parse(readFileSync(file, "utf8")) as Manifest;
    } catch {
      // Said below.
    }
    if (manifest?.name !== "tilestate") {
      throw new UserError(`${folder}: expected a checkout of tilestate, whose package.json has its name`, {
        hint: "make one with: git worktree add DIR COMMIT, and npm ci in it",
      });
    }
    this.#manifest = manifest;
  }

  /** Version, commit and packages. */
  facts(): Facts {
    const facts: Record<string, string> = { tilestate: this.#manifest.version ?? "without a version" };
    const commit = this.#git("rev-parse", "--short=10", "HEAD");
    // A folder within another repository has no commit of its own.
    if (commit !== undefined && this.#git("rev-parse", "--show-prefix") === "") {
      facts.commit = commit;
      facts["working tree"] = this.#git("status", "--porcelain") === "" ? "as committed" : "with changes";
    }
    for (const [name, version] of Object.entries(this.packages())) facts[`package ${name}`] = version;
    return facts;
  }

  /** Versions of the packages it depends on, as installed. */
  packages(): Readonly<Record<string, string>> {
    const require = createRequire(join(this.root, "package.json"));
    const versions: Record<string, string> = {};
    for (const name of Object.keys(this.#manifest.dependencies ?? {})) {
      for (const folder of require.resolve.paths(name) ?? []) {
        const file = join(folder, name, "package.json");
        if (!existsSync(file)) continue;
        versions[name] = (JSON.parse(readFileSync(file, "utf8")) as Manifest).version ?? "?";
        break;
      }
    }
    return versions;
  }

  /** @throws UserError when packages are missing. */
  checkInstalled(): void {
    const there = this.packages();
    const missing = Object.keys(this.#manifest.dependencies ?? {}).filter((name) => there[name] === undefined);
    if (missing.length > 0) {
      throw new UserError(`${this.root}: these packages are not installed: ${missing.join(", ")}`, {
        hint: "run npm ci in that folder",
      });
    }
  }

  /** The file of the command, if there is one. */
  command(): string | undefined {
    const { bin } = this.#manifest;
    const file = typeof bin === "string" ? bin : bin?.tilestate;
    return file !== undefined && existsSync(join(this.root, file)) ? join(this.root, file) : undefined;
  }

  /** The file that is imported as `tilestate/NAME`, in the checkout's sources where it has them. */
  doorFile(name: string): string {
    const source = join(this.root, name, "index.ts");
    if (existsSync(source)) return source;
    const file = targetOf(this.#manifest.exports?.[`./${name}`]);
    if (file === undefined || !existsSync(join(this.root, file))) throw new Missing(`it has no "tilestate/${name}"`);
    return join(this.root, file);
  }

  /** Imports a door. The types are those of this checkout, so `need` what is used of it. */
  async door<T>(name: string): Promise<T> {
    return (await import(/* @vite-ignore */ pathToFileURL(this.doorFile(name)).href)) as T;
  }

  /**
   * Imports a file that is no door, by its path in the checkout; of several, those it has had over time, the first that
   * is there.
   */
  async file<T>(...paths: readonly [string, ...string[]]): Promise<T> {
    const path = paths.find((one) => existsSync(join(this.root, one)));
    if (path === undefined) throw new Missing(`it has no ${paths[0]}`);
    return (await import(/* @vite-ignore */ pathToFileURL(join(this.root, path)).href)) as T;
  }

  #git(...args: string[]): string | undefined {
    const { status, stdout } = spawnSync("git", ["-C", this.root, ...args], { encoding: "utf8" });
    return status === 0 ? stdout.trim() : undefined;
  }
}

/** The file of an entry of `exports`, for an import. */
function targetOf(entry: unknown): string | undefined {
  if (typeof entry === "string") return entry;
  if (typeof entry !== "object" || entry === null) return undefined;
  const { import: forImport, default: otherwise } = entry as Readonly<Record<string, unknown>>;
  return targetOf(forImport) ?? targetOf(otherwise);
}

/** Checks that an object has these functions. */
export function need(object: unknown, what: string, ...names: readonly string[]): void {
  for (const name of names) {
    const found = (object as Readonly<Record<string, unknown>> | undefined)?.[name];
    if (typeof found !== "function") throw new Missing(`its ${what} has no ${name}()`);
  }
}
