#!/usr/bin/env node
/**
 * The `tilestate` command: hands the arguments to cli/main.ts and leaves with its exit code.
 *
 * In the package that is JavaScript. In a checkout it is TypeScript, which Bun, Deno and Node from 22.18 on run as it
 * stands. Older Nodes run what transpile.mjs makes of it, and with tsx's loader where nothing can be written. This file
 * is plain JavaScript because it must run before that is settled, and so that old Nodes get a sentence instead of a
 * syntax error.
 */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

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
    const { main } = await import(await door());
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

/** Where main.ts is to be imported from in this runtime. */
async function door() {
  if (existsSync(new URL("./main.js", import.meta.url))) return "./main.js";
  if (!onNode || features.typescript) return "./main.ts";
  // Stack traces name the sources then.
  if (process.argv.includes("--stack")) process.setSourceMapsEnabled(true);
  const { transpiled } = await import("./transpile.mjs");
  const made = await transpiled(fileURLToPath(new URL("../", import.meta.url)));
  if (made !== undefined) return made;
  const { register } = await import("tsx/esm/api");
  // Without its own tsconfig, so that one in the user's folder has no say here.
  register({ tsconfig: false });
  return "./main.ts";
}

/** Resolves when everything written so far has left the process. */
function drained(stream) {
  return new Promise((resolve) => {
    stream.once("error", () => resolve(undefined));
    stream.write("", () => resolve(undefined));
  });
}
