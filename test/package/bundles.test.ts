/**
 * Programs that carry the package with them: bundles of esbuild's and vite's for Node and for a browser, which Chromium
 * loads, and one executable of Bun's.
 */
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, inject, test } from "vitest";
import { chromium, visit } from "./browser.ts";
import { bun, type Outcome, project, root, run } from "./support.ts";

const { installed, scratch } = inject("setting");
const node = process.execPath;
const esbuild = join(root, "node_modules/esbuild/bin/esbuild");
const vite = join(root, "node_modules/vite/bin/vite.js");
const model = join(installed.npm, "node_modules/tilestate/dist/models/embedded/hearth");
/** What app.ts prints. */
const ANSWER = '3 6 9 12\n" Alderdale.\\nIn Alderdale lived"\n';

const PAGE = '<!doctype html><link rel="icon" href="data:,"><script type="module" src="./page.js"></script>\n';

const folder = project(installed.npm, "bundles", {
  "kernels.ts": "@test/fixtures/package/kernels.ts",
  "app.ts": "@test/fixtures/package/app.ts",
  "page.ts": "@test/fixtures/package/page.ts",
  "model-page.ts": "@test/fixtures/package/model-page.ts",
  "single.ts": "@test/fixtures/package/single.ts",
  "index.html": '<!doctype html><link rel="icon" href="data:,"><script type="module" src="./page.ts"></script>\n',
});

function here(program: string, ...args: readonly string[]): Promise<Outcome> {
  const env = { TILESTATE_ADAPTER: "swiftshader", TILESTATE_CACHE: join(scratch, "cache") };
  return run(program, args, { cwd: folder, scratch, env });
}

beforeAll(async () => {
  const built = await here("npx", "tilestate", "kernels", "build", "kernels.ts", "--out", "kernels.bundle.ts");
  expect(built).toMatchObject({ code: 0, err: "" });
});

test("esbuild makes one file for Node", async () => {
  const flags = ["--bundle", "--platform=node", "--format=esm", "--log-level=warning", "--outfile=esbuild/app.mjs"];
  expect(await here(esbuild, "app.ts", ...flags)).toEqual({ code: 0, out: "", err: "" });
  expect(readdirSync(join(folder, "esbuild"))).toEqual(["app.mjs"]);
  expect(await here(node, "esbuild/app.mjs", model)).toEqual({ code: 0, out: ANSWER, err: "" });
});

test.each([["inside"], ["beside"]])("vite makes a program for Node, with the package %s", async (where) => {
  const config = `export default {
    ssr: { noExternal: ${where === "inside" ? "true" : "[]"} },
    build: { ssr: "app.ts", outDir: "vite-${where}", target: "esnext" },
  };\n`;
  project(folder, `config-${where}`, { "vite.config.mjs": config });
  const built = await here(node, vite, "build", "--logLevel", "warn", "--config", `config-${where}/vite.config.mjs`);
  expect(built).toEqual({ code: 0, out: "", err: "" });
  const [file = ""] = readdirSync(join(folder, `vite-${where}`)).filter((name) => /^app\.m?js$/.test(name));
  expect(/^import\b.*\bfrom ?"tilestate/m.test(readFileSync(join(folder, `vite-${where}`, file), "utf8"))).toBe(
    where === "beside",
  );
  expect(await here(node, `vite-${where}/${file}`, model)).toEqual({ code: 0, out: ANSWER, err: "" });
});

if (!existsSync(chromium) && process.env.CI === "true")
  throw new Error("CI=true, but Debian's chromium is not installed");

test.skipIf(!existsSync(chromium))("Chromium runs vite's bundle of a kernel", async () => {
  const built = await here(node, vite, "build", "--outDir", "page", "--logLevel", "warn");
  expect(built).toEqual({ code: 0, out: "", err: "" });
  const { asked, said } = await visit(join(folder, "page"), scratch);
  expect(said).toMatchObject({ result: [3, 6, 9, 12], word: "function", wgsl: expect.stringContaining("@compute") });
  // The page asks for nothing that is not in its folder.
  expect(asked).toEqual(["/", expect.stringMatching(/^\/assets\/index-[\w-]+\.js$/), "/said"]);
});

test.skipIf(!existsSync(chromium))("Chromium writes with models, from esbuild's bundle", async () => {
  const site = join(folder, "site");
  const flags = ["--bundle", "--platform=browser", "--format=esm", "--log-level=warning", "--outfile=site/page.js"];
  expect(await here(esbuild, "model-page.ts", ...flags)).toEqual({ code: 0, out: "", err: "" });
  // Nothing of Node is imported.
  expect(readFileSync(join(site, "page.js"), "utf8")).not.toMatch(/\b(from|import|require)\s*\(?\s*["']node:/);
  writeFileSync(join(site, "index.html"), PAGE);
  cpSync(model, join(site, "hearth"), { recursive: true });
  const { asked, said } = await visit(site, scratch);
  const reason = "cannot be opened by its path where there is no disk, as in a browser";
  expect(said).toEqual({
    name: "hearth",
    text: " Alderdale.\nIn Alderdale lived",
    // As Node writes with the same model on SwiftShader.
    random: [35, 30, 85, 71],
    disk: `UserError: models/hearth: ${reason}`,
  });
  expect(new Set(asked)).toEqual(
    new Set([
      ...["/", "/page.js", "/said", "/hearth/config.json", "/hearth/generation_config.json"],
      ...["/hearth/tokenizer_config.json", "/hearth/model.safetensors", "/hearth/tokenizer.json"],
    ]),
  );
});

test("Bun makes one executable with Dawn inside", async () => {
  const files = Object.fromEntries(
    ["single.ts", "kernels.ts", "kernels.bundle.ts"].map((file) => [file, readFileSync(join(folder, file), "utf8")]),
  );
  const source = project(installed.bun, "single", files);
  const out = join(scratch, "alone");
  mkdirSync(out);
  const made = await run(bun, ["build", "--compile", "single.ts", "--outfile", join(out, "app")], {
    cwd: source,
    scratch,
  });
  expect(made.code).toBe(0);
  // The system's Vulkan here is SwiftShader, where the programs above have unpacked it.
  const libraries = readdirSync(join(scratch, "cache"), { recursive: true, encoding: "utf8" });
  const found = libraries.find((file) => file.endsWith("libvulkan.so.1")) ?? "";
  const env = { LD_LIBRARY_PATH: join(scratch, "cache", found, "..") };
  expect(await run(join(out, "app"), [], { cwd: out, scratch, env })).toEqual({ code: 0, out: "3 6 9 12\n", err: "" });
});
