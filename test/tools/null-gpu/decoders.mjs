/**
 * Compiles all that runs of the embedded model need with a real GPU's compiler, for several families of GPUs:
 * `node test/tools/null-gpu/decoders.mjs [FAMILY ...]`.
 *
 * Fails when a driver refuses a shader, when the adapter is not the one that was asked for, or when nothing was
 * compiled.
 */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

/** RDNA 2, 3 and 4, then two that have subgroups of 64 only (the second without graphics), then one without f16. */
const FAMILIES = ["navi21", "navi31", "gfx1201", "vega10", "mi200", "polaris10"];
const RUNS = [
  ["hearth", "--state", "full", "--state", "tova:128,recent=16", "--state", "window:128", "--batch", "4"],
  ["--shape", "stories15M", "--state", "tova:128", "--weights", "q4"],
];

const root = fileURLToPath(new URL("../../../", import.meta.url));
const program = fileURLToPath(new URL("./null-gpu", import.meta.url));
const wanted = process.argv.slice(2);
let failed = 0;
for (const family of wanted.length > 0 ? wanted : FAMILIES) {
  for (const run of RUNS) {
    const args = [family, process.execPath, "cli/tilestate.mjs", "warm", ...run, "--json"];
    // Without the driver's cache, or a second run would compile nothing.
    const env = { ...process.env, MESA_SHADER_CACHE_DISABLE: "true" };
    const { status, stdout, stderr, error } = spawnSync(program, args, { cwd: root, encoding: "utf8", env });
    const problem = error?.message ?? (status === 0 ? problemOf(JSON.parse(stdout), family) : `ended with ${status}`);
    if (problem === undefined) {
      const { decoders, milliseconds } = JSON.parse(stdout);
      console.log(
        `${family}: ${run.join(" ")}: ${pipelines(decoders)} pipelines in ${(milliseconds / 1000).toFixed(1)} s`,
      );
      continue;
    }
    failed++;
    console.log(`${family}: ${run.join(" ")}: ${problem}\n${stderr ?? ""}`);
  }
}
process.exit(failed === 0 ? 0 : 1);

function pipelines(decoders) {
  return decoders.reduce(
    (sum, { load, parts }) => parts.reduce((n, part) => n + part.pipelines, sum + load.pipelines),
    0,
  );
}

function problemOf({ adapter, decoders }, family) {
  if (!adapter.name.includes(family)) return `ran on "${adapter.name}"`;
  return pipelines(decoders) > 20 ? undefined : `compiled ${pipelines(decoders)} pipelines only`;
}
