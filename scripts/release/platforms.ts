/**
 * One package a platform: Dawn's binary for it, cut from npm `webgpu`, which carries those of all platforms (132 MB),
 * and on Linux x86-64 SwiftShader, which comes inside of a browser (64 MB). Licences and notices stay with them.
 *
 * On Windows Dawn comes with the compilers of shaders that Direct3D needs, more than a tarball may weigh. There the
 * libraries are packed, and unpacked into the cache folder on first use (runtime/adapters/unpack.ts).
 */
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { brotliCompress, constants } from "node:zlib";
import { CONTENTS_FILE } from "../../runtime/adapters/unpack.ts";

export interface Platform {
  readonly os: string;
  /** None where one binary serves all. */
  readonly cpu: string | undefined;
  /** The C library, where there are several. */
  readonly libc?: string;
  /** Folder of the binary in npm `webgpu`. */
  readonly folder: string;
  readonly software?: true;
  /** Its libraries are packed, each on its own. */
  readonly packed?: true;
}

export const PLATFORMS: readonly Platform[] = [
  { os: "linux", cpu: "x64", libc: "glibc", folder: "linux-x64", software: true },
  { os: "linux", cpu: "arm64", libc: "glibc", folder: "linux-arm64" },
  { os: "darwin", cpu: undefined, folder: "darwin-universal" },
  { os: "win32", cpu: "x64", folder: "win32-x64", packed: true },
  { os: "win32", cpu: "arm64", folder: "win32-arm64", packed: true },
];

/** `tilestate-linux-x64`; runtime/platform.ts finds it by this name. */
export function packageOf({ os, cpu }: Pick<Platform, "os" | "cpu">): string {
  return cpu === undefined ? `tilestate-${os}` : `tilestate-${os}-${cpu}`;
}

/** The package.json of one platform's package. */
export function platformManifest(
  version: string,
  platform: Platform,
): { readonly name: string; readonly version: string; readonly [field: string]: unknown } {
  const name = packageOf(platform);
  return {
    name,
    version,
    description: `The native part of tilestate for ${platform.os}${platform.cpu === undefined ? "" : ` on ${platform.cpu}`}: Dawn${platform.software ? " and SwiftShader" : ""}`,
    license: "SEE LICENSE IN NOTICE.txt",
    type: "module",
    os: [platform.os],
    ...(platform.cpu === undefined ? {} : { cpu: [platform.cpu] }),
    ...(platform.libc === undefined ? {} : { libc: [platform.libc] }),
    exports: {
      ".": { types: "./types.d.ts", default: "./index.js" },
      // For single executables, which carry it inside.
      ...(platform.packed
        ? {}
        : { "./dawn.node": { types: "./dawn.d.ts", default: `./dist/${platform.folder}/dawn.node` } }),
      "./package.json": "./package.json",
    },
  };
}

/** The entry of a package whose libraries are packed: tilestate finds the package by it. */
const PACKED_ENTRY =
  "// The libraries in dist/ are packed: tilestate/runtime unpacks them when a GPU is opened.\nexport {};\n";

/** Writes the folder of one platform's package below `out`, and returns its path. */
export async function cutPlatform(root: string, out: string, version: string, platform: Platform): Promise<string> {
  const dawn = join(root, "node_modules/webgpu");
  const name = packageOf(platform);
  const folder = join(out, name);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const dawnVersion = versionOf(dawn);
  cpSync(join(dawn, "dist", platform.folder), join(folder, "dist", platform.folder), { recursive: true });
  if (platform.packed) {
    await packLibraries(join(folder, "dist", platform.folder), join(root, ".cache/packed"));
    writeFileSync(join(folder, "index.js"), PACKED_ENTRY);
    writeFileSync(join(folder, "types.d.ts"), "export {};\n");
  } else {
    for (const file of ["index.js", "types.d.ts"]) cpSync(join(dawn, file), join(folder, file));
    writeFileSync(
      join(folder, "dawn.d.ts"),
      'declare const dawn: import("tilestate/runtime").DawnModule;\nexport default dawn;\n',
    );
  }
  cpSync(join(dawn, "LICENSE.md"), join(folder, "LICENSE-dawn.md"));
  const notices = [`Dawn (dist/): Dawn's binding for Node, from npm webgpu ${dawnVersion}; LICENSE-dawn.md.`];
  if (platform.software) {
    const browser = join(root, "node_modules/@sparticuz/chromium");
    if (!existsSync(browser)) throw new Error("@sparticuz/chromium is not installed: SwiftShader is taken from it");
    cpSync(join(browser, "bin/swiftshader.tar.br"), join(folder, "swiftshader.tar.br"));
    cpSync(join(browser, "LICENSE"), join(folder, "LICENSE-chromium-package.txt"));
    notices.push(
      `SwiftShader (swiftshader.tar.br): Copyright The SwiftShader Authors, Apache License 2.0 (https://www.apache.org/licenses/LICENSE-2.0),`,
      `  as built for npm @sparticuz/chromium ${versionOf(browser)}; LICENSE-chromium-package.txt is that package's own licence.`,
    );
  }
  writeFileSync(join(folder, "NOTICE.txt"), `${notices.join("\n")}\n`);
  writeFileSync(
    join(folder, "README.md"),
    `# ${name}\n\nThe native part of [tilestate](https://www.npmjs.com/package/tilestate) for ${platform.os}${platform.cpu === undefined ? "" : ` on ${platform.cpu}`}. It is installed with it.\n`,
  );
  const manifest = platformManifest(version, platform);
  writeFileSync(join(folder, "package.json"), `${JSON.stringify(manifest, undefined, 2)}\n`);
  return folder;
}

function versionOf(folder: string): string {
  return (JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as { version: string }).version;
}

const LIBRARY = /\.(node|dll)$/;
const QUALITY = 10;

/**
 * Puts NAME.br in the place of each library of a folder. Packing takes half a minute, so what was packed before is kept
 * in `cache`.
 */
async function packLibraries(folder: string, cache: string): Promise<void> {
  mkdirSync(cache, { recursive: true });
  const libraries = readdirSync(folder).filter((file) => LIBRARY.test(file));
  const contents: Record<string, { bytes: number; sha256: string }> = {};
  await Promise.all(
    libraries.map(async (file) => {
      const bytes = readFileSync(join(folder, file));
      const sha256 = createHash("sha256").update(bytes).digest("hex");
      contents[file] = { bytes: bytes.length, sha256 };
      const kept = join(cache, `${sha256}-${QUALITY}.br`);
      if (!existsSync(kept)) {
        const { BROTLI_PARAM_QUALITY, BROTLI_PARAM_LGWIN, BROTLI_PARAM_SIZE_HINT, BROTLI_MAX_WINDOW_BITS } = constants;
        const params = {
          [BROTLI_PARAM_QUALITY]: QUALITY,
          [BROTLI_PARAM_LGWIN]: BROTLI_MAX_WINDOW_BITS,
          [BROTLI_PARAM_SIZE_HINT]: bytes.length,
        };
        const draft = `${kept}.${process.pid}`;
        writeFileSync(draft, await promisify(brotliCompress)(bytes, { params }));
        renameSync(draft, kept);
      }
      cpSync(kept, join(folder, `${file}.br`));
      rmSync(join(folder, file));
    }),
  );
  writeFileSync(join(folder, CONTENTS_FILE), `${JSON.stringify(contents, undefined, 2)}\n`);
}
