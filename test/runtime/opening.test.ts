/**
 * What a user sees of opening an adapter: nothing of what Dawn and drivers print, and one sentence where there is no
 * Dawn.
 */
import { cp, mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Machine, noDawn } from "../../runtime/adapters/dawn-module.ts";
import { OPENS, runtimeAlone } from "../support/alone.ts";
import { adaptersUnderTest, EMBEDDED } from "../support/gpu.ts";
import { runProgram } from "../support/program.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const PROGRAM = fileURLToPath(new URL("./programs/opens.ts", import.meta.url));
const NO_DRIVER = { VK_DRIVER_FILES: "/nowhere", VK_ICD_FILENAMES: "/nowhere" };

describe("standard error", () => {
  test.each([...adaptersUnderTest(), "null", "auto", "voodoo"])("has nothing of Dawn's on %s", async (name) => {
    const { code, out, errors } = await runProgram(PROGRAM, [name], { NODE_NO_WARNINGS: "1" });
    expect([code, errors]).toEqual([0, name === "voodoo" ? "" : "said by the program\n"]);
    expect(Object.keys(JSON.parse(out) as object)).toEqual(
      name === "voodoo" ? ["message", "hint"] : ["name", "origin"],
    );
  });

  test.runIf(EMBEDDED)("has nothing of it where there is no driver", async () => {
    const { code, out, errors } = await runProgram(PROGRAM, ["auto"], { ...NO_DRIVER, NODE_NO_WARNINGS: "1" });
    expect([code, errors]).toEqual([0, "said by the program\n"]);
    expect(JSON.parse(out)).toMatchObject({ origin: "embedded" });
  });

  test.runIf(process.platform === "linux")("has it for those who ask", async () => {
    const { errors } = await runProgram(PROGRAM, ["auto"], { ...NO_DRIVER, TILESTATE_DRIVER_LOG: "on" });
    expect(errors).toMatch(/^Warning: .*(vulkan|vk)/im);
  });
});

describe("without Dawn", () => {
  const linux: Machine = { platform: "linux", arch: "x64", musl: false, installed: "webgpu", binary: true };
  test.each<[string, Partial<Machine>, string, string, RegExp]>([
    [
      "no package",
      { installed: undefined },
      "",
      "the npm package tilestate-linux-x64, which it comes in, is not installed",
      /^npm install tilestate-linux-x64;/,
    ],
    [
      "no binary",
      { binary: false },
      "Cannot find module",
      "the binary for linux on x64 (dawn.node) is missing from the npm package webgpu",
      /^install the package again: npm install --force webgpu$/,
    ],
    [
      "a broken binary",
      {},
      "/x/dawn.node: file too short\nRequire stack:",
      "the binary of the npm package webgpu (dawn.node) is damaged (/x/dawn.node: file too short)",
      /^install the package again/,
    ],
    ["musl", { musl: true }, "", "its binary needs glibc, and this Linux has musl", /glibc, such as Debian/],
    [
      "another platform",
      { platform: "freebsd", binary: false },
      "",
      "there is no binary of it for freebsd on x64",
      /Linux, macOS and Windows on x86-64 and arm64/,
    ],
    [
      "another processor",
      { arch: "riscv64", binary: false },
      "",
      "there is no binary of it for linux on riscv64",
      /arm64/,
    ],
    [
      "an old C library",
      {},
      "/lib/libc.so.6: version `GLIBC_2.38' not found (required by /x/dawn.node)",
      "its binary needs GLIBC_2.38, which this system's libraries are too old for",
      /Debian 12/,
    ],
    [
      "no C++ library",
      {},
      "libstdc++.so.6: cannot open shared object file: No such file or directory",
      "its binary needs libstdc++.so.6, which this system does not have",
      /apt-get install libstdc\+\+6/,
    ],
  ])("%s", (_, machine, said, why, hint) => {
    const error = noDawn(new Error(said), { ...linux, ...machine });
    expect(error.message).toBe(`Dawn could not be loaded: ${why}`);
    expect(error.hint).toMatch(hint);
  });

  describe.runIf(process.platform === "linux" && process.arch === "x64")("in a process", () => {
    let folder = "";
    beforeAll(async () => {
      folder = await runtimeAlone();
    });
    afterAll(() => rm(folder, { recursive: true, force: true }));

    /** What opening says where the package webgpu is like this. */
    async function saidWith(binary: string | Uint8Array | undefined, adapter: string): Promise<unknown> {
      const webgpu = join(folder, "node_modules/webgpu");
      await rm(webgpu, { recursive: true, force: true });
      await mkdir(join(webgpu, "dist/linux-x64"), { recursive: true });
      for (const name of ["index.js", "package.json"])
        await cp(join(root, "node_modules/webgpu", name), join(webgpu, name));
      if (binary !== undefined) await writeFile(join(webgpu, "dist/linux-x64/dawn.node"), binary);
      const { out, errors } = await runProgram(join(folder, OPENS), [adapter]);
      expect(errors).not.toMatch(/^\s+at /m);
      return JSON.parse(out);
    }

    test.each(["auto", "llvmpipe"])("%s: a binary that is missing or broken is said to be that", async (adapter) => {
      const again = { hint: "install the package again: npm install --force webgpu" };
      expect(await saidWith(undefined, adapter)).toEqual({
        message:
          "Dawn could not be loaded: the binary for linux on x64 (dawn.node) is missing from the npm package webgpu",
        ...again,
      });
      expect(await saidWith("not a library", adapter)).toEqual({
        message: expect.stringMatching(
          /^Dawn could not be loaded: the binary of the npm package webgpu \(dawn\.node\) is damaged \(.+\)$/,
        ),
        ...again,
      });
    });
  });
});
