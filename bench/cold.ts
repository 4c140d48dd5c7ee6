/**
 * A cold start as a user meets it: the time from starting the process to the first piece of text, and to its end, of
 * `tilestate generate` on the embedded model. The process is new each time; the caches of kernels and of the driver are
 * warm after the first run, which is reported apart.
 */
import { spawn } from "node:child_process";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { UserError } from "../runtime/common/errors.ts";
import { type Measure, measureOf } from "./stats.ts";

export interface ColdResult {
  /** Milliseconds from the start of the process to the first byte of text, with warm caches. */
  readonly first_token_ms: number;
  /** And to its end, eight tokens later. */
  readonly exit_ms: number;
  /** The first run, whatever the caches held. */
  readonly first_run: { readonly first_token_ms: number; readonly exit_ms: number };
  readonly measures: readonly Measure[];
}

export interface Start {
  readonly first_token_ms: number;
  readonly exit_ms: number;
  /** CPU time of all its threads, where a meter ran. */
  readonly cpu_ms?: number;
}

export interface StartOptions {
  readonly adapter?: string | undefined;
  /** A folder or file; the embedded model unless given. */
  readonly model?: string | undefined;
  /** A file that the CPU time goes through; it is removed. */
  readonly meter?: string | undefined;
}

const COMMAND: string = fileURLToPath(new URL("../cli/tilestate.mjs", import.meta.url));
const METER: string = fileURLToPath(new URL("./pairs/meter.mjs", import.meta.url));

/** Starts the process `rounds` times after a first one. `adapter` is handed on. */
export async function measureCold(adapter: string | undefined, rounds: number): Promise<ColdResult> {
  const first = await startOnce(COMMAND, { adapter });
  const starts: Start[] = [];
  for (let i = 0; i < rounds; i++) starts.push(await startOnce(COMMAND, { adapter }));
  const each = (of: (s: Start) => number): number[] => starts.map(of);
  const token = measureOf(
    "cold start: first token",
    "ms",
    "lower",
    each((s) => s.first_token_ms),
  );
  const exit = measureOf(
    "cold start: end of process",
    "ms",
    "lower",
    each((s) => s.exit_ms),
  );
  return { first_token_ms: token.median, exit_ms: exit.median, first_run: first, measures: [token, exit] };
}

/**
 * Starts a command, of this or of another checkout, in the runtime of this process.
 * @throws UserError when it fails.
 */
export function startOnce(command: string, { adapter, model, meter }: StartOptions): Promise<Start> {
  const metered = meter === undefined ? [command] : [METER, meter, command];
  const args = [
    ...["generate", "A tale from", "--tokens", "8", "--quiet"],
    ...(adapter === undefined ? [] : ["--adapter", adapter]),
    ...(model === undefined ? [] : ["--model", model]),
  ];
  return new Promise((done, fail) => {
    const began = performance.now();
    const child = spawn(process.execPath, [...runtimeArguments(command), ...metered, ...args], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    let first: number | undefined;
    let errors = "";
    child.stdout.on("data", () => {
      // The prompt is shown together with the first token.
      first ??= performance.now() - began;
    });
    child.stderr.on("data", (part: Buffer) => {
      errors += part.toString();
    });
    child.on("error", fail);
    child.on("close", (code) => {
      const exit_ms = performance.now() - began;
      if (code !== 0 || first === undefined)
        return fail(new UserError(`a cold start ended with code ${code}: ${errors.trim() || "it said nothing"}`));
      done({ first_token_ms: first, exit_ms, ...(meter === undefined ? {} : { cpu_ms: takeCpu(meter) }) });
    });
  });
}

/** Deno goes by the settings of the started file, and the meter's are not those of another checkout's command. */
function runtimeArguments(command: string): string[] {
  if (process.versions.deno === undefined) return [];
  const config = join(dirname(command), "..", "deno.json");
  return ["run", "-A", ...(existsSync(config) ? ["--config", config] : [])];
}

function takeCpu(file: string): number {
  const cpu = Number(readFileSync(file, "utf8"));
  rmSync(file);
  return cpu;
}
