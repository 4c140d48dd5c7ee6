/**
 * Opening Dawn from a package whose libraries are packed, as those for Windows are.
 *
 * The package is made up, for Linux: Dawn and SwiftShader, the latter under the name of the library that Dawn looks for
 * beside itself, as it looks for compilers of shaders on Windows.
 */
import { createHash } from "node:crypto";
import { chmod, cp, mkdir, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { brotliCompressSync, constants } from "node:zlib";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { unpackEmbedded } from "../../runtime/adapters/swiftshader.ts";
import { OPENS, runtimeAlone } from "../support/alone.ts";
import { EMBEDDED } from "../support/gpu.ts";
import { runProgram } from "../support/program.ts";

describe.runIf(EMBEDDED)("a package with packed libraries", () => {
  const LIBRARIES = ["dawn.node", "libvulkan.so.1"];
  let [folder, binaries, cache] = ["", "", ""];

  beforeAll(async () => {
    folder = await runtimeAlone();
    const made = join(folder, "node_modules/tilestate-linux-x64");
    binaries = join(made, "dist/linux-x64");
    await mkdir(binaries, { recursive: true });
    const manifest = { name: "tilestate-linux-x64", version: "7.8.9", type: "module", exports: { ".": "./index.js" } };
    await writeFile(join(made, "package.json"), JSON.stringify(manifest));
    await writeFile(join(made, "index.js"), "");
    await writeFile(join(binaries, "NOTICE.txt"), "is not a library");
    const whole = unpackEmbedded();
    const contents: Record<string, unknown> = {};
    for (const name of LIBRARIES) {
      const bytes = await readFile(join(whole, name));
      const params = { [constants.BROTLI_PARAM_QUALITY]: 1, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length };
      await writeFile(join(binaries, `${name}.br`), brotliCompressSync(bytes, { params }));
      contents[name] = { bytes: bytes.length, sha256: createHash("sha256").update(bytes).digest("hex") };
    }
    await writeFile(join(binaries, "contents.json"), JSON.stringify(contents));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));
  beforeEach(async () => {
    cache = await mkdtemp(join(tmpdir(), "tilestate-test-"));
    return () => rm(cache, { recursive: true, force: true });
  });

  /** What opening says. */
  async function opened(env: Readonly<Record<string, string>> = {}): Promise<unknown> {
    const { code, out } = await runProgram(join(folder, OPENS), ["auto"], { TILESTATE_CACHE: cache, ...env });
    expect(code).toBe(0);
    return JSON.parse(out);
  }
  const SWIFTSHADER = { name: expect.stringMatching(/swiftshader/i), origin: "system" };
  const foldersIn = async (root: string): Promise<string[]> =>
    (await readdir(root)).filter((name) => !name.endsWith(".checked"));

  test("is unpacked once, into a folder where Dawn finds the library beside it", async () => {
    expect(await opened()).toEqual(SWIFTSHADER);
    const [name = "", ...others] = await foldersIn(cache);
    expect(name).toMatch(/^dawn-linux-x64-7\.8\.9-\d+-[0-9a-f]{24}$/);
    expect(others).toEqual([]);
    expect((await readdir(join(cache, name))).sort()).toEqual(LIBRARIES);
    const made = await stat(join(cache, name, "dawn.node"));
    expect(await opened()).toEqual(SWIFTSHADER);
    expect(await foldersIn(cache)).toEqual([name]);
    const now = await stat(join(cache, name, "dawn.node"));
    expect([now.ino, now.mtimeMs]).toEqual([made.ino, made.mtimeMs]);
  });

  test("is unpacked once by processes that need it at the same moment", async () => {
    expect(await Promise.all([opened(), opened(), opened()])).toEqual([SWIFTSHADER, SWIFTSHADER, SWIFTSHADER]);
    expect(await foldersIn(cache)).toHaveLength(1);
  });

  test.each(LIBRARIES)("is unpacked anew where %s was cut off", async (library) => {
    expect(await opened()).toEqual(SWIFTSHADER);
    const [name = ""] = await foldersIn(cache);
    const file = join(cache, name, library);
    const { size } = await stat(file);
    await truncate(file, 1 << 20);
    expect(await opened()).toEqual(SWIFTSHADER);
    expect((await stat(file)).size).toBe(size);
    expect(await foldersIn(cache)).toEqual([name]);
  });

  test("is said to be damaged where it is", async () => {
    const file = join(binaries, "libvulkan.so.1.br");
    await cp(file, `${file}.kept`);
    try {
      await truncate(file, 1 << 16);
      expect(await opened()).toEqual({
        message: expect.stringMatching(/^Dawn could not be loaded: .*libvulkan\.so\.1\.br is damaged \(.+\)$/),
        hint: "install the package that it belongs to again",
      });
      expect(await foldersIn(cache)).toEqual([]);
    } finally {
      await cp(`${file}.kept`, file);
      await rm(`${file}.kept`);
    }
  });

  test("is said to be damaged where it is another one", async () => {
    const file = join(binaries, "libvulkan.so.1.br");
    await cp(file, `${file}.kept`);
    try {
      await cp(join(binaries, "dawn.node.br"), file);
      expect(await opened()).toEqual({
        message: expect.stringMatching(/libvulkan\.so\.1\.br is damaged \(expected \d+ bytes in it, got \d+\)$/),
        hint: "install the package that it belongs to again",
      });
    } finally {
      await cp(`${file}.kept`, file);
      await rm(`${file}.kept`);
    }
  });

  test("needs a folder that can be written, by nobody else", async () => {
    const file = join(cache, "file");
    await writeFile(file, "");
    const open = join(cache, `tilestate-${process.getuid?.()}`);
    await mkdir(open);
    await chmod(open, 0o777);
    expect(await opened({ TILESTATE_CACHE: join(file, "cache"), TMPDIR: cache })).toEqual({
      message: expect.stringMatching(
        /^Dawn could not be loaded: its libraries could not be unpacked: tried .*file.cache/,
      ),
      hint: "set TILESTATE_CACHE to a folder that can be written",
    });
  });
});
