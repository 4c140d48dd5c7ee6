/**
 * `npm test`, `bun run test`, `deno task test`: installs what is missing, then runs the whole suite, or the files named
 * as arguments, in the runtime that this was started with. vitest.config.ts chooses the kind of workers.
 */
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { ensureInstalled, root, runArguments, start } from "./runtime.mjs";

await ensureInstalled({ dev: true });
const program = "node_modules/vitest/vitest.mjs";
const env = {
  // Mesa's compiled shaders, kept between runs. Set here because a driver sees only the environment its process was
  // started with.
  MESA_SHADER_CACHE_DIR: process.env.MESA_SHADER_CACHE_DIR ?? join(root, ".cache", "mesa"),
  // Files run side by side already.
  LP_NUM_THREADS: process.env.LP_NUM_THREADS ?? String(availableParallelism()),
};
process.exit(await start([...runArguments(program), program, "run", ...process.argv.slice(2)], env));
