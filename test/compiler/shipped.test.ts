/** The artefacts that ship with the built-in kernels are what their sources compile to, and are what is used. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { loadPrograms } from "../../compiler/index.ts";
import { shippedText } from "../../compiler/ship.ts";
import { builtIns } from "../../models/builtins.ts";

describe.each(builtIns().map((b) => [b.url.split("/").slice(-2).join("/"), b] as const))(
  "kernels of %s",
  (_, { url, names }) => {
    it("ship as they compile today (if not: npm run ship)", () => {
      const text = readFileSync(new URL("./compiled.json", url), "utf8");
      expect(text === shippedText(url, names)).toBe(true);
      expect(text).not.toMatch(/file:|\/home\/|\/root\/|\\\\/);
    });

    it("are loaded from what ships", async () => {
      const loaded = await loadPrograms(url, names);
      expect(loaded.way).toBe("shipped");
      expect([...loaded.programs.keys()].sort()).toEqual([...names].sort());
    });
  },
);
