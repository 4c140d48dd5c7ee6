/**
 * A cold start as a user meets it: the time from starting the process to the first piece of text, and to its end, of `tilestate generate` on the embedded model.
 * The process is new each time; the caches of kernels and of the driver are warm after the first run, which is reported apart.
 */
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { UserError } from "../runtime/index.ts";
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

interface Start {
  readonly first_token_ms: number;
  readonly exit_ms: number;
}

const COMMAND: string = fileURLToPath(new URL("../cli/tilestate.mjs", import.meta.url));

/** Starts the process `rounds` times after a first one. `adapter` is handed on. */
export async function measureCold(adapter: string | undefined, rounds: number): Promise<ColdResult> {
  const first = await start(adapter);
  const starts: Start[] = [];
  for (let i = 0; i < rounds; i++) starts.push(await start(adapter));
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

function start(adapter: string | undefined): Promise<Start> {
  const runtime = process.versions.deno === undefined ? [] : ["run", "-A"];
  const args = [
    "generate",
    "A tale from",
    "--tokens",
    "8",
    "--quiet",
    ...(adapter === undefined ? [] : ["--adapter", adapter]),
  ];
  return new Promise((done, fail) => {
    const began = performance.now();
    const child = spawn(process.execPath, [...runtime, COMMAND, ...args], { stdio: ["ignore", "pipe", "pipe"] });
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
      if (code === 0 && first !== undefined) done({ first_token_ms: first, exit_ms: performance.now() - began });
      else fail(new UserError(`a cold start ended with code ${code}: ${errors.trim() || "it said nothing"}`));
    });
  });
}
