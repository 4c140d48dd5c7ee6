/** The artefacts that ship with the built-in kernels are what their sources compile to, and are what is used. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { shippedText } from "../../compiler/artefacts/build-shipped.ts";
import { loadPrograms, type Shipped } from "../../compiler/index.ts";
import { builtIns } from "../../models/builtins.ts";

describe.each(builtIns().map((b) => [b.url.split("/").slice(-2).join("/"), b] as const))(
  "kernels of %s",
  (_, built) => {
    const { names, compiled, shipped } = built;

    it("ship as they compile today (if not: npm run ship)", () => {
      const text = readFileSync(compiled, "utf8");
      expect(text === shippedText(built, names)).toBe(true);
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
  /** What comes compiled with the module, as a process has it that imported it now. */
  function ship(): Shipped {
    const text = shippedText({ url: pathToFileURL(join(folder, "kernels.ts")).href }, ["scale"]);
    return JSON.parse(/= (\{.*\});\n$/s.exec(text)?.[1] ?? "") as Shipped;
  }
  /** How the kernel is come by, and the number that it multiplies with. */
  async function found(shipped: Shipped): Promise<readonly unknown[]> {
    const url = pathToFileURL(join(folder, "kernels.ts")).href;
    const { way, programs } = await loadPrograms({ url, shipped }, ["scale"]);
    return [way, ...(programs.get("scale")?.body ?? []).flatMap((op) => (op.op === "const" ? [op.value] : []))];
  }

  it.each([
    ["at once", 0],
    ["after a while", 300],
  ])("gets what the source says %s, and what ships where that is the same", async (_, pause) => {
    const settle = (): Promise<void> => new Promise((done) => setTimeout(done, pause));
    write("kernels.ts", KERNELS);
    write("helper.ts", HELPER);
    const two = ship();
    await settle();
    expect(await found(two)).toEqual(["shipped", 2]);
    expect(await found(two)).toEqual(["shipped", 2]);
    // As long as before, and not the file that was asked for.
    write("helper.ts", HELPER.replace("2", "3"));
    await settle();
    expect(await found(two)).toEqual(["compiled", 3]);
    const three = ship();
    expect(await found(three)).toEqual(["shipped", 3]);
    write("helper.ts", HELPER);
    await settle();
    expect(await found(three)).toEqual(["compiled", 2]);
    expect(await found(two)).toEqual(["shipped", 2]);
    rmSync(join(folder, "helper.ts"));
    await expect(found(two)).rejects.toThrow("helper");
  });

  it("compiles where what ships is damaged", async () => {
    write("kernels.ts", KERNELS);
    write("helper.ts", HELPER);
    const whole = ship();
    expect(await found(whole)).toEqual(["shipped", 2]);
    const text = whole.bundle.kernels.scale ?? "";
    for (const spoilt of [text.slice(0, text.length / 2), "null", ""]) {
      expect(spoilt).not.toBe(text);
      const damaged = { ...whole, bundle: { ...whole.bundle, kernels: { scale: spoilt } } };
      expect(await found(damaged)).toEqual(["compiled", 2]);
    }
  });
});
