/**
 * `npm run test:package`: the package as it is installed from its tarballs. A run of its own, because it builds them
 * and installs runtimes first.
 */
import { defineConfig, type ViteUserConfig } from "vitest/config";

const report = process.env.TILESTATE_TEST_REPORT;

const config: ViteUserConfig = defineConfig({
  cacheDir: ".cache/vite",
  test: {
    name: "package",
    include: ["test/package/**/*.test.ts"],
    pool: "forks",
    maxWorkers: 2,
    testTimeout: 120_000,
    hookTimeout: 300_000,
    passWithNoTests: false,
    reporters: report ? ["default", ["json", { outputFile: report }]] : ["default"],
    globalSetup: "test/package/setup.ts",
  },
});

export default config;
