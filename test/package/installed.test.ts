/** What is in the tarballs and what an installation weighs. */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { brotliDecompressSync } from "node:zlib";
import { describe, expect, inject, test } from "vitest";
import { PLATFORMS, packageOf } from "../../scripts/release/platforms.ts";
import { root, run } from "./support.ts";

const { tarballs, foreign, installed, tools, scratch } = inject("setting");
const MB = 1e6;
const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };

function filesOf(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

describe.each(tarballs.map((path) => [path.split("/").pop() ?? "", path]))("%s", (_, path) => {
  test("weighs less than 12 MB", () => {
    expect(statSync(path).size).toBeLessThan(12 * MB);
  });

  test("says nothing of the machine that made it", () => {
    const names = execFileSync("tar", ["-tzf", path], { encoding: "utf8" }).trim().split("\n");
    expect(names.filter((name) => !name.startsWith("package/"))).toEqual([]);
    const text = execFileSync("tar", ["-xzOf", path], { encoding: "latin1", maxBuffer: 2 ** 30 });
    expect(text.includes(root)).toBe(false);
  });

  test("has nothing that publint or attw would complain of", async () => {
    const here = { cwd: scratch, scratch };
    const lint = await run(process.execPath, [join(tools, "publint/src/cli.js"), path, "--strict"], here);
    expect([lint.code, lint.out.trim().split("\n").at(-1)]).toEqual([0, "All good!"]);
    const attw = join(tools, "@arethetypeswrong/cli/dist/index.js");
    const types = await run(process.execPath, [attw, path, "--profile", "esm-only", "--format", "json"], here);
    expect(types.code).toBe(0);
    const { analysis } = JSON.parse(types.out) as { analysis: { problems: readonly { resolutionKind?: string }[] } };
    // The profile leaves out require(), and resolution as before Node 12.
    const left = analysis.problems.filter(({ resolutionKind = "" }) => !/^node10$|^node16-cjs$/.test(resolutionKind));
    expect(left).toEqual([]);
  });
});

describe.each(PLATFORMS.filter((p) => packageOf(p) !== "tilestate-linux-x64"))(
  "the native part for $os $cpu",
  (platform) => {
    const path = join(foreign, `${packageOf(platform)}-${version}.tgz`);
    const fromTarball = (...args: readonly string[]): Buffer => execFileSync("tar", args, { maxBuffer: 2 ** 30 });
    const names = (): string[] => fromTarball("-tzf", path).toString().trim().split("\n");

    test("weighs less than 12 MB", () => {
      expect(statSync(path).size).toBeLessThan(12 * MB);
    });

    test("has all of Dawn's files for that platform, packed or as they are", () => {
      const from = join(root, "node_modules/webgpu/dist", platform.folder);
      const inside = `package/dist/${platform.folder}`;
      const list = `${inside}/contents.json`;
      const files = names().filter((name) => name.startsWith(`${inside}/`) && name !== list);
      const packed = files.filter((name) => name.endsWith(".br"));
      expect(names().includes(list)).toBe(packed.length > 0);
      if (packed.length > 0) {
        const said = JSON.parse(fromTarball("-xzOf", path, list).toString()) as Record<string, { bytes: number }>;
        const sizes = packed
          .map((name) => basename(name, ".br"))
          .map((name) => [name, statSync(join(from, name)).size]);
        expect(Object.entries(said).map(([name, { bytes }]) => [name, bytes])).toEqual(expect.arrayContaining(sizes));
        expect(Object.keys(said)).toHaveLength(packed.length);
      }
      expect(files.map((name) => name.slice(inside.length + 1).replace(/\.br$/, "")).sort()).toEqual(
        readdirSync(from).sort(),
      );
      for (const file of files) {
        const bytes = fromTarball("-xzOf", path, file);
        const whole = file.endsWith(".br") ? brotliDecompressSync(bytes) : bytes;
        expect(whole.equals(readFileSync(join(from, file.slice(inside.length + 1).replace(/\.br$/, ""))))).toBe(true);
      }
    });

    test("keeps licences and notices readable, and has its entry", () => {
      expect(names()).toEqual(
        expect.arrayContaining(["LICENSE-dawn.md", "NOTICE.txt", "index.js", "types.d.ts"].map((n) => `package/${n}`)),
      );
      expect(names().filter((name) => /licen[sc]e|notice/i.test(name) && name.endsWith(".br"))).toEqual([]);
    });
  },
);

test("a release has a tarball for each platform, and no others", () => {
  const all = [...tarballs.map((tarball) => tarball.split("/").pop() ?? ""), ...readdirSync(foreign)];
  const expected = ["tilestate", ...PLATFORMS.map((p) => packageOf(p))].map((name) => `${name}-${version}.tgz`);
  expect(all.sort()).toEqual(expected.sort());
});

describe.each(Object.entries(installed))("installed by %s", (_, folder) => {
  const modules = join(folder, "node_modules");

  test("weighs less than 70 MB, without pictures' libraries and browsers", () => {
    const bytes = filesOf(modules).reduce((sum, file) => sum + statSync(file).size, 0);
    expect(bytes).toBeLessThan(70 * MB);
    const packages = readdirSync(modules);
    expect(
      packages.filter((name) => /vega|sparticuz|chromium|^webgpu$|^esbuild$|^tsx$|^typescript$/.test(name)),
    ).toEqual([]);
    expect(packages).toContain("tilestate-linux-x64");
    expect(packages.filter((name) => name.startsWith("tilestate-"))).toHaveLength(1);
  });

  test("imports no TypeScript: that in dist/source is for the compiler", () => {
    const files = filesOf(join(modules, "tilestate")).map((file) => file.slice(modules.length + 1));
    const typescript = files.filter((file) => file.endsWith(".ts") && !file.endsWith(".d.ts"));
    expect(typescript.filter((f) => !/^tilestate\/(dist\/source|examples)\//.test(f))).toEqual([]);
    expect(typescript).toContain("tilestate/dist/source/dsl/index.ts");
    const imports = files
      .filter((file) => /\.(d\.ts|m?js)$/.test(file))
      .flatMap((file) =>
        [...readFileSync(join(modules, file), "utf8").matchAll(/^(?:import|export|\}).*from "([^"]+)"/gm)].map(
          (m) => m[1] ?? "",
        ),
      );
    expect(imports.length).toBeGreaterThan(500);
    expect(imports.filter((name) => /(?<!\.d)\.tsx?$|dist\/source/.test(name))).toEqual([]);
  });

  test("keeps the licences of what is not ours", () => {
    const native = readdirSync(join(modules, "tilestate-linux-x64"));
    expect(native).toEqual(expect.arrayContaining(["LICENSE-dawn.md", "LICENSE-chromium-package.txt", "NOTICE.txt"]));
    expect(readdirSync(join(modules, "tilestate"))).toContain("LICENSE");
  });
});
