/**
 * Options that several commands share, and the parsers of their values.
 *
 * A value that cannot be read is wrong usage (exit code 2); whether it makes sense for a model is decided where the
 * model is known (exit code 1).
 */

import { type Command, InvalidArgumentError, Option } from "commander";
import { REALS } from "../../compiler/ir/formats.ts";

export interface AdapterOptions {
  readonly adapter?: string;
}

export interface ModelOptions extends AdapterOptions {
  readonly model?: string;
}

export function adapterOption(): Option {
  return new Option(
    "--gpu, --adapter <name>",
    'which GPU: a part of its name, "swiftshader" for the embedded software one, "native" for Deno\'s own, or "auto" (default: $TILESTATE_ADAPTER, or auto)',
  );
}

export function modelOption(): Option {
  return new Option(
    "--model <path>",
    'a Hugging Face folder or a llama2.c .bin file (default: "hearth", the embedded model)',
  );
}

export function stateOption(): Option {
  return new Option(
    "--state <policy>",
    "how the cache is kept: full, window:C[,first=I], tova:C[,recent=R,first=I], or ./mine.ts:C for a policy of your own",
  ).default("full");
}

/** The format that weights are kept in. */
export function weightsOption(): Option {
  return new Option("--weights <format>", "keep the weights in this format (default: as they are stored)").choices(
    REALS,
  );
}

export function jsonOption(): Option {
  return new Option("--json", "print the result as JSON");
}

export function prefillOption(): Option {
  return new Option("--prefill <way>", "how the prompt is read: token by token, or at once and then reduced")
    .choices(["recurrent", "oneshot"])
    .default("recurrent");
}

/** Lines shown under a command's help. */
export function examples(command: Command, lines: readonly string[]): Command {
  return command.addHelpText("after", `\nExamples:\n${lines.map((line) => `  $ ${line}`).join("\n")}`);
}

/** A whole number of at least `least`. */
export function whole(least: number): (text: string) => number {
  return (text) => {
    const n = Number(text);
    if (text.trim() !== "" && n > Number.MAX_SAFE_INTEGER) throw tooLarge();
    if (text.trim() === "" || !Number.isSafeInteger(n) || n < least) {
      throw new InvalidArgumentError(`Expected a whole number of at least ${least}.`);
    }
    return n;
  };
}

/** Beyond this not every whole number is one in JavaScript. */
function tooLarge(): InvalidArgumentError {
  return new InvalidArgumentError(`Expected at most ${Number.MAX_SAFE_INTEGER}, which is 2^53 - 1.`);
}

/** `1,2,4`: whole numbers of at least 1. */
export function wholes(text: string): number[] {
  return text.split(",").map(whole(1));
}

export function real(text: string): number {
  const n = Number(text);
  if (text.trim() === "" || !Number.isFinite(n)) throw new InvalidArgumentError("Expected a number.");
  return n;
}

/** `1,2,3`; whether the vocabulary has them is the decoder's question, so negative ids pass here. */
export function idList(text: string): number[] {
  return text.split(",").map((part) => {
    const n = Number(part);
    if (part.trim() !== "" && Math.abs(n) > Number.MAX_SAFE_INTEGER) throw tooLarge();
    if (part.trim() === "" || !Number.isSafeInteger(n)) {
      throw new InvalidArgumentError(`Expected whole numbers separated by commas, as in 1,2,3; got "${part.trim()}".`);
    }
    return n;
  });
}

/** `name=value`, collected into a record. */
export function pairs<T>(parse: (text: string) => T): (text: string, before?: Record<string, T>) => Record<string, T> {
  return (text, before = {}) => {
    const at = text.indexOf("=");
    if (at < 1) throw new InvalidArgumentError("Expected NAME=VALUE.");
    return { ...before, [text.slice(0, at)]: parse(text.slice(at + 1)) };
  };
}

/** An option that may be given several times. */
export function repeated(text: string, before: readonly string[] = []): readonly string[] {
  return [...before, text];
}
