#!/usr/bin/env node
/**
 * The `tilestate` command: hands the arguments to cli/main.ts and leaves with its exit code.
 *
 * In the package that is JavaScript. In a checkout it is TypeScript, which Bun, Deno and Node from 22.18 on run as it stands, and older Nodes with tsx's loader.
 * This file is plain JavaScript because it must run before that is settled, and so that old Nodes get a sentence instead of a syntax error.
 */
import { existsSync } from "node:fs";

const { versions, features } = process;
const onNode = versions.bun === undefined && versions.deno === undefined;
const [major = 0, minor = 0] = versions.node.split(".").map(Number);

// What cannot be said on stderr cannot be said at all; results are the business of output.ts.
process.stderr.on("error", () => {});

process.exitCode = await launch();
await drained(process.stderr);
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
    const built = existsSync(new URL("./main.js", import.meta.url));
    if (!built && onNode && !features.typescript) {
      const { register } = await import("tsx/esm/api");
      // Without its own tsconfig, so that one in the user's folder has no say here.
      register({ tsconfig: false });
    }
    const { main } = await import(built ? "./main.js" : "./main.ts");
    return await main(process.argv.slice(2));
  } catch (error) {
    const missing = error?.code === "ERR_MODULE_NOT_FOUND" && /package '([^']+)'/.exec(error.message)?.[1];
    if (missing) {
      console.error(
        `tilestate: the package "${missing}" is not installed; run "npm ci" in a checkout of tilestate, or install it anew`,
      );
    } else {
      console.error(error?.stack ?? error);
    }
    return 1;
  }
}

/** Resolves when everything written so far has left the process. */
function drained(stream) {
  return new Promise((resolve) => {
    stream.once("error", () => resolve(undefined));
    stream.write("", () => resolve(undefined));
  });
}
