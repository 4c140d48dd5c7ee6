/**
 * A software GPU inside the package's own dependencies, for machines that have none.
 *
 * SwiftShader is Google's Vulkan on the CPU; native-part.ts says where a build of it lies. Dawn looks for
 * `libvulkan.so.1` beside its own binary before it asks the system, so a copy of Dawn's binary with SwiftShader under
 * that name next to it needs no loader, no driver list and no rights. The copy lives in a cache folder (unpack.ts):
 * node_modules stays as it was, and the original binary in the same process still sees the system's adapters.
 *
 * Node's modules are fetched through `process.getBuiltinModule`, so that bundling this file for a browser pulls nothing
 * in.
 */
import { UserError } from "../common/errors.ts";
import { type DawnModule, requireDawn } from "./dawn-module.ts";
import { nativePart, platformPackage, swiftShaderFor } from "./native-part.ts";
import { readLibrary, unpack } from "./unpack.ts";

let loaded: DawnModule | undefined;

/**
 * Loads the copy of Dawn that only sees SwiftShader, unpacking it on first use (about 30 MB in the cache folder).
 * @throws UserError on platforms other than Linux on x86-64, and when a package or the cache folder is missing.
 */
export function loadEmbeddedDawn(): DawnModule {
  if (loaded === undefined) {
    loaded = requireDawn(process.getBuiltinModule("node:path").join(unpackEmbedded(), "dawn.node"));
  }
  return loaded;
}

/**
 * Makes sure that the folder with the two libraries exists, whole, and returns its path. Safe when several processes do
 * it at once.
 * @throws UserError where there are no such libraries, and where no folder can be written.
 */
export function unpackEmbedded(root?: string): string {
  if (process.platform !== "linux" || process.arch !== "x64") {
    throw new UserError(
      `the embedded software adapter exists for Linux on x86-64 only, not for ${process.platform} on ${process.arch}`,
    );
  }
  const dawn = nativePart();
  if (dawn === undefined)
    throw new UserError("Dawn, which the embedded software adapter runs under, is not installed", {
      hint: `npm install ${platformPackage()}`,
    });
  const { archive, version } = swiftShaderFor(dawn);
  const packed = {
    what: "the embedded software adapter",
    name: `swiftshader-${version}-dawn-${dawn.version}`,
    libraries: ["dawn.node", "libvulkan.so.1"],
    contents: () => [readLibrary(dawn.binary), fileInTar(readLibrary(archive), "libvk_swiftshader.so", archive)],
  };
  return unpack(packed, root);
}

/**
 * One file of an uncompressed ustar archive: a 512-byte header (name at 0, octal size at 124), the content, padding to
 * 512.
 */
function fileInTar(tar: Uint8Array, wanted: string, archive: string): Uint8Array {
  const text = new TextDecoder();
  const field = (from: number, length: number): string =>
    text.decode(tar.subarray(from, from + length)).replace(/\0.*$/s, "");
  for (let at = 0; at + 512 <= tar.length; ) {
    const name = field(at, 100);
    if (name === "") break;
    const size = Number.parseInt(field(at + 124, 12).trim(), 8);
    if (name.replace(/^\.\//, "") === wanted) {
      const found = tar.subarray(at + 512, at + 512 + size);
      if (found.length === size) return found;
      throw new UserError(`${archive} is damaged: expected ${size} bytes of ${wanted}, got ${found.length}`, {
        hint: "install the package that it belongs to again",
      });
    }
    at += 512 + Math.ceil(size / 512) * 512;
  }
  throw new UserError(`${archive}: expected it to contain ${wanted}, but it does not`);
}
