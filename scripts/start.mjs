/**
 * `npm start`, `bun run start`, `deno task start`: installs what a run needs, then shows the demo in the runtime that
 * this was started with.
 */
import { ensureInstalled, runArguments, start } from "./runtime.mjs";

await ensureInstalled({ dev: false });
const program = "cli/tilestate.mjs";
process.exit(await start([...runArguments(program), program, "demo", ...process.argv.slice(2)]));
