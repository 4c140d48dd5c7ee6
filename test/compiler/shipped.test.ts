/** The artefacts that ship with the built-in kernels are what their sources compile to, and are what is used. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadPrograms } from "../../compiler/index.ts";
import { shippedText } from "../../compiler/ship.ts";
import { builtIns } from "../../models/builtins.ts";

describe.each(builtIns().map((b) => [b.url.split("/").slice(-2).join("/"), b] as const))(
  "kernels of %s",
  (_, built) => {
    const { url, names, compiled, shipped } = built;

    it("ship as they compile today (if not: npm run ship)", () => {
      const text = readFileSync(compiled, "utf8");
      expect(text === shippedText(url, names)).toBe(true);
      expect(text).not.toMatch(/file:|\/home\/|\/root\//);
    });

    it("are loaded from what ships", async () => {
      const loaded = await loadPrograms(built, names);
      expect(loaded.way).toBe("shipped");
      expect([...loaded.programs.keys()].sort()).toEqual([...names].sort());
    });

    it("are found without reading a file where the source is not at hand", async () => {
      for (const gone of ["https://example.org/kernels/index.js", "file:///nowhere/kernels/index.js"]) {
        const loaded = await loadPrograms({ url: gone, shipped }, names);
        expect([loaded.way, loaded.programs.size]).toEqual(["shipped", names.length]);
      }
    });
  },
);

describe("a process that outlives edits of kernels that ship", () => {
  const KERNELS = `import { block, type Tensor } from "tilestate/dsl";
import { factor } from "./helper.ts";
export function scale(x: Tensor<"n">, y: Tensor<"n">): void {
  const i = block("n");
  y.set([i], factor(x.at(i)));
}
`;
  const HELPER = "export function factor(x: number): number {\n  return x * 2;\n}\n";
  const before = process.env.TILESTATE_CACHE;
  let folder = "";
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "tilestate-shipped-"));
    process.env.TILESTATE_CACHE = "off";
  });
  afterAll(() => {
    if (before === undefined) delete process.env.TILESTATE_CACHE;
    else process.env.TILESTATE_CACHE = before;
    rmSync(folder, { recursive: true, force: true });
  });

  const write = (name: string, text: string): void => writeFileSync(join(folder, name), text);
  /** How the kernel is come by, and the number that it multiplies with. */
  async function found(): Promise<readonly unknown[]> {
    const { way, programs } = await loadPrograms(pathToFileURL(join(folder, "kernels.ts")).href, ["scale"]);
    return [way, ...(programs.get("scale")?.body ?? []).flatMap((op) => (op.op === "const" ? [op.value] : []))];
  }
  const ship = (): void =>
    write("compiled.json", shippedText(pathToFileURL(join(folder, "kernels.ts")).href, ["scale"]));

  it.each([
    ["at once", 0],
    ["after a while", 300],
  ])("gets what the source says %s, and what ships where that is the same", async (_, pause) => {
    const settle = (): Promise<void> => new Promise((done) => setTimeout(done, pause));
    write("kernels.ts", KERNELS);
    write("helper.ts", HELPER);
    rmSync(join(folder, "compiled.json"), { force: true });
    expect(await found()).toEqual(["compiled", 2]);
    ship();
    await settle();
    expect(await found()).toEqual(["shipped", 2]);
    expect(await found()).toEqual(["shipped", 2]);
    // As long as before, and not the file that was asked for.
    write("helper.ts", HELPER.replace("2", "3"));
    await settle();
    expect(await found()).toEqual(["compiled", 3]);
    ship();
    await settle();
    expect(await found()).toEqual(["shipped", 3]);
    write("helper.ts", HELPER);
    expect(await found()).toEqual(["compiled", 2]);
    write("helper.ts", HELPER.replace("2", "3"));
    await settle();
    expect(await found()).toEqual(["shipped", 3]);
    rmSync(join(folder, "helper.ts"));
    await expect(found()).rejects.toThrow("helper");
  });

  it("compiles where what ships is damaged", async () => {
    write("kernels.ts", KERNELS);
    write("helper.ts", HELPER);
    ship();
    expect(await found()).toEqual(["shipped", 2]);
    const text = readFileSync(join(folder, "compiled.json"), "utf8");
    for (const spoilt of [
      text.slice(0, text.length / 2),
      text.replace('\\"op\\":\\"load\\"', '\\"op\\":\\"lode\\"'),
      "null",
      "{}",
    ]) {
      expect(spoilt).not.toBe(text);
      write("compiled.json", spoilt);
      expect(await found()).toEqual(["compiled", 2]);
    }
  });
});
