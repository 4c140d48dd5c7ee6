/**
 * Whose files the cache's are: what is ours is kept within bounds by use, and nothing else in the folder is listed,
 * counted, removed or written over.
 */
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { cacheEntries, cacheFolder, clearCache, loadPrograms, type Way } from "../../compiler/index.ts";
import { cli } from "../cli/run.ts";

const MIB = 1 << 20;
const KERNELS = `import { block, type Tensor } from "tilestate/dsl";
export function scale(x: Tensor<"n">, y: Tensor<"n">): void {
  const i = block("n");
  y.set([i], x.at(i) * 2);
}
export function shift(x: Tensor<"n">, y: Tensor<"n">): void {
  const i = block("n");
  y.set([i], x.at(i) + 1);
}
`;

let folder = "";
let before: string | undefined;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "tilestate-cache-"));
  before = process.env.TILESTATE_CACHE;
  process.env.TILESTATE_CACHE = join(folder, "cache");
  writeFileSync(join(folder, "kernels.ts"), KERNELS);
});
afterEach(() => {
  if (before === undefined) delete process.env.TILESTATE_CACHE;
  else process.env.TILESTATE_CACHE = before;
  rmSync(folder, { recursive: true, force: true });
});

const load = async (...names: string[]): Promise<Way> =>
  (await loadPrograms(pathToFileURL(join(folder, "kernels.ts")).href, names)).way;
const inCache = (...names: string[]): string => join(folder, "cache", ...names);
/** Sets when a file was used last, in hours before now. */
const used = (file: string, hours: number): void => {
  const then = new Date(Date.now() - hours * 3_600_000);
  utimesSync(file, then, then);
};
/** A file of so many bytes that takes no room on the disk. */
const large = (file: string, bytes: number): void => {
  writeFileSync(file, "");
  truncateSync(file, bytes);
};
const entryName = (digit: string): string => `${digit.repeat(64)}.json`;

describe("the folder of compiled kernels", () => {
  test("is marked as a cache", async () => {
    await load("scale");
    expect(readFileSync(inCache("kernels", "CACHEDIR.TAG"), "utf8")).toMatch(
      /^Signature: 8a477f597d28d172789f06886806bc55\n/,
    );
    expect(cacheEntries().map((e) => e.path)).toEqual([
      expect.stringMatching(/[/\\]cache[/\\]kernels[/\\][0-9a-f]{64}\.json$/),
    ]);
  });

  test("keeps its hands off files of others in it", async () => {
    await load("scale");
    const foreign = [
      "mine.ts",
      "mine.json",
      `${"a".repeat(63)}.json`,
      `${"A".repeat(64)}.json`,
      `${entryName("b")}.bak`,
    ];
    for (const name of foreign) large(inCache("kernels", name), 70 * MIB);
    mkdirSync(inCache("kernels", entryName("c")));
    for (const name of foreign) used(inCache("kernels", name), 1000);
    expect(await load("shift")).toBe("compiled");
    expect(await load("scale")).toBe("cached");
    const entries = cacheEntries();
    expect(entries).toHaveLength(2);
    expect(entries.reduce((n, e) => n + e.bytes, 0)).toBeLessThan(MIB);
    const { out } = await cli("kernels", "cache", "clear");
    expect(out).toBe(`2 entries removed from ${inCache("kernels")}\n`);
    expect(readdirSync(inCache("kernels")).sort()).toEqual([...foreign, entryName("c"), "CACHEDIR.TAG"].sort());
    for (const name of foreign) expect(statSync(inCache("kernels", name)).size).toBe(70 * MIB);
  });

  test("is another one where the user has a folder of that name", async () => {
    mkdirSync(inCache("kernels"), { recursive: true });
    writeFileSync(inCache("kernels", "blur.ts"), "// mine");
    expect([await load("scale"), await load("scale")]).toEqual(["compiled", "cached"]);
    expect(readdirSync(inCache("kernels"))).toEqual(["blur.ts"]);
    expect(cacheFolder()).toBe(inCache("tilestate-kernels"));
    expect([cacheEntries().length, clearCache()]).toEqual([1, 1]);
    expect(readdirSync(inCache("kernels"))).toEqual(["blur.ts"]);
    expect(await load("scale")).toBe("compiled");
  });

  test("is none where both names are taken", async () => {
    for (const name of ["kernels", "tilestate-kernels"]) {
      mkdirSync(inCache(name), { recursive: true });
      writeFileSync(inCache(name, "notes.txt"), "mine");
    }
    expect([await load("scale"), await load("scale")]).toEqual(["compiled", "compiled"]);
    expect([cacheFolder(), cacheEntries().length, clearCache()]).toEqual([undefined, 0, 0]);
    expect(readdirSync(inCache("kernels"))).toEqual(["notes.txt"]);
  });

  test("loses what was used longest ago when it has grown beyond 64 MiB", async () => {
    await load("scale");
    const [own] = cacheEntries();
    const ownPath = own?.path ?? "";
    const [old, recent] = [inCache("kernels", entryName("1")), inCache("kernels", entryName("2"))];
    large(old, 40 * MIB);
    large(recent, 40 * MIB);
    used(ownPath, 9);
    used(old, 5);
    used(recent, 1);
    // A hit makes an entry new: by the time of its writing it would be the first to go.
    expect(await load("scale")).toBe("cached");
    expect(cacheEntries().map((e) => e.path)).toEqual([ownPath, recent, old]);
    expect(await load("shift")).toBe("compiled");
    const left = cacheEntries().map((e) => e.path);
    expect(left).toHaveLength(3);
    expect(left.slice(1)).toEqual([ownPath, recent]);
    expect(await load("scale")).toBe("cached");
  });

  test("loses drafts of processes that died, and not those that are being written", async () => {
    await load("scale");
    const [dead, live] = [`${entryName("3")}.4711.abc`, `${entryName("4")}.4712.def`];
    for (const name of [dead, live]) writeFileSync(inCache("kernels", name), '{"hash":');
    used(inCache("kernels", dead), 25);
    await load("shift");
    const names = readdirSync(inCache("kernels"));
    expect([names.includes(dead), names.includes(live)]).toEqual([false, true]);
    expect(cacheEntries()).toHaveLength(2);
    expect(clearCache()).toBe(2);
    expect(readdirSync(inCache("kernels"))).toEqual(["CACHEDIR.TAG"]);
  });
});
