/**
 * What every runtime has to show of the launcher; each of the three folders beside this file runs it for one.
 */
import { describe, expect, it } from "vitest";
import manifest from "../../package.json" with { type: "json" };
import { type RuntimeName, runtimeProgram, tilestate } from "./support.ts";

/** Declares the suite of one runtime. */
export function launcherSuite(name: RuntimeName): void {
  const program = runtimeProgram(name);
  describe.runIf(program !== undefined)(`tilestate in ${name}`, () => {
    const run = (...args: string[]): ReturnType<typeof tilestate> => tilestate(name, program ?? name, args);

    it("--version prints the version alone", async () => {
      expect(await run("--version")).toEqual({ code: 0, signal: null, out: `${manifest.version}\n`, err: "" });
    });

    it("--help prints the usage", async () => {
      const { code, out, err } = await run("--help");
      expect({ code, err }).toEqual({ code: 0, err: "" });
      expect(out).toMatch(/usage: tilestate/i);
    });

    it("wrong usage is told on stderr, without a stack trace, and leaves with 2", async () => {
      const { code, out, err } = await run("no-such-command");
      expect({ code, out }).toEqual({ code: 2, out: "" });
      expect(err).toContain("no-such-command");
      expect(err).not.toMatch(/^\s+at /m);
    });
  });
}
