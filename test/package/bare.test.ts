/** The installed package where no Vulkan loader can be found, as on a machine that never had a driver. */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, inject, test } from "vitest";
import { project, run } from "./support.ts";

const { installed, scratch } = inject("setting");

test("it runs on SwiftShader on a bare machine", async () => {
  const folder = project(installed.npm, "bare", { "library.mjs": "@test/fixtures/package/library.mjs" });
  const nothing = join(scratch, "nothing");
  writeFileSync(nothing, "");
  const find = ["/lib/", "/usr/lib", "/usr/local/lib", "-name", "libvulkan.so*"];
  const loaders = execFileSync("find", find, { encoding: "utf8" }).split("\n").filter(Boolean);
  const hide = loaders.map((loader) => `mount --bind ${nothing} ${loader}`);
  const command = [...hide, "exec npx tilestate generate 'A tale from' --tokens 8"].join(" && ");
  const { code, out, err } = await run("unshare", ["--mount", "sh", "-c", command], { cwd: folder, scratch });
  expect([code, out]).toEqual([0, "A tale from Alderdale.\nIn Alderdale lived\n"]);
  // Nobody asked for this adapter: it is what there is.
  const [adapter = "", advice = "", ...rest] = err.split("\n").filter(Boolean);
  expect(adapter).toMatch(/^adapter {2}swiftshader/);
  expect(advice).toContain("No GPU driver was found: using the embedded software adapter");
  expect(rest).toEqual([expect.stringMatching(/^memory {3}/), expect.stringMatching(/^\d+ prompt tokens in /)]);
});
