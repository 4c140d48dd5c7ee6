/**
 * Makes the packages: `npm run release [-- FOLDER [PLATFORM]]` writes the tarballs of the package and of each
 * platform's native part to a folder (`.cache/release` unless given). PLATFORM, `linux-x64` or its like, asks for that
 * one's native part alone. Nothing is published.
 *
 * `npm pack` alone makes the package's tarball: its `prepack` and `postpack` are here, too.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { buildDist } from "./build.ts";
import { exchange, restore } from "./manifest.ts";
import { cutPlatform, PLATFORMS, packageOf } from "./platforms.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));

function pack(folder: string, out: string): void {
  execFileSync("npm", ["pack", "--pack-destination", out, "--loglevel", "error"], {
    cwd: folder,
    stdio: ["ignore", "inherit", "inherit"],
    shell: process.platform === "win32",
  });
}

const [first, only] = process.argv.slice(2);
if (first === "prepack") {
  buildDist(root);
  exchange(root);
} else if (first === "postpack") restore(root);
else {
  const platforms = PLATFORMS.filter((p) => only === undefined || packageOf(p) === `tilestate-${only}`);
  if (platforms.length === 0)
    throw new Error(
      `"${only}" is no platform: expected one of ${PLATFORMS.map((p) => packageOf(p).slice(10)).join(", ")}`,
    );
  const out = resolve(first ?? join(root, ".cache/release"));
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };
  try {
    pack(root, out);
  } finally {
    restore(root);
  }
  for (const platform of platforms) {
    const folder = await cutPlatform(root, join(out, "folders"), version, platform);
    pack(folder, out);
  }
  rmSync(join(out, "folders"), { recursive: true });
}
