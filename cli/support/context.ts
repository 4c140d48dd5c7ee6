/**
 * What a command is given besides its options: where to write, and how it learns that the user pressed Ctrl-C.
 *
 * Commands never touch `process` themselves, so that tests can call them in their own process and read what they said.
 */
import { Output } from "./output.ts";

/** Where text goes: results to `out`, everything said about them to `err`. */
export interface Io {
  out(text: string): void;
  err(text: string): void;
  /** All of standard input, where there is one. */
  read?(): Promise<Uint8Array>;
  /** Waits until all of `out` is written, and throws when it cannot be. */
  flush?(): Promise<void>;
  /** Resolves when nothing of `out` can be written any more. */
  readonly broken?: Promise<void>;
}

export interface Context {
  readonly io: Io;
  /** Aborted by Ctrl-C; what is open is closed by those who opened it. */
  readonly signal: AbortSignal;
}

/** Wrong usage: exit code 2. */
export class UsageError extends Error {
  override readonly name: string = "UsageError";
}

const STDOUT = 1;

/** The terminal, or wherever the process's own streams lead. */
export function processIo(): Io {
  const output = new Output(STDOUT);
  return {
    out: (text) => output.push(text),
    err: (text) => void process.stderr.write(text),
    flush: () => output.flush(),
    broken: output.broken,
    read: async () => {
      const parts: Uint8Array[] = [];
      for await (const part of process.stdin) parts.push(part as Uint8Array);
      return Buffer.concat(parts);
    },
  };
}

/** Writes a value as indented JSON with short lists on one line, which keeps lists of ids readable. */
export function printJson(io: Io, value: unknown): void {
  io.out(`${prettyJson(value)}\n`);
}

const WIDTH = 110;

export function prettyJson(value: unknown, indent = ""): string {
  const flat = JSON.stringify(value) ?? "null";
  if (typeof value !== "object" || value === null) return flat;
  const numbers = Array.isArray(value) && value.every((x) => typeof x === "number");
  if (numbers || flat.length + indent.length <= WIDTH) return flat;
  const inner = `${indent}  `;
  const parts = Array.isArray(value)
    ? value.map((x) => inner + prettyJson(x, inner))
    : Object.entries(value)
        .filter(([, x]) => x !== undefined)
        .map(([key, x]) => `${inner}${JSON.stringify(key)}: ${prettyJson(x, inner)}`);
  const [open, close] = Array.isArray(value) ? ["[", "]"] : ["{", "}"];
  return `${open}\n${parts.join(",\n")}\n${indent}${close}`;
}
