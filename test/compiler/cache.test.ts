/** The artefact cache: what is found again, what makes it look again, and that finding needs no compiler. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath, pathToFileURL } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { cacheEntries, cacheFolder, clearCache, KernelError, loadPrograms, type Way } from "../../compiler/index.ts";
import { runProgram } from "../support/program.ts";

const PROGRAM = fileURLToPath(new URL("./programs/load.ts", import.meta.url));
const KERNELS = `import { block, type Tensor } from "tilestate/dsl";
import { factor } from "./helper.ts";

export function scale(x: Tensor<"n">, y: Tensor<"n">): void {
  const i = block("n");
  y.set([i], factor(x.at(i)));
}

export function shift(x: Tensor<"n">, y: Tensor<"n">): void {
  const i = block("n");
  y.set([i], x.at(i) + 1);
}
`;
const HELPER = `export function factor(x: number): number {
  return x * 2;
}
`;

let folder = "";
let before: string | undefined;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "tilestate-cache-"));
  before = process.env.TILESTATE_CACHE;
  process.env.TILESTATE_CACHE = join(folder, "cache");
  writeFileSync(join(folder, "kernels.ts"), KERNELS);
  writeFileSync(join(folder, "helper.ts"), HELPER);
});
afterEach(() => {
  if (before === undefined) delete process.env.TILESTATE_CACHE;
  else process.env.TILESTATE_CACHE = before;
  rmSync(folder, { recursive: true, force: true });
});

const url = (): string => pathToFileURL(join(folder, "kernels.ts")).href;
const way = async (...names: string[]): Promise<Way> => (await loadPrograms(url(), names)).way;
/** The numbers that stand in a kernel: enough to tell versions apart. */
async function constants(name: string): Promise<number[]> {
  const program = (await loadPrograms(url(), [name])).programs.get(name);
  return (program?.body ?? []).flatMap((op) => (op.op === "const" ? [op.value] : []));
}

describe("the cache of compiled kernels", () => {
  test("finds what it has, for each set of kernels", async () => {
    expect(await way("scale")).toBe("compiled");
    expect(await way("scale")).toBe("cached");
    expect(await way("scale", "shift")).toBe("compiled");
    expect(await way("shift", "scale")).toBe("cached");
    expect(cacheEntries()).toHaveLength(2);
    expect(cacheFolder()).toBe(join(folder, "cache", "kernels"));
    expect(clearCache()).toBe(2);
    expect(await way("scale")).toBe("compiled");
  });

  test("gives what compiling gave", async () => {
    const first = await loadPrograms(url(), ["scale", "shift"]);
    const second = await loadPrograms(url(), ["scale", "shift"]);
    expect(second.way).toBe("cached");
    expect(second.programs).toEqual(first.programs);
  });

  test("looks again when the source changes, and when only a helper's file does", async () => {
    expect(await constants("scale")).toEqual([2]);
    writeFileSync(join(folder, "helper.ts"), HELPER.replace("2", "3"));
    expect(await way("scale")).toBe("compiled");
    expect(await constants("scale")).toEqual([3]);
    writeFileSync(join(folder, "kernels.ts"), KERNELS.replace("x.at(i))", "x.at(i)) + 5"));
    expect(await constants("scale")).toEqual([3, 5]);
    // What was right once is right again, found under the same name.
    writeFileSync(join(folder, "kernels.ts"), KERNELS);
    expect(await way("scale")).toBe("compiled");
    expect(cacheEntries()).toHaveLength(1);
  });

  test("looks again when a file is gone", async () => {
    await way("scale");
    rmSync(join(folder, "helper.ts"));
    await expect(way("scale")).rejects.toThrow(KernelError);
  });

  test.each([
    ["empty", () => ""],
    ["cut off", (text: string) => text.slice(0, text.length / 2)],
    ["no artefact", () => "[1, 2]"],
    ["of another compiler", (text: string) => text.replace(/"compiler":"\w+"/, '"compiler":"older"')],
  ])("passes over an entry that is %s", async (_, spoil) => {
    await way("scale");
    const [entry] = cacheEntries();
    const path = entry?.path ?? "";
    writeFileSync(path, spoil(readFileSync(path, "utf8")));
    expect(await way("scale")).toBe("compiled");
    expect(await way("scale")).toBe("cached");
  });

  test("leaves no drafts behind, and keeps nothing of a kernel that does not compile", async () => {
    writeFileSync(join(folder, "helper.ts"), HELPER.replace("x * 2", "Math.abs(x)"));
    await expect(way("scale")).rejects.toThrow("TS-209");
    expect(cacheEntries()).toEqual([]);
    await way("shift");
    const kept = readdirSync(join(folder, "cache", "kernels")).filter((name) => name !== "CACHEDIR.TAG");
    expect(kept).toEqual([expect.stringMatching(/^[0-9a-f]{64}\.json$/)]);
  });

  test("can be off, and need not be writable", async () => {
    process.env.TILESTATE_CACHE = "off";
    expect([await way("scale"), await way("scale")]).toEqual(["compiled", "compiled"]);
    expect(cacheFolder()).toBeUndefined();
    expect(cacheEntries()).toEqual([]);
    expect(clearCache()).toBe(0);
    // A file where the folder should be.
    process.env.TILESTATE_CACHE = join(folder, "helper.ts");
    expect([await way("scale"), await way("scale")]).toEqual(["compiled", "compiled"]);
  });

  test("a second run loads neither TypeScript nor the front end", async () => {
    const run = async (): Promise<unknown> => {
      const { code, out, errors } = await runProgram(PROGRAM, [url(), "scale"]);
      expect(code, errors).toBe(0);
      const { way: how, frontEnd } = JSON.parse(out.trim().split("\n").at(-1) ?? "") as Record<string, unknown>;
      return { how, frontEnd };
    };
    expect(await run()).toEqual({ how: "compiled", frontEnd: true });
    expect(await run()).toEqual({ how: "cached", frontEnd: false });
  });

  test("built-in kernels load without it, too", async () => {
    process.env.TILESTATE_CACHE = "off";
    const { out, errors } = await runProgram(PROGRAM, ["built-in", "attend", "choose"]);
    expect(errors).not.toMatch(/error/i);
    expect(JSON.parse(out.trim().split("\n").at(-1) ?? "")).toMatchObject({ way: "shipped", frontEnd: false });
  });
});
