/**
 * `npm start`, `bun run start`, `deno task start`: installs what a run needs, then shows the demo in the runtime that this was started with.
 */
import { ensureInstalled, runtime, start } from "./runtime.mjs";

await ensureInstalled({ dev: false });
const run = runtime === "bun" ? ["--bun"] : runtime === "deno" ? ["run", "-A"] : [];
process.exit(await start([...run, "cli/tilestate.mjs", "demo", ...process.argv.slice(2)]));
