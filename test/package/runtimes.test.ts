/**
 * The installed package in each runtime: as a library, in worker threads, as a command; with kernels of a user's own.
 * Without flags.
 */
import { readdirSync, readFileSync } from "node:fs";
import { expect, inject, test } from "vitest";
import { bun, deno, project, run, runIn, runtimes } from "./support.ts";

const { installed, scratch, registry } = inject("setting");

/** What the embedded model says, whatever runs it. */
const TALE = "A tale from Alderdale.\nIn Alderdale lived Faye, Hugo, Joss, Ada, Oskar and Bram. The secret number of\n";
const BEGINNING = "A tale from Alderdale.\nIn Alderdale lived\n";
const COMMAND = ["generate", "A tale from", "--tokens", "8", "--adapter", "swiftshader"];

const folders = Object.fromEntries(
  Object.entries(installed).map(([name, folder]) => [
    folder,
    project(folder, `runtimes-${name}`, {
      "library.mjs": "@test/fixtures/package/library.mjs",
      "workers.mjs": "@test/fixtures/package/workers.mjs",
      "softmax.ts": "@examples/softmax.ts",
      "softmax.mjs": "@examples/softmax.mjs",
    }),
  ]),
);

test.each(runtimes().map((runtime) => [runtime.name, runtime] as const))("%s runs the library", async (_, runtime) => {
  const folder = folders[runtime.folder] ?? "";
  expect(await runIn(runtime, folder, ["library.mjs"])).toEqual({ code: 0, out: TALE, err: "" });
});

test.each(runtimes().map((runtime) => [runtime.name, runtime] as const))(
  "%s runs it in workers",
  async (_, runtime) => {
    const folder = folders[runtime.folder] ?? "";
    const text = JSON.stringify(" Alderdale.\nIn Alderdale lived");
    expect(await runIn(runtime, folder, ["workers.mjs"])).toEqual({ code: 0, out: `${text}\n${text}\n`, err: "" });
  },
);

/** Every runtime takes plain JavaScript, and those that can TypeScript as well. */
const OWN = runtimes().flatMap((runtime) =>
  ["softmax.mjs", ...(runtime.typescript ? ["softmax.ts"] : [])].map((file) => [runtime.name, file, runtime] as const),
);

test.each(OWN)("%s runs a kernel of one's own, %s", async (_, file, runtime) => {
  const folder = folders[runtime.folder] ?? "";
  const env = { TILESTATE_ADAPTER: "swiftshader", TILESTATE_CACHE: `${scratch}/kernels-${runtime.name}` };
  const out = "0.0900 0.2447 0.6652 0.0000 0.0000 0.9999\n";
  expect(await runIn(runtime, folder, [file], { env })).toEqual({ code: 0, out, err: "" });
});

test.each([
  ["npx tilestate", "npx", ["tilestate"], installed.npm],
  ["bunx tilestate", bun, ["x", "--bun", "tilestate"], installed.bun],
  ["deno run npm:tilestate, from node_modules", deno, ["run", "-A", "npm:tilestate"], installed.npm],
] as const)("%s runs the command", async (_, program, args, folder) => {
  const { code, out, err } = await run(program, [...args, ...COMMAND], { cwd: folder, scratch });
  expect([code, out]).toEqual([0, BEGINNING]);
  // Only what the command itself tells.
  expect(err.split("\n").filter((line) => !/^(adapter {2}|memory {3}|\d+ prompt tokens in |$)/.test(line))).toEqual([]);
  expect(err).toContain("swiftshader");
  const quiet = await run(program, [...args, ...COMMAND, "--quiet"], { cwd: folder, scratch });
  expect(quiet).toEqual({ code: 0, out: BEGINNING, err: "" });
});

test("Deno fetches it by name, as a library and as a command", async () => {
  const folder = project(scratch, "deno-npm", {});
  const text = readFileSync(`${folders[installed.npm]}/library.mjs`, "utf8");
  project(folder, "app", { "library.mjs": text.replace('"tilestate"', '"npm:tilestate"') });
  // As in an empty folder, whatever lies in those above it.
  const env = { NPM_CONFIG_REGISTRY: registry, DENO_NO_PACKAGE_JSON: "1" };
  const options = { cwd: `${folder}/app`, scratch, env };
  const cached = await run(deno, ["cache", "library.mjs"], options);
  expect(cached.code).toBe(0);
  expect(await run(deno, ["run", "-A", "library.mjs"], options)).toEqual({ code: 0, out: TALE, err: "" });
  const command = await run(deno, ["run", "-A", "npm:tilestate", ...COMMAND, "--quiet"], options);
  expect(command).toEqual({ code: 0, out: BEGINNING, err: "" });
});

test.each([
  ["npm", "npm", ["install", "tilestate"]],
  ["Bun", bun, ["add", "tilestate"]],
] as const)("%s installs it by name, with this platform's native part alone", async (name, program, args) => {
  const folder = project(scratch, `by-name-${name}`, { "package.json": '{ "type": "module" }' });
  const env = { npm_config_registry: registry };
  expect(await run(program, args, { cwd: folder, scratch, env })).toMatchObject({ code: 0 });
  const ours = readdirSync(`${folder}/node_modules`).filter((entry) => entry.startsWith("tilestate"));
  expect(ours).toEqual(["tilestate", "tilestate-linux-x64"]);
});
