/**
 * One adapter for all engines.
 *
 * Each brings or shares a Dawn of its own, but all of them find adapters through the system's Vulkan loader; naming one
 * driver to the loader is what makes them meet, since ONNX Runtime offers no other choice.
 */
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { unpackEmbedded } from "../../runtime/adapters/swiftshader.ts";
import { UserError } from "../../runtime/common/errors.ts";

const DRIVERS = ["/usr/share/vulkan/icd.d", "/usr/local/share/vulkan/icd.d", "/etc/vulkan/icd.d"];

export interface Choice {
  /** Environment for every engine. */
  readonly env: Readonly<Record<string, string>>;
  /** Removes what was made for it. */
  done(): void;
}

/**
 * `auto` leaves the choice to the loader and Dawn; `lavapipe` is Mesa's; `swiftshader` the one that the package embeds;
 * anything else is the path of a driver's manifest (VK_DRIVER_FILES). Throws a `UserError` when there is no such
 * driver.
 */
export function chooseAdapter(name: string): Choice {
  if (name === "auto") return { env: { TILESTATE_ADAPTER: "auto" }, done: () => {} };
  if (name === "swiftshader") return swiftshader();
  const manifest = name === "lavapipe" ? lavapipe() : name;
  if (manifest === undefined || !existsSync(manifest)) {
    throw new UserError(`no Vulkan driver "${name}"`, {
      hint: "name auto, lavapipe (Mesa), swiftshader (embedded), or the manifest of a driver (*.json)",
    });
  }
  return { env: driver(manifest), done: () => {} };
}

function driver(manifest: string): Record<string, string> {
  // The second name is the one that loaders before 1.3.207 know.
  return { VK_DRIVER_FILES: manifest, VK_ICD_FILENAMES: manifest, TILESTATE_ADAPTER: "auto" };
}

function lavapipe(): string | undefined {
  for (const folder of DRIVERS.filter((f) => existsSync(f))) {
    const found = readdirSync(folder).find((file) => /^lvp_icd.*\.json$/.test(file));
    if (found !== undefined) return join(folder, found);
  }
  return undefined;
}

function swiftshader(): Choice {
  const folder = mkdtempSync(join(tmpdir(), "tilestate-peers-"));
  const manifest = join(folder, "swiftshader.json");
  const library = join(unpackEmbedded(), "libvulkan.so.1");
  const ICD = { library_path: library, api_version: "1.3.0" };
  writeFileSync(manifest, JSON.stringify({ file_format_version: "1.0.0", ICD }));
  return { env: driver(manifest), done: () => rmSync(folder, { recursive: true }) };
}
