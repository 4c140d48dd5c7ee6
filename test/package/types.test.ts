/**
 * A consumer's type checker has nothing to say of the package: TypeScript 6.0 and 7.0, with init's settings, the
 * strictest, and with little around it.
 */
import { cpSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, inject, test } from "vitest";
import { project, root, run } from "./support.ts";

const { installed, tools, scratch } = inject("setting");
const compilers = [
  ["TypeScript 6.0", join(root, "node_modules/typescript/bin/tsc")],
  ["TypeScript 7.0", join(tools, "typescript-7/bin/tsc")],
] as const;

const STRICTEST = {
  strict: true,
  noUncheckedIndexedAccess: true,
  exactOptionalPropertyTypes: true,
  noPropertyAccessFromIndexSignature: true,
  noImplicitOverride: true,
  noImplicitReturns: true,
  noFallthroughCasesInSwitch: true,
  noUnusedLocals: true,
  noUnusedParameters: true,
  isolatedModules: true,
  verbatimModuleSyntax: true,
  noUncheckedSideEffectImports: true,
  skipLibCheck: false,
};
const FILES = {
  "doors.ts": `import * as all from "tilestate";
import * as compiler from "tilestate/compiler";
import * as dsl from "tilestate/dsl";
import * as models from "tilestate/models";
import * as runtime from "tilestate/runtime";
export const doors: readonly object[] = [all, compiler, dsl, models, runtime];
export const opened: Promise<all.Gpu> = all.open({ adapter: "auto" });
`,
  "kernels.ts": "@test/fixtures/package/kernels.ts",
  "use.ts": `import { open } from "tilestate/runtime";
import bundle from "./kernels.bundle.js";
import { scale } from "./kernels.js";
export async function use(): Promise<Float32Array> {
  const gpu = await open();
  const kernels = await gpu.kernels(bundle, { scale });
  const x = gpu.tensor({ n: 4 });
  kernels.scale(x, 3, x);
  return (await x.read()) as Float32Array;
}
`,
};

const folder = project(installed.npm, "types", FILES);
// Beside the project, so that types of Node are there for those who list them.
symlinkSync(join(root, "node_modules/@types"), join(folder, "types"));

beforeAll(async () => {
  const args = ["tilestate", "kernels", "build", "kernels.ts", "--out", "kernels.bundle.ts"];
  expect(await run("npx", args, { cwd: folder, scratch })).toMatchObject({ code: 0, err: "" });
});

describe.each(compilers)("%s", (name, tsc) => {
  async function check(kind: string, settings: object): Promise<string> {
    const file = `tsconfig.${name.replaceAll(/\W/g, "")}.${kind}.json`;
    const config = { compilerOptions: { noEmit: true, ...settings }, include: ["*.ts"] };
    writeFileSync(join(folder, file), JSON.stringify(config));
    const { out } = await run(process.execPath, [tsc, "-p", file], { cwd: folder, scratch });
    return out;
  }

  test("takes it as `tsc --init` sets it up", async () => {
    const init = project(installed.npm, `init-${name.replaceAll(/\W/g, "")}`, {});
    expect(await run(process.execPath, [tsc, "--init"], { cwd: init, scratch })).toMatchObject({ code: 0 });
    for (const file of ["doors.ts", "kernels.ts", "kernels.bundle.ts", "use.ts"])
      cpSync(join(folder, file), join(init, file));
    const { code, out } = await run(process.execPath, [tsc, "-p", ".", "--noEmit"], { cwd: init, scratch });
    expect([code, out]).toEqual([0, ""]);
  });

  const node = { module: "nodenext", target: "es2023", types: [] };
  test.each([
    ["plain", { ...node, lib: ["es2023"] }],
    ["dom", { ...node, lib: ["es2023", "dom", "dom.iterable"] }],
    ["types-of-node", { ...node, lib: ["es2023"], types: ["node"], typeRoots: ["./types"] }],
    ["bundler", { module: "esnext", moduleResolution: "bundler", target: "es2022", lib: ["es2022", "dom"], types: [] }],
  ])("takes it under the strictest options, %s", async (kind, settings) => {
    expect(await check(kind, { ...STRICTEST, ...settings })).toBe("");
  });

  test("would say what is wrong", async () => {
    const wrong = project(installed.npm, `wrong-${name.replaceAll(/\W/g, "")}`, {
      "wrong.ts": 'import { open } from "tilestate";\nexport const gpu = open({ adapter: 3 });\n',
      "tsconfig.json": JSON.stringify({ compilerOptions: { ...STRICTEST, ...node, noEmit: true } }),
    });
    const { out } = await run(process.execPath, [tsc, "-p", "."], { cwd: wrong, scratch });
    expect(out).toMatch(/^wrong\.ts\(2,\d+\): error TS2322/);
  });
});
