/** Caches that cannot be had, read or written: kernels run all the same, and nothing is left lying about. */
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import {
  cacheEntries,
  cacheFolder,
  cacheRoot,
  libraryRoots,
  loadPrograms,
  type Way,
  writeWhole,
} from "../../compiler/index.ts";
import { Gpu } from "../../runtime/gpu.ts";
import { adaptersUnderTest, withDevice } from "../support/gpu.ts";
import { runProgram } from "../support/program.ts";

const PROGRAM = fileURLToPath(new URL("./programs/any-cache.ts", import.meta.url));
const VARIABLES = ["TILESTATE_CACHE", "XDG_CACHE_HOME", "HOME", "TMPDIR"] as const;
const KERNELS = `import { block, type Tensor } from "tilestate/dsl";
export function scale(x: Tensor<"n">, y: Tensor<"n">): void {
  const i = block("n");
  y.set([i], x.at(i) * 3);
}
`;
const [adapter = ""] = adaptersUnderTest();
const before = VARIABLES.map((name) => [name, process.env[name]] as const);
/** The module that the compiler works with: what is replaced in it is replaced there. */
const fs = process.getBuiltinModule("node:fs");
const os = process.getBuiltinModule("node:os");
const user = process.getuid?.() ?? "user";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "tilestate-faults-"));
  writeFileSync(join(folder, "kernels.ts"), KERNELS);
  process.env.TILESTATE_CACHE = join(folder, "cache");
});
afterEach(() => {
  vi.restoreAllMocks();
  for (const [name, value] of before) {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
  rmSync(folder, { recursive: true, force: true });
});

const url = (): string => pathToFileURL(join(folder, "kernels.ts")).href;

/** How the kernel is come by twice in a row, and that it computes. */
async function twice(): Promise<Way[]> {
  const ways = [(await loadPrograms(url(), ["scale"])).way, (await loadPrograms(url(), ["scale"])).way];
  const gpu = new Gpu(await withDevice(adapter));
  const { scale } = await gpu.kernels({ url: url() }, { scale: (..._: unknown[]): void => {} });
  const x = gpu.tensor([3], "f32", { data: [1, 2, 5] });
  const y = gpu.tensor([3]);
  (scale as (...args: unknown[]) => void)(x, y);
  expect([...(await y.read())]).toEqual([3, 6, 15]);
  for (const t of [x, y]) t.destroy();
  return ways;
}

function failure(code: string): Error {
  return Object.assign(new Error(`${code}: injected`), { code });
}

/** Lets calls of a function of node:fs fail that are about a path in the cache. */
function failing(
  name: "mkdirSync" | "writeFileSync" | "renameSync" | "readFileSync" | "readdirSync" | "utimesSync",
  code: string,
): void {
  const real = fs[name] as (...args: unknown[]) => unknown;
  vi.spyOn(fs, name as "mkdirSync").mockImplementation(((...args: unknown[]): unknown => {
    if (!String(args[0]).startsWith(join(folder, "cache"))) return real(...args);
    // A full disk has taken some of it.
    if (name === "writeFileSync" && code === "ENOSPC") real(args[0], String(args[1]).slice(0, 10));
    throw failure(code);
  }) as never);
}

/** Everything below the cache's folder. */
function left(): string[] {
  try {
    return readdirSync(join(folder, "cache"), { recursive: true }).map(String).sort();
  } catch {
    return [];
  }
}

describe("no home directory", () => {
  beforeEach(() => {
    for (const name of VARIABLES) delete process.env[name];
    vi.spyOn(os, "homedir").mockImplementation(() => {
      throw failure("ENOENT");
    });
  });

  test("leaves the folder that XDG_CACHE_HOME names, which comes before HOME", async () => {
    process.env.XDG_CACHE_HOME = join(folder, "xdg");
    expect(await twice()).toEqual(["compiled", "cached"]);
    expect(cacheFolder()).toBe(join(folder, "xdg", "tilestate", "kernels"));
    process.env.HOME = join(folder, "home");
    expect(cacheRoot()).toBe(join(folder, "xdg", "tilestate"));
    // The specification has relative names ignored.
    process.env.XDG_CACHE_HOME = "xdg";
    expect(cacheRoot()).toBe(join(folder, "home", ".cache", "tilestate"));
    delete process.env.HOME;
    expect(cacheRoot()).not.toContain("xdg");
  });

  test("leaves a folder of our own among the temporary files", async () => {
    process.env.TMPDIR = folder;
    expect(await twice()).toEqual(["compiled", "cached"]);
    const own = join(folder, `tilestate-${user}`);
    expect(cacheEntries().every((e) => e.path.startsWith(join(own, "kernels")))).toBe(true);
    expect(fs.statSync(own).mode & 0o777).toBe(0o700);
  });

  const prepared: readonly [string, (own: string) => void][] = [
    [
      "that others may write",
      (own) => {
        mkdirSync(own);
        chmodSync(own, 0o777);
      },
    ],
    [
      "that is a link",
      (own) => {
        mkdirSync(`${own}-elsewhere`);
        symlinkSync(`${own}-elsewhere`, own);
      },
    ],
    ["that is a file", (own) => writeFileSync(own, "")],
  ];
  test.each(prepared)("takes no folder there %s", async (_, prepare) => {
    process.env.TMPDIR = folder;
    prepare(join(folder, `tilestate-${user}`));
    expect(await twice()).toEqual(["compiled", "compiled"]);
    expect([cacheRoot(), cacheFolder(), libraryRoots()]).toEqual([undefined, undefined, []]);
    expect(readdirSync(folder, { recursive: true }).filter((f) => String(f).endsWith(".json"))).toEqual([]);
  });
});

describe("a cache that fails", () => {
  test.each([
    ["mkdirSync", "EROFS"],
    ["mkdirSync", "EACCES"],
    ["mkdirSync", "ENOENT"],
    ["writeFileSync", "EROFS"],
    ["writeFileSync", "EACCES"],
    ["writeFileSync", "ENOSPC"],
    ["renameSync", "ENOSPC"],
    ["renameSync", "EXDEV"],
  ] as const)("%s with %s: kernels are compiled each time, and no draft stays", async (name, code) => {
    failing(name, code);
    expect(await twice()).toEqual(["compiled", "compiled"]);
    expect(left().filter((f) => f.includes(".json"))).toEqual([]);
    vi.restoreAllMocks();
    // What there was of it is in nobody's way later.
    expect(await twice()).toEqual(["compiled", "cached"]);
  });

  test.each([
    ["readFileSync", "EACCES", ["compiled", "compiled"]],
    ["readFileSync", "EIO", ["compiled", "compiled"]],
    ["utimesSync", "EPERM", ["cached", "cached"]],
    ["readdirSync", "EACCES", ["cached", "cached"]],
  ] as const)("%s with %s when there is an entry", async (name, code, ways) => {
    expect(await twice()).toEqual(["compiled", "cached"]);
    failing(name, code);
    expect(await twice()).toEqual(ways);
  });

  test("that can only be read still serves", async () => {
    expect(await twice()).toEqual(["compiled", "cached"]);
    for (const name of ["mkdirSync", "writeFileSync", "renameSync", "utimesSync"] as const) failing(name, "EROFS");
    expect(await twice()).toEqual(["cached", "cached"]);
  });

  test.each([
    ["the root", "cache"],
    ["the folder of kernels", "cache/kernels"],
    ["something above it", "cache/../above"],
  ])("%s being a file", async (_, name) => {
    mkdirSync(join(folder, "cache"));
    rmSync(join(folder, name), { recursive: true, force: true });
    writeFileSync(join(folder, name), "mine");
    process.env.TILESTATE_CACHE = join(
      folder,
      name === "cache/kernels" ? "cache" : name,
      ...(name.includes("above") ? ["a", "b"] : []),
    );
    const ways = await twice();
    expect(ways).toEqual(name === "cache/kernels" ? ["compiled", "cached"] : ["compiled", "compiled"]);
    expect(readFileSync(join(folder, name), "utf8")).toBe("mine");
  });

  test("writeWhole removes its draft when it cannot rename it, and says why", () => {
    const target = join(folder, "cache", "out.ts");
    failing("renameSync", "EACCES");
    expect(() => writeWhole(target, "text")).toThrow("EACCES: injected");
    expect(left()).toEqual([]);
    vi.restoreAllMocks();
    mkdirSync(target);
    expect(() => writeWhole(target, "text")).toThrow();
    expect(left()).toEqual(["out.ts"]);
  });
});

describe("in processes of their own", () => {
  /** Without a hang that would outlast the test. */
  const run = async (env: Readonly<Record<string, string>>): Promise<unknown> => {
    const { code, out, errors } = await runProgram(PROGRAM, [url(), adapter], env, 100_000);
    expect(code, errors).toBe(0);
    return JSON.parse(out.trim().split("\n").at(-1) ?? "");
  };

  test.runIf(process.platform === "linux").each(["/proc/x", "/dev/null/x/y"])(
    "TILESTATE_CACHE=%s neither hangs nor stops anything",
    async (cache) => {
      expect(await run({ TILESTATE_CACHE: cache, TMPDIR: folder })).toEqual({ way: "compiled", y: [3, 6, 9, 12] });
    },
  );

  test("several that write one entry at the same moment leave one that is right", async () => {
    const once = (): Promise<unknown> => run({ TILESTATE_CACHE: join(folder, "cache") });
    const all = (await Promise.all([once(), once(), once()])) as { way: string; y: number[] }[];
    for (const { y } of all) expect(y).toEqual([3, 6, 9, 12]);
    expect(all.some((r) => r.way === "compiled")).toBe(true);
    expect(left().filter((f) => f.startsWith("kernels"))).toEqual([
      "kernels",
      expect.stringMatching(/[0-9a-f]{64}\.json$|CACHEDIR\.TAG$/),
      expect.stringMatching(/[0-9a-f]{64}\.json$|CACHEDIR\.TAG$/),
    ]);
    expect(await once()).toEqual({ way: "cached", y: [3, 6, 9, 12] });
  });
});
