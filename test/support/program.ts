/** Running a TypeScript program of the tests in a process of its own, under the runtime that runs the tests. */
import { spawn } from "node:child_process";

export interface Ending {
  readonly code: number | null;
  readonly out: string;
  readonly errors: string;
}

/** Arguments before the file: what makes this runtime run TypeScript, and show its garbage collector. */
function runtimeArguments(): string[] {
  if ("Deno" in globalThis) return ["run", "-A", "--v8-flags=--expose-gc"];
  return "Bun" in globalThis ? [] : ["--expose-gc", "--import", "tsx"];
}

/** Runs `file` to its end. */
export function runProgram(file: string, args: readonly string[] = []): Promise<Ending> {
  return new Promise((done, fail) => {
    const child = spawn(process.execPath, [...runtimeArguments(), file, ...args], {
      stdio: ["ignore", "pipe", "pipe"],
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
