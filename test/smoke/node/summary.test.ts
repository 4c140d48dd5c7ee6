/**
 * The summary that continuous integration closes with: whatever is wrong with a run has to end in a failure, above all
 * tests that did not run.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";

const folder = mkdtempSync(join(tmpdir(), "tilestate-summary-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const script = fileURLToPath(new URL("../../../scripts/summary.mjs", import.meta.url));
const flags = process.versions.deno === undefined ? [] : ["run", "-A"];
const GOOD: Readonly<Record<string, string>> = { "adds on llvmpipe": "passed", "adds on swiftshader": "passed" };

/** Sums up one report of the given tests. */
function summarise(
  tests: Readonly<Record<string, string>>,
  more: object = {},
  failedSteps = 0,
): [number | null, string] {
  const assertionResults = Object.entries(tests).map(([fullName, status]) => ({ fullName, status }));
  const testResults = [{ name: "a.test.ts", status: "passed", message: "", assertionResults, ...more }];
  const path = join(folder, "node.json");
  writeFileSync(path, JSON.stringify({ success: true, testResults }));
  return run(failedSteps, `${path}=llvmpipe,swiftshader`);
}

function run(failedSteps: number, ...paths: string[]): [number | null, string] {
  const { status, stdout } = spawnSync(process.execPath, [...flags, script, String(failedSteps), ...paths]);
  return [status, stdout.toString().trimEnd().split("\n").at(-1) ?? ""];
}

describe("the summary", () => {
  it("passes what passed, and closes with the counts", () => {
    expect(summarise(GOOD)).toEqual([0, "2 passed, 0 failed"]);
  });

  it.each([
    ["a failed test", { ...GOOD, "and this": "failed" }, {}, "2 passed, 1 failed"],
    ["a skipped test", { ...GOOD, "and this": "pending" }, {}, "2 passed, 1 failed"],
    ["a test that is only planned", { ...GOOD, "and this": "todo" }, {}, "2 passed, 1 failed"],
    ["a file that did not load", GOOD, { status: "failed", message: "no such module" }, "2 passed, 1 failed"],
    ["an adapter without tests", { "adds on llvmpipe": "passed" }, {}, "1 passed, 1 failed"],
  ])("fails %s", (_, tests, more, last) => {
    expect(summarise(tests, more)).toEqual([1, last]);
  });

  it("asks only for the adapters that the run was about", () => {
    const path = join(folder, "bare.json");
    const assertionResults = [{ fullName: "adds on swiftshader", status: "passed" }];
    const testResults = [{ name: "a.test.ts", status: "passed", message: "", assertionResults }];
    writeFileSync(path, JSON.stringify({ success: true, testResults }));
    expect(run(0, `${path}=swiftshader`)).toEqual([0, "1 passed, 0 failed"]);
    expect(run(0, `${path}=swiftshader,native`)).toEqual([1, "1 passed, 1 failed"]);
    expect(run(0, path)).toEqual([0, "1 passed, 0 failed"]);
  });

  it("fails a step outside of the tests, an absent report, a run that crashed after its tests, and nothing at all", () => {
    expect(summarise(GOOD, {}, 1)).toEqual([1, "2 passed, 1 failed"]);
    expect(run(0, join(folder, "absent.json"))).toEqual([1, "0 passed, 1 failed"]);
    writeFileSync(join(folder, "node.failed"), "");
    expect(summarise(GOOD)).toEqual([1, "2 passed, 1 failed"]);
    expect(run(0)).toEqual([1, "0 passed, 0 failed"]);
  });
});
