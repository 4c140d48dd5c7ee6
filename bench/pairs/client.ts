/**
 * The benchmark's side of the lines: a child process that is stopped whenever another one works, so that no idle thread
 * of it takes part.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import { type Exchanges, parseReply, type Reply } from "./lines.ts";

/** Lines of a process's stderr that are shown when it fails. */
const TAIL = 30;

/** The process said that it could not do what it was asked; `said` is its own sentence. */
export class AskError extends Error {
  override readonly name: string = "AskError";
  readonly said: string;

  constructor(message: string, said: string) {
    super(message);
    this.said = said;
  }
}

export interface ClientOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** The folder that the process works in, whose settings its runtime goes by. */
  readonly cwd: string;
}

/**
 * Arguments with which the runtime of this process starts a program of ours that is written in TypeScript and works in
 * the folder `cwd`.
 */
export function programArguments(cwd: string): string[] {
  if (process.versions.bun !== undefined) return ["--bun"];
  if (process.versions.deno !== undefined) {
    const config = join(cwd, "deno.json");
    return ["run", "-A", ...(existsSync(config) ? ["--config", config] : [])];
  }
  // Node strips no types below node_modules, where a package lies that was installed.
  const strips = process.features.typescript && !import.meta.url.includes("/node_modules/");
  return strips ? [] : ["--import", pathToFileURL(createRequire(import.meta.url).resolve("tsx")).href];
}

export class Client<E extends Exchanges<Extract<keyof E, string>>> {
  readonly name: string;
  readonly #child: ChildProcess;
  readonly #said: string[] = [];
  #waiting: { resolve: (reply: Reply) => void; reject: (error: Error) => void } | undefined;
  #failure: Error | undefined;

  /** Starts a program in the runtime that this one runs in. */
  constructor(name: string, program: string, { env = {}, cwd }: ClientOptions) {
    this.name = name;
    const child = spawn(process.execPath, [...programArguments(cwd), program], {
      cwd,
      stdio: ["pipe", "pipe", "pipe"],
      env: { ...process.env, ...env },
    });
    this.#child = child;
    createInterface({ input: child.stdout }).on("line", (line) => this.#hear(line));
    createInterface({ input: child.stderr }).on("line", (line) => this.#note(line));
    child.on("error", (error) => this.#fail(error));
    // "close" comes when its streams have been read to the end.
    child.on("close", (code, signal) =>
      this.#fail(new Error(`ended with ${code ?? signal}\n${this.#said.join("\n")}`)),
    );
    // Writing to one that has just ended; "close" says why.
    child.stdin.on("error", () => {});
  }

  /**
   * Wakes the process, asks, and puts it back to sleep.
   * @throws AskError when it says that it could not; Error with the end of its stderr when it dies.
   */
  async ask<A extends Extract<keyof E, string>>(action: A, request: E[A]["request"]): Promise<E[A]["reply"]> {
    if (this.#waiting !== undefined) throw new Error(`${this.name} was asked twice at a time`);
    if (this.#failure !== undefined) throw this.#failure;
    this.#signal("SIGCONT");
    const reply = await new Promise<Reply>((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#child.stdin?.write(`${JSON.stringify({ do: action, ...request })}\n`);
    });
    this.#signal("SIGSTOP");
    if ("error" in reply)
      throw new AskError(`${this.name}: ${action}: ${reply.error}`, reply.message ?? reply.error.split("\n")[0] ?? "");
    return reply.reply as E[A]["reply"];
  }

  /** Ends the process. */
  close(): void {
    this.#child.kill("SIGKILL");
  }

  #signal(signal: "SIGCONT" | "SIGSTOP"): void {
    const { pid, exitCode, signalCode } = this.#child;
    if (pid === undefined || exitCode !== null || signalCode !== null) return;
    // Windows has no such signals; there an idle process merely waits. Deno's own kill() takes any signal for the end.
    if (process.platform !== "win32") process.kill(pid, signal);
  }

  #hear(line: string): void {
    const reply = parseReply(line);
    if (reply === undefined) return this.#note(line);
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.resolve(reply);
  }

  #note(line: string): void {
    this.#said.push(line);
    if (this.#said.length > TAIL) this.#said.shift();
  }

  #fail(error: Error): void {
    this.#failure ??= new Error(`${this.name}: ${error.message}`);
    this.#waiting?.reject(this.#failure);
    this.#waiting = undefined;
  }
}

/**
 * Runs `work` and then ends the processes in `open`, also when this one is told to end: a stopped process would outlive
 * it.
 */
export async function closing<T>(open: readonly { close(): void }[], work: () => Promise<T>): Promise<T> {
  const end = (): void => {
    for (const client of open) client.close();
  };
  const leave = (code: number) => (): void => {
    end();
    process.exit(code);
  };
  const signals = [
    ["SIGTERM", leave(143)],
    ["SIGHUP", leave(129)],
  ] as const;
  process.on("exit", end);
  for (const [signal, heard] of signals) process.on(signal, heard);
  try {
    return await work();
  } finally {
    process.off("exit", end);
    for (const [signal, heard] of signals) process.off(signal, heard);
    end();
  }
}
