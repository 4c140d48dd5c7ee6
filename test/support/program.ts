/** Running a TypeScript program of the tests in a process of its own, under the runtime that runs the tests. */
import { spawn } from "node:child_process";

export interface Ending {
  readonly code: number | null;
  readonly out: string;
  readonly errors: string;
}

/** Arguments before the file: what makes this runtime run TypeScript. */
function runtimeArguments(): string[] {
  if ("Deno" in globalThis) return ["run", "-A"];
  return "Bun" in globalThis ? [] : ["--import", "tsx"];
}

/**
 * Runs `file` to its end, with some of the environment changed; it is killed after `limit` milliseconds, if there is a
 * limit.
 */
export function runProgram(
  file: string,
  args: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
  limit?: number,
): Promise<Ending> {
  return new Promise((done, fail) => {
    const child = spawn(process.execPath, [...runtimeArguments(), file, ...args], {
      stdio: ["ignore", "pipe", "pipe"],
      ...(limit === undefined ? {} : { timeout: limit, killSignal: "SIGKILL" }),
      // One arena that is trimmed at once: what freed memory the C library hoards is not the program's.
      env: { ...process.env, MALLOC_ARENA_MAX: "1", MALLOC_TRIM_THRESHOLD_: "65536", ...env },
    });
    let [out, errors] = ["", ""];
    child.stdout.on("data", (part: Buffer) => {
      out += part.toString();
    });
    child.stderr.on("data", (part: Buffer) => {
      errors += part.toString();
    });
    child.on("error", fail);
    child.on("close", (code) => done({ code, out, errors }));
  });
}
