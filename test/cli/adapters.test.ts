/** `tilestate adapters`: every adapter with its traits, as the compiler is told them. */
import { describe, expect, test } from "vitest";
import type { Listed } from "../../runtime/adapters/list.ts";
import { TRAITS } from "../../runtime/adapters/traits.ts";
import { adaptersUnderTest } from "../support/gpu.ts";
import { cli, cliJson } from "./run.ts";

describe.each(adaptersUnderTest())("%s", (name) => {
  test("is listed with its traits", async () => {
    const { adapters } = await cliJson<{ adapters: readonly Listed[] }>("adapters");
    const found = adapters.find((a) => JSON.stringify(a).toLowerCase().includes(name));
    if (found === undefined || "problem" in found)
      throw new Error(`${name} is not listed: ${JSON.stringify(adapters)}`);
    expect(found.origin).toBe(name === "swiftshader" ? "embedded" : "system");
    expect(found.capabilities.traits).toEqual(name === "swiftshader" ? TRAITS.swiftshader : TRAITS.lavapipe);
    const { code, out } = await cli("adapters");
    expect(code).toBe(0);
    const lines =
      out
        .slice(out.indexOf(`${found.name}\n`))
        .split("\n\n", 1)[0]
        ?.split("\n") ?? [];
    const said = lines.slice(lines.indexOf("  traits") + 1).map((line) => line.trim().split(/ +/, 1)[0]);
    expect(said.filter((trait) => trait !== "")).toEqual(Object.keys(TRAITS.lavapipe));
  });
});
