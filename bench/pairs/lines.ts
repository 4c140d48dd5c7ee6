/**
 * What a benchmark and the processes it measures say to each other: one JSON object a line, a request in and a reply
 * out, over stdin and stdout.
 */
import { createInterface } from "node:readline";

/** Requests and replies by what is asked for. */
export type Exchanges<A extends string = string> = {
  readonly [K in A]: { readonly request: object; readonly reply: unknown };
};

/** `message` is what went wrong in a sentence, `error` the same with its stack. */
export type Reply = { readonly reply: unknown } | { readonly error: string; readonly message?: string };

/** Reads a line of a process's stdout; undefined for lines that are no replies, such as what native libraries print. */
export function parseReply(line: string): Reply | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  return "reply" in value || "error" in value ? (value as Reply) : undefined;
}

/** Answers requests until stdin ends, and ends the process then. */
export async function answerLines(answer: (request: unknown) => Promise<unknown>): Promise<never> {
  for await (const line of createInterface({ input: process.stdin })) {
    let said: Reply;
    try {
      said = { reply: (await answer(JSON.parse(line))) ?? null };
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      said = { error: error instanceof Error ? (error.stack ?? message) : message, message };
    }
    process.stdout.write(`${JSON.stringify(said)}\n`);
  }
  // Native libraries may hold the process.
  process.exit(0);
}
