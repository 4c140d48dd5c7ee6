/**
 * The native part on disk: Dawn's binary for this platform, and the archive that SwiftShader comes in.
 *
 * In the package each platform has a package of its own, `tilestate-linux-x64` and its like, which is installed where
 * it fits and comes first. A checkout has npm `webgpu` with the binaries of all platforms, and SwiftShader inside of a
 * browser's package.
 */
import { UserError } from "../common/errors.ts";
import { PACKED } from "./unpack.ts";

/** A package with Dawn in it. */
export interface NativePart {
  readonly name: string;
  readonly version: string;
  /**
   * Dawn's binary; it may be missing. Where a package holds its libraries packed (unpack.ts), its name ends in `.br`,
   * as theirs do beside it.
   */
  readonly binary: string;
  readonly folder: string;
}

/** An archive with SwiftShader in it, and what names its contents. */
export interface SwiftShader {
  readonly archive: string;
  readonly version: string;
}

/** What carries the binaries of all platforms. */
export const ALL_PLATFORMS = "webgpu";

/** The name of a platform's own package. */
export function platformPackage(platform: string = process.platform, arch: string = process.arch): string {
  return platform === "darwin" ? "tilestate-darwin" : `tilestate-${platform}-${arch}`;
}

/** The package that Dawn is taken from; undefined when there is none. */
export function nativePart(): NativePart | undefined {
  const { platform, arch } = process;
  const { join } = process.getBuiltinModule("node:path");
  for (const name of [platformPackage(), ALL_PLATFORMS]) {
    const found = folderOf(name, ".");
    const build = `${platform}-${platform === "darwin" ? "universal" : arch}`;
    if (found === undefined) continue;
    const binary = join(found.folder, "dist", build, "dawn.node");
    const packed = binary + PACKED;
    const { existsSync } = process.getBuiltinModule("node:fs");
    return { name, ...found, binary: !existsSync(binary) && existsSync(packed) ? packed : binary };
  }
  return undefined;
}

/**
 * SwiftShader for a binary of Dawn's.
 * @throws UserError when it is not installed.
 */
export function swiftShaderFor(dawn: NativePart): SwiftShader {
  const { join } = process.getBuiltinModule("node:path");
  if (dawn.name !== ALL_PLATFORMS) return { archive: join(dawn.folder, "swiftshader.tar.br"), version: dawn.version };
  const browser = "@sparticuz/chromium";
  const found = folderOf(browser, "../..");
  if (found === undefined)
    throw new UserError(
      `the npm package ${browser} is not installed, and the embedded software adapter comes with it`,
      {
        hint: `npm install ${browser}, with its optional dependencies`,
      },
    );
  return { archive: join(found.folder, "bin", "swiftshader.tar.br"), version: found.version };
}

/** A package's folder (given from the folder of its entry file) and its version; undefined when it is not installed. */
function folderOf(name: string, fromEntry: string): { readonly folder: string; readonly version: string } | undefined {
  const path = process.getBuiltinModule("node:path");
  try {
    const require = process.getBuiltinModule("node:module").createRequire(import.meta.url);
    const folder = path.resolve(path.dirname(require.resolve(name)), fromEntry);
    const text = process.getBuiltinModule("node:fs").readFileSync(path.join(folder, "package.json"), "utf8");
    return { folder, version: (JSON.parse(text) as { version: string }).version };
  } catch {
    return undefined;
  }
}
