#!/usr/bin/env node
/**
 * The `tilestate` command: hands the arguments to cli/main.ts and leaves with its exit code.
 *
 * Bun, Deno and Node from 22.18 on run TypeScript as it stands. Older Nodes, and any Node when the package lies under node_modules (where it refuses to
 * strip types), get tsx's loader first; Deno, which refuses the same, gets its own stripping through a module hook. This file is plain JavaScript because
 * it must run before that is settled, and so that old Nodes get a sentence instead of a syntax error.
 */
import { readFileSync } from "node:fs";
import * as nodeModule from "node:module";

const { versions, features } = process;
const onNode = versions.bun === undefined && versions.deno === undefined;
const [major = 0, minor = 0] = versions.node.split(".").map(Number);

for (const stream of [process.stdout, process.stderr]) {
  // The reader of a pipe may leave early, as `| head` does: that is no failure of ours, and there is nobody left to tell.
  stream.on("error", (error) => {
    if (error.code !== "EPIPE") throw error;
    process.exit(0);
  });
}

process.exitCode = await launch();
await Promise.all([drained(process.stdout), drained(process.stderr)]);
process.exit();

/** Runs the command and gives its exit code. */
async function launch() {
  if (onNode && (major < 20 || (major === 20 && minor < 19))) {
    console.error(
      `tilestate: expected Node 20.19 or newer, got ${versions.node} (Bun 1.2 and Deno 2.2 will do as well)`,
    );
    return 1;
  }
  try {
    const installed = import.meta.url.includes("/node_modules/");
    if (versions.deno !== undefined && installed) {
      stripInstalled();
    } else if (onNode && (installed || !features.typescript)) {
      const { register } = await import("tsx/esm/api");
      // Without its own tsconfig, so that one in the user's folder has no say here.
      register({ tsconfig: false });
    }
    const { main } = await import("./main.ts");
    return await main(process.argv.slice(2));
  } catch (error) {
    const missing = error?.code === "ERR_MODULE_NOT_FOUND" && /package '([^']+)'/.exec(error.message)?.[1];
    if (missing) {
      console.error(`tilestate: the package "${missing}" is not installed; run "npm ci" in the folder of tilestate`);
    } else {
      console.error(error?.stack ?? error);
    }
    return 1;
  }
}

/** Lets Deno run TypeScript under node_modules. */
function stripInstalled() {
  nodeModule.registerHooks?.({
    load(url, context, next) {
      if (!url.startsWith("file:") || !url.endsWith(".ts")) return next(url, context);
      const source = nodeModule.stripTypeScriptTypes(readFileSync(new URL(url), "utf8"));
      return { format: "module", shortCircuit: true, source };
    },
  });
}

/** Resolves when everything written so far has left the process. */
function drained(stream) {
  return new Promise((resolve) => stream.write("", () => resolve(undefined)));
}
