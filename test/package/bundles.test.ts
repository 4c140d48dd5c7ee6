/** Programs that carry the package with them: bundles of esbuild's and vite's for Node, one for a browser, which Chromium loads, and one executable of Bun's. */
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { beforeAll, expect, inject, test } from "vitest";
import { bun, cleanEnvironment, type Outcome, project, root, run } from "./support.ts";

const { installed, scratch } = inject("setting");
const node = process.execPath;
const vite = join(root, "node_modules/vite/bin/vite.js");
const model = join(installed.npm, "node_modules/tilestate/dist/models/embedded/hearth");
/** What app.ts prints. */
const ANSWER = '3 6 9 12\n" Alderdale.\\nIn Alderdale lived"\n';

const folder = project(installed.npm, "bundles", {
  "kernels.ts": "@test/fixtures/package/kernels.ts",
  "app.ts": "@test/fixtures/package/app.ts",
  "page.ts": "@test/fixtures/package/page.ts",
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
  const esbuild = join(root, "node_modules/esbuild/bin/esbuild");
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

const chromium = "/usr/bin/chromium";
if (!existsSync(chromium) && process.env.CI === "true")
  throw new Error("CI=true, but Debian's chromium is not installed");

test.skipIf(!existsSync(chromium))("Chromium runs vite's bundle of a kernel", async () => {
  const built = await here(node, vite, "build", "--outDir", "page", "--logLevel", "warn");
  expect(built).toEqual({ code: 0, out: "", err: "" });
  const { asked, said } = await visit(join(folder, "page"));
  expect(said).toMatchObject({ result: [3, 6, 9, 12], word: "function", wgsl: expect.stringContaining("@compute") });
  // The page asks for nothing that is not in its folder.
  expect(asked).toEqual(["/", expect.stringMatching(/^\/assets\/index-[\w-]+\.js$/), "/said"]);
});

interface Deferred {
  readonly promise: Promise<unknown>;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

function deferred(): Deferred {
  let settle: Omit<Deferred, "promise"> | undefined;
  const promise = new Promise<unknown>((resolve, reject) => {
    settle = { resolve, reject };
  });
  return { promise, ...(settle as Omit<Deferred, "promise"> | undefined) } as Deferred;
}

/** Opens a folder's index.html in a browser of its own, and gives what the page posts and what it asked for. */
async function visit(site: string): Promise<{ asked: readonly string[]; said: unknown }> {
  const types: Readonly<Record<string, string>> = { html: "text/html", js: "text/javascript" };
  const asked: string[] = [];
  const posted = deferred();
  const server = createServer(async (request, response) => {
    const path = request.url ?? "/";
    asked.push(path);
    if (request.method === "POST") {
      const parts: Uint8Array[] = [];
      for await (const part of request) parts.push(part as Uint8Array);
      response.end();
      return posted.resolve(JSON.parse(Buffer.concat(parts).toString()));
    }
    const file = join(site, path === "/" ? "index.html" : path);
    if (!existsSync(file)) return response.writeHead(404).end();
    response.writeHead(200, { "content-type": types[file.split(".").pop() ?? ""] }).end(readFileSync(file));
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const home = join(scratch, "chromium");
  mkdirSync(home);
  const flags = [
    ...["--headless", "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking"],
    ...["--disable-component-update", "--disable-sync", "--disable-default-apps", `--user-data-dir=${home}`],
    ...["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan"],
  ];
  const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const env = { ...cleanEnvironment(), HOME: home };
  const browser = spawn(chromium, [...flags, address], { env, stdio: ["ignore", "ignore", "pipe"] });
  let chatter = "";
  browser.stderr.setEncoding("utf8").on("data", (text: string) => {
    chatter += text;
  });
  const ended = new Promise<void>((done) => browser.on("close", () => done()));
  const late = setTimeout(() => posted.reject(new Error(`the page said nothing: ${chatter}`)), 60_000);
  try {
    return { said: await posted.promise, asked };
  } finally {
    clearTimeout(late);
    browser.kill();
    await ended;
    server.closeAllConnections();
    server.close();
  }
}

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
