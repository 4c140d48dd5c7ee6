/**
 * The package.json of the package, made of that of the checkout.
 *
 * In a checkout the doors are TypeScript and Dawn is npm `webgpu`; in the package the doors are `dist/`, and the native
 * part is a package a platform. `npm pack` reads package.json from the folder that it packs, so it is replaced while
 * that runs (`prepack`) and put back afterwards (`postpack`).
 */
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PLATFORMS, packageOf } from "./platforms.ts";

interface Manifest {
  readonly version: string;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly optionalDependencies: Readonly<Record<string, string>>;
  readonly exports: Readonly<Record<string, string>>;
  readonly [field: string]: unknown;
}

/** Dependencies that a checkout needs and the package does not: its native part, and what runs TypeScript. */
const OF_A_CHECKOUT: readonly string[] = ["webgpu", "@sparticuz/chromium", "esbuild", "tsx"];
/** Doors that browsers may come in by. */
const FOR_BROWSERS: readonly string[] = ["./dsl", "./compiler", "./runtime", "./models"];

export function published(checkout: Manifest): Manifest {
  const { devDependencies: _, workspaces: __, scripts: ___, ...kept } = checkout;
  const dependencies = Object.fromEntries(
    Object.entries(checkout.dependencies).filter(([name]) => !OF_A_CHECKOUT.includes(name)),
  );
  const native = Object.fromEntries(PLATFORMS.map((p) => [packageOf(p), checkout.version]));
  const { vega = "*", koffi = "*" } = checkout.optionalDependencies;
  return {
    ...kept,
    bin: { tilestate: "dist/cli/tilestate.mjs" },
    exports: Object.fromEntries(
      Object.entries(checkout.exports).map(([door, file]) => [door, file.endsWith(".ts") ? built(door, file) : file]),
    ) as Manifest["exports"],
    sideEffects: ["./dist/cli/*"],
    files: ["dist", "docs", "examples", "CHANGELOG.md"],
    dependencies,
    optionalDependencies: { ...native, koffi },
    peerDependencies: { vega: `^${vega}` },
    peerDependenciesMeta: { vega: { optional: true } },
  };
}

function built(door: string, file: string): unknown {
  const base = `./dist/${file.slice(2, -3)}`;
  const js = `${base}.js`;
  return { types: `${base}.d.ts`, ...(FOR_BROWSERS.includes(door) ? { browser: js } : {}), default: js };
}

const KEPT = "package.json.checkout";

/** Puts the package's manifest in the place of the checkout's. */
export function exchange(root: string): void {
  const file = join(root, "package.json");
  // One that a broken-off run has left is the real one.
  restore(root);
  const text = readFileSync(file, "utf8");
  renameSync(file, join(root, KEPT));
  writeFileSync(file, `${JSON.stringify(published(JSON.parse(text) as Manifest), undefined, 2)}\n`);
}

/** Puts the checkout's manifest back, if it was exchanged. */
export function restore(root: string): void {
  if (existsSync(join(root, KEPT))) renameSync(join(root, KEPT), join(root, "package.json"));
}
