/**
 * Loading Dawn's module from the platform's package or npm `webgpu` (native-part.ts): where that fails, one sentence
 * says why and what to install.
 */
import { UserError } from "../common/errors.ts";
import { ALL_PLATFORMS, type NativePart, nativePart, platformPackage } from "./native-part.ts";
import { PACKED, readLibrary, unpack } from "./unpack.ts";

/** What a Dawn binary exports. */
export interface DawnModule {
  /**
   * Makes a WebGPU.
   * @param options Dawn's own, each as `name=value`
   */
  create(options: string[]): GPU;
}

/** Dawn itself is not there: no driver would help. */
export class NoDawn extends UserError {}

/** What is known of the machine when Dawn could not be loaded. */
export interface Machine {
  readonly platform: string;
  readonly arch: string;
  /** The C library is musl, as on Alpine. */
  readonly musl: boolean;
  /** The package that is there, if any. */
  readonly installed: string | undefined;
  /** Its binary for this platform is there. */
  readonly binary: boolean;
}

/** The platforms that npm `webgpu` has a binary for. */
const PLATFORMS: readonly string[] = [
  "linux-x64",
  "linux-arm64",
  "darwin-x64",
  "darwin-arm64",
  "win32-x64",
  "win32-arm64",
];

/** @throws NoDawn, which says what is missing. */
export async function importDawn(): Promise<DawnModule> {
  const part = nativePart();
  if (part?.binary.endsWith(PACKED)) return requireDawn(unpackDawn(part));
  // A variable, so that a bundler for browsers does not follow the import.
  const specifier = part?.name ?? ALL_PLATFORMS;
  try {
    return (await import(/* @vite-ignore */ specifier)) as DawnModule;
  } catch (cause) {
    throw noDawn(cause, thisMachine());
  }
}

/**
 * Unpacks Dawn's binary with the libraries that it looks for beside itself (on Windows, compilers of shaders), on first
 * use into the cache folder.
 * @returns the binary.
 * @throws NoDawn where no folder can be written, and when the package is damaged.
 */
function unpackDawn({ version, binary }: NativePart): string {
  const { basename, dirname, join } = process.getBuiltinModule("node:path");
  const from = dirname(binary);
  try {
    const packed = process
      .getBuiltinModule("node:fs")
      .readdirSync(from)
      .filter((file) => file.endsWith(PACKED));
    const folder = unpack({
      what: "its libraries",
      name: `dawn-${process.platform}-${process.arch}-${version}`,
      libraries: packed.map((file) => basename(file, PACKED)),
      contents: () => packed.map((file) => readLibrary(join(from, file))),
    });
    return join(folder, basename(binary, PACKED));
  } catch (cause) {
    if (!(cause instanceof UserError)) throw cause;
    throw new NoDawn(`Dawn could not be loaded: ${cause.message}`, { hint: cause.hint, cause });
  }
}

/** Loads a binary of Dawn's from a file. @throws NoDawn */
export function requireDawn(file: string): DawnModule {
  const require = process.getBuiltinModule("node:module").createRequire(import.meta.url);
  try {
    return require(file) as DawnModule;
  } catch (cause) {
    throw noDawn(cause, thisMachine());
  }
}

/** Why Dawn could not be loaded, and what to install. Exported for tests. */
export function noDawn(cause: unknown, { platform, arch, musl, installed, binary }: Machine): NoDawn {
  const said = (cause instanceof Error ? cause.message : String(cause)).split("\n", 1)[0] ?? "";
  const here = `${platform} on ${arch}`;
  const own = platformPackage(platform, arch);
  const again = `install the package again: npm install --force ${installed}`;
  const [why, hint] =
    installed === undefined && PLATFORMS.includes(`${platform}-${arch}`)
      ? [
          `the npm package ${own}, which it comes in, is not installed`,
          `npm install ${own}; in a checkout of tilestate, npm ci`,
        ]
      : !PLATFORMS.includes(`${platform}-${arch}`)
        ? [
            `there is no binary of it for ${here}`,
            "there are some for Linux, macOS and Windows on x86-64 and arm64; Deno brings a WebGPU of its own (--gpu native)",
          ]
        : musl
          ? [
              "its binary needs glibc, and this Linux has musl",
              "install on a Linux with glibc, such as Debian or the container image node:22-slim",
            ]
          : !binary
            ? [`the binary for ${here} (dawn.node) is missing from the npm package ${installed}`, again]
            : (ofLibraries(said) ?? [
                `the binary of the npm package ${installed} (dawn.node) is damaged (${said})`,
                again,
              ]);
  return new NoDawn(`Dawn could not be loaded: ${why}`, { hint, cause });
}

/** A library that the binary needs and the system lacks, in the words of the loader. */
function ofLibraries(said: string): [string, string] | undefined {
  const old = /version [`']((?:GLIBC|GLIBCXX|CXXABI)_[\d.]+)' not found/.exec(said)?.[1];
  if (old !== undefined)
    return [
      `its binary needs ${old}, which this system's libraries are too old for`,
      "install a newer system: Debian 12 or Ubuntu 22.04 will do",
    ];
  const missing = /(lib[\w+-]+\.so[\d.]*): cannot open shared object file/.exec(said)?.[1];
  if (missing === undefined) return undefined;
  const name = missing.startsWith("libstdc++") ? "libstdc++6" : missing;
  return [
    `its binary needs ${missing}, which this system does not have`,
    `install it: apt-get install ${name}, or what brings it on your system`,
  ];
}

function thisMachine(): Machine {
  const { platform, arch } = process;
  const fs = process.getBuiltinModule("node:fs");
  const part = nativePart();
  const binary = part !== undefined && fs.existsSync(part.binary);
  return { platform, arch, musl: platform === "linux" && hasMusl(), installed: part?.name, binary };
}

/** True where the system's C library is musl. */
function hasMusl(): boolean {
  try {
    const report = process.report?.getReport() as { readonly header?: Readonly<Record<string, unknown>> } | undefined;
    if (report?.header?.glibcVersionRuntime !== undefined) return false;
    const fs = process.getBuiltinModule("node:fs");
    const glibc = ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"].some((file) => fs.existsSync(file));
    return !glibc && fs.readdirSync("/lib").some((name) => name.startsWith("ld-musl-"));
  } catch {
    return false;
  }
}
