/**
 * The benchmark's side of the protocol: an engine is a child process that is stopped whenever another one works, so that no idle thread of it takes part.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { root, runArguments } from "../../scripts/runtime.mjs";
import { type Action, type Exchanges, parseReply, type Reply } from "./protocol.ts";

/** Lines of an engine's stderr that are shown when it fails. */
const TAIL = 30;

export class Client {
  readonly name: string;
  readonly #child: ChildProcess;
  readonly #said: string[] = [];
  #waiting: { resolve: (reply: Reply) => void; reject: (error: Error) => void } | undefined;
  #failure: Error | undefined;

  /** Starts a program in the runtime that this one runs in. */
  constructor(name: string, program: string, env: Readonly<Record<string, string>>) {
    this.name = name;
    const child = spawn(process.execPath, [...runArguments(), program], {
      cwd: root,
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

  /** Wakes the engine, asks, and puts it back to sleep. Throws with the end of its stderr when it fails or dies. */
  async ask<A extends Action>(action: A, request: Exchanges[A]["request"]): Promise<Exchanges[A]["reply"]> {
    if (this.#waiting !== undefined) throw new Error(`${this.name} was asked twice at a time`);
    if (this.#failure !== undefined) throw this.#failure;
    this.#signal("SIGCONT");
    const reply = await new Promise<Reply>((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#child.stdin?.write(`${JSON.stringify({ do: action, ...request })}\n`);
    });
    this.#signal("SIGSTOP");
    if ("error" in reply) throw new Error(`${this.name}: ${action}: ${reply.error}`);
    return reply.reply as Exchanges[A]["reply"];
  }

  /** Ends the process. */
  close(): void {
    this.#child.kill("SIGKILL");
  }

  #signal(signal: "SIGCONT" | "SIGSTOP"): void {
    const { pid, exitCode, signalCode } = this.#child;
    if (pid === undefined || exitCode !== null || signalCode !== null) return;
    // Windows has no such signals; there an idle engine merely waits. Deno's own kill() takes any signal for the end.
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
