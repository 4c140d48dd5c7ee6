/**
 * How the tests run, in Node, Bun and Deno alike.
 *
 * Node and Deno get a process per worker: Dawn's native module does not survive being unloaded with a worker thread
 * there. Bun gets threads, because vitest's forks do not work in it. Two workers at most: software adapters use every
 * core already.
 */
import { defineConfig, type ViteUserConfig } from "vitest/config";
import { projectFiles } from "./test/projects.ts";

/**
 * With TILESTATE_TEST_REPORT=FILE a JSON report is written as well; continuous integration counts with it, and tests
 * leave their figures in it.
 */
const report = process.env.TILESTATE_TEST_REPORT;

const config: ViteUserConfig = defineConfig({
  cacheDir: ".cache/vite",
  test: {
    pool: process.versions.bun === undefined ? "forks" : "threads",
    maxWorkers: 2,
    testTimeout: 300_000,
    hookTimeout: 300_000,
    passWithNoTests: false,
    reporters: report ? ["default", ["json", { outputFile: report }]] : ["default"],
    globalSetup: "test/support/setup.ts",
    projects: projectFiles().map(({ name, include, exclude }) => ({ extends: true, test: { name, include, exclude } })),
  },
});

export default config;
