/** Starts the command as a process of its own. */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

const LAUNCHER = fileURLToPath(new URL("../../cli/tilestate.mjs", import.meta.url));

export interface Ended {
  readonly code: number | null;
  readonly signal: string | null;
  readonly out: string;
  readonly err: string;
}

/** Starts the launcher in the runtime that runs this test. */
export function launch(
  args: readonly string[],
  env: Record<string, string> = {},
): [ChildProcessWithoutNullStreams, Promise<Ended>] {
  const how = process.versions.bun ? ["--bun"] : process.versions.deno ? ["run", "-A"] : [];
  const child = spawn(process.execPath, [...how, LAUNCHER, ...args], { env: { ...process.env, ...env } });
  child.stdin.end();
  const [out, err]: string[][] = [[], []];
  child.stdout.on("data", (text: Uint8Array) => out?.push(new TextDecoder().decode(text)));
  child.stderr.on("data", (text: Uint8Array) => err?.push(new TextDecoder().decode(text)));
  const ended = new Promise<Ended>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => resolve({ code, signal, out: out?.join("") ?? "", err: err?.join("") ?? "" }));
  });
  return [child, ended];
}
