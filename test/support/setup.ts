/**
 * Runs once before the tests of each project: says what this machine lacks, and settles the adapters where a GPU is
 * used.
 */
import { existsSync } from "node:fs";
import type { TestProject } from "vitest/node";
import { settleAdapters } from "./adapters.ts";

/** Kept on the process, since every project loads this file anew. */
const run = process as { tilestateTests?: { said: boolean; adapters: Promise<readonly string[]> | undefined } };

export default async function setup(project: TestProject): Promise<void> {
  run.tilestateTests ??= { said: false, adapters: undefined };
  const state = run.tilestateTests;
  if (!state.said && !existsSync(new URL("../../../shared", import.meta.url)))
    console.warn(
      "There is no ../shared beside this checkout: the tests that need it are skipped, and counted as such.",
    );
  state.said = true;
  if (project.name === "pure") return;
  state.adapters ??= settleAdapters();
  project.provide("adapters", await state.adapters);
}
