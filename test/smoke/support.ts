/**
 * Starts the `tilestate` command in one of the runtimes, as a user would. The other runtimes' programs come from
 * node_modules, else from the path.
 */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

export type RuntimeName = "node" | "bun" | "deno";

/** What a finished process left behind. */
export interface Outcome {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly out: string;
  readonly err: string;
}

const root: string = fileURLToPath(new URL("../../", import.meta.url));

const INSTALLED: Readonly<Record<RuntimeName, string | undefined>> = {
  node: undefined,
  bun: "node_modules/@oven/bun-linux-x64/bin/bun",
  deno: "node_modules/@deno/linux-x64-glibc/deno",
};
const ARGUMENTS: Readonly<Record<RuntimeName, readonly string[]>> = { node: [], bun: ["--bun"], deno: ["run", "-A"] };

/** The program of a runtime; undefined where this machine has none, which with CI=true is an error. */
export function runtimeProgram(name: RuntimeName): string | undefined {
  const folders = (process.env.PATH ?? "")
    .split(delimiter)
    .filter((folder) => !/[\\/](bun-node-|node_compat_bin)/.test(folder));
  const candidates = folders.flatMap((folder) => [join(folder, name), join(folder, `${name}.exe`)]);
  const installed = INSTALLED[name];
  if (installed !== undefined) candidates.unshift(join(root, installed));
  const found = candidates.find((path) => existsSync(path));
  if (found === undefined) {
    if (process.env.CI === "true") throw new Error(`CI=true, but there is no ${name} in node_modules or on the path`);
    console.warn(`the smoke test of ${name} has nothing to run: no ${name} in node_modules or on the path`);
  }
  return found;
}

/** Runs `tilestate` with these arguments. */
export function tilestate(name: RuntimeName, program: string, args: readonly string[]): Promise<Outcome> {
  const child = spawn(program, [...ARGUMENTS[name], join(root, "cli/tilestate.mjs"), ...args], {
    cwd: root,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const out: string[] = [];
  const err: string[] = [];
  child.stdout.setEncoding("utf8").on("data", (text: string) => out.push(text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => err.push(text));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => resolve({ code, signal, out: out.join(""), err: err.join("") }));
  });
}
