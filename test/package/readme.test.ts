/**
 * The README's section on installing: each of its blocks is run as it stands, in an empty folder with the tarballs in
 * it.
 */
import { copyFileSync, mkdirSync, readFileSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { expect, inject, test } from "vitest";
import { bun, cleanEnvironment, deno, project, root, run } from "./support.ts";

const { tarballs, scratch, registry } = inject("setting");

const [, section = ""] = /\n## Install\n([\s\S]*?)\n## /.exec(readFileSync(join(root, "README.md"), "utf8")) ?? [];
const blocks = [...section.matchAll(/^(.*):\n\n```sh\n([\s\S]*?)```/gm)].map(([, title = "", lines = ""]) => ({
  runtime: title.replace(/\W.*/, ""),
  lines: lines.trim().split("\n"),
}));

const programs = join(scratch, "programs");
mkdirSync(programs);
symlinkSync(bun, join(programs, "bun"));
symlinkSync(bun, join(programs, "bunx"));
symlinkSync(deno, join(programs, "deno"));

test("has a block for each runtime", () => {
  expect(blocks.map(({ runtime }) => runtime)).toEqual(["Node", "Bun", "Deno"]);
  for (const { lines } of blocks) expect(lines).toHaveLength(2);
});

test.each(blocks)("$runtime", async ({ runtime, lines: [install = "", command = ""] }) => {
  const folder = project(scratch, `readme-${runtime}`, { "package.json": '{ "type": "module" }' });
  for (const tarball of tarballs) copyFileSync(tarball, join(folder, tarball.split("/").pop() ?? ""));
  const env = { PATH: `${programs}:${cleanEnvironment().PATH ?? ""}`, npm_config_registry: `${registry}before/` };
  expect(await run("sh", ["-c", install], { cwd: folder, scratch, env })).toMatchObject({ code: 0 });
  const { code, out } = await run("sh", ["-c", command], { cwd: folder, scratch, env });
  expect([code, out]).toEqual([0, "A tale from Alderdale.\nIn Alderdale lived\n"]);
});

test("names the tarballs that a release makes", () => {
  const named = [...section.matchAll(/\.\/(tilestate[\w.-]*\.tgz)/g)].map((m) => m[1]);
  expect([...new Set(named)].sort()).toEqual(tarballs.map((path) => path.split("/").pop()).sort());
});
