/**
 * Where a machine keeps what was compiled, so that `warm` can say what it left and where: our own cache, the unpacked
 * software adapter, and the driver's cache.
 *
 * WebGPU tells nothing about the last one, and Dawn's binding for servers keeps none of its own. What is known of
 * Mesa's is in its documentation of environment variables and was tried with Mesa 25: the folder is made with all its
 * parents, and one that cannot be written is not read either.
 */
import { readdirSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { cacheEntries, cacheFolder } from "../../compiler/index.ts";
import type { Capabilities, Device } from "../../runtime/index.ts";

/** A folder and what is in it; no folder where nothing is kept. */
export interface Cache {
  readonly folder: string | undefined;
  readonly files: number;
  readonly bytes: number;
  /** For people: what it is, or why there is none. */
  readonly note: string;
}

export interface Caches {
  /** Compiled kernels that are not part of the package. */
  readonly kernels: Cache;
  /** The unpacked software adapter, where it is the one in use. */
  readonly embedded: Cache | undefined;
  readonly driver: Cache;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** The caches that a run on this device uses. */
export async function cachesOf(device: Pick<Device, "capabilities" | "origin">): Promise<Caches> {
  const entries = cacheEntries();
  const folder = cacheFolder();
  const note = folder === undefined ? "TILESTATE_CACHE is off" : "kernels of your own; the built-in ones come compiled";
  const bytes = entries.reduce((n, e) => n + e.bytes, 0);
  let embedded: Cache | undefined;
  if (device.origin === "embedded") {
    const { unpackEmbedded } = await import("../../runtime/adapters/swiftshader.ts");
    embedded = filled(unpackEmbedded(), "the embedded software adapter, unpacked");
  }
  const driver =
    device.origin === "null" ? none("none: the null backend runs nothing") : driverCache(device.capabilities);
  return {
    kernels: { folder, files: entries.length, bytes, note },
    embedded,
    driver,
  };
}

/** What the adapter's driver keeps on disk, as far as that can be known. */
export function driverCache(
  { name, vendor, architecture, description }: Pick<Capabilities, "name" | "vendor" | "architecture" | "description">,
  environment: Environment = process.env,
): Cache {
  const said = `${name} ${vendor} ${architecture} ${description}`.toLowerCase();
  if (said.includes("swiftshader"))
    return none("none: SwiftShader keeps nothing on disk, so every process compiles its kernels again");
  // Deno's own WebGPU does not give the name of the driver.
  if (!/mesa|llvmpipe/.test(said)) return none("the driver's own, if it has one: WebGPU does not tell");
  const off = ["MESA_SHADER_CACHE_DISABLE", "MESA_GLSL_CACHE_DISABLE"].find((name) => isOn(environment[name]));
  if (off !== undefined) return none(`none: Mesa's is turned off by ${off}`);
  const found = mesaFolders(environment).map((folder) => filled(folder, "Mesa's shaders"));
  const best = found.reduce((a, b) => (b.bytes > a.bytes ? b : a));
  if (best.bytes > 0) return best;
  return none(`none: Mesa has written nothing to ${best.folder}; can the folder be written?`);
}

function none(note: string): Cache {
  return { folder: undefined, files: 0, bytes: 0, note };
}

/**
 * Folders that Mesa may use, the default of today's first. Which one it takes depends on its version and on how it was
 * built.
 */
function mesaFolders(environment: Environment): string[] {
  const chosen = environment.MESA_SHADER_CACHE_DIR ?? environment.MESA_GLSL_CACHE_DIR;
  const root = chosen ?? environment.XDG_CACHE_HOME ?? join(environment.HOME ?? homedir(), ".cache");
  const named = isOn(environment.MESA_DISK_CACHE_MULTI_FILE)
    ? ["mesa_shader_cache"]
    : isOn(environment.MESA_DISK_CACHE_SINGLE_FILE)
      ? ["mesa_shader_cache_sf"]
      : ["mesa_shader_cache_db", "mesa_shader_cache"];
  return named.map((name) => join(root, name));
}

/** As Mesa reads its switches. */
function isOn(value: string | undefined): boolean {
  return value !== undefined && /^(1|true|t|yes|y)$/i.test(value);
}

/** Files and bytes below a folder; none where it cannot be read. */
function filled(folder: string, note: string): Cache {
  let [files, bytes] = [0, 0];
  const look = (path: string): void => {
    try {
      for (const entry of readdirSync(path, { withFileTypes: true })) {
        const inside = join(path, entry.name);
        if (entry.isDirectory()) look(inside);
        else {
          files++;
          bytes += statSync(inside).size;
        }
      }
    } catch {
      // Another process may have removed what was listed a moment ago.
    }
  };
  look(folder);
  return { folder, files, bytes, note };
}
