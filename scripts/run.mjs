/**
 * Runs a program of the repository, TypeScript or not, in the runtime that this was started with:
 * `node scripts/run.mjs FILE [arguments]`.
 */
import { ensureInstalled, runArguments, start } from "./runtime.mjs";

await ensureInstalled({ dev: true });
const [program = "", ...given] = process.argv.slice(2);
process.exit(await start([...runArguments(program), program, ...given]));
