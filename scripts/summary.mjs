/**
 * Sums up the JSON reports of vitest: `node scripts/summary.mjs FAILED REPORT.json=ADAPTER,ADAPTER ...`, where FAILED
 * counts what went wrong outside of the tests, and the adapters are those that tests must have run on.
 *
 * Prints one line per report and closes with `N passed, N failed`. A report that is absent, a suite that could not be
 * loaded, a test that was left out, an adapter that no test ran on, and a run that left with a failure (told by a file
 * REPORT.failed) although no test failed all count as failures: a run without its GPU suites must not pass.
 */
import { existsSync, readFileSync } from "node:fs";
import { basename } from "node:path";

let passed = 0;
let failed = Number(process.argv[2] ?? 0);

for (const [path = "", adapters = ""] of process.argv.slice(3).map((argument) => argument.split("="))) {
  const { good, faults, note } = read(path, adapters.split(",").filter(Boolean));
  passed += good;
  failed += faults.length;
  console.log(`${basename(path, ".json")}: ${good} passed, ${faults.length} failed${note}`);
  for (const fault of faults) console.log(`  ${fault}`);
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 && passed > 0 ? 0 : 1);

function read(path, adapters) {
  if (!existsSync(path)) return { good: 0, faults: ["wrote no report: the run did not come to its end"], note: "" };
  const report = JSON.parse(readFileSync(path, "utf8"));
  const faults = [];
  const ran = new Map(adapters.map((name) => [name, 0]));
  let good = 0;
  for (const file of report.testResults) {
    const tests = file.assertionResults;
    if (file.status === "failed" && !tests.some((test) => test.status === "failed")) {
      faults.push(`${file.name}: ${String(file.message || "could not be run").split("\n")[0]}`);
    }
    for (const test of tests) {
      if (test.status !== "passed") {
        faults.push(`${file.name}: ${test.fullName}: ${test.status === "failed" ? "failed" : "was left out"}`);
        continue;
      }
      good++;
      for (const name of adapters) if (test.fullName.includes(name)) ran.set(name, ran.get(name) + 1);
    }
  }
  for (const [name, count] of ran) if (count === 0) faults.push(`no test ran on the adapter ${name}`);
  const crashed = existsSync(path.replace(/\.json$/, ".failed"));
  if ((crashed || !report.success) && faults.length === 0) faults.push("the run failed although no test did");
  return { good, faults, note: [...ran].map(([name, count]) => `, ${count} on ${name}`).join("") };
}
