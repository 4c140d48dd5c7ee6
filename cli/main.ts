/**
 * The commands of `tilestate`.
 *
 * Only the command that was asked for is loaded, and it loads the runtime and the models only when it runs, so that
 * help comes at once. Exit codes: 0, 1 for what went wrong (one clear message, no stack trace unless --stack asks for
 * it), 2 for wrong usage, 130 after Ctrl-C.
 */
import { Command, CommanderError } from "commander";
import { KernelError } from "../compiler/host/diagnostics.ts";
import { UserError } from "../runtime/common/errors.ts";
import { type Context, type Io, processIo, UsageError } from "./support/context.ts";
import { ReaderGone } from "./support/output.ts";
import { version } from "./support/version.ts";

/** A file in commands/: declares its options and arguments on `command`, and what they do. */
interface CommandFile {
  configure(command: Command, context: Context): void;
}

interface Entry {
  readonly name: string;
  readonly summary: string;
  load(): Promise<CommandFile>;
}

const COMMANDS: readonly Entry[] = [
  {
    name: "demo",
    summary: "a tale, and what a bounded state keeps of long ones, on the embedded model",
    load: () => import("./commands/demo.ts"),
  },
  {
    name: "generate",
    summary: "continue a text",
    load: () => import("./commands/generate.ts"),
  },
  {
    name: "warm",
    summary: "compile what runs of a model need, on a machine or in an image",
    load: () => import("./commands/warm.ts"),
  },
  {
    name: "inspect",
    summary: "config, parameters and bytes of a model, before anything is loaded",
    load: () => import("./commands/inspect.ts"),
  },
  {
    name: "adapters",
    summary: "the adapters that are there: features, limits and traits",
    load: () => import("./commands/adapters.ts"),
  },
  {
    name: "forward",
    summary: "logits after each of the given tokens",
    load: () => import("./commands/forward.ts"),
  },
  {
    name: "trace",
    summary: "run a state policy over recorded queries, keys and values",
    load: () => import("./commands/trace.ts"),
  },
  {
    name: "eval",
    summary: "measure what a model remembers under a state policy",
    load: () => import("./commands/eval.ts"),
  },
  {
    name: "kernels",
    summary: "list, show and compile kernels",
    load: () => import("./commands/kernels.ts"),
  },
  {
    name: "bench",
    summary: "how fast decoders and kernels are, and where the time goes",
    load: () => import("./commands/bench.ts"),
  },
];

const EXAMPLES = `
Examples:
  $ tilestate demo
  $ tilestate generate "A tale from" --state tova:128 --temperature 0.8 --seed 7
  $ tilestate generate --model ./TinyLlama --tokens 64 "Once upon a time"
  $ tilestate kernels show attend --part wgsl --target gpu

"tilestate COMMAND --help" tells more about each.`;

/** Runs one command and gives its exit code. `io` is for tests, which read what was said. */
export async function main(argv: readonly string[], io: Io = processIo()): Promise<number> {
  const controller = new AbortController();
  const interrupt = (): void => controller.abort();
  const stack = argv.includes("--stack");
  process.once("SIGINT", interrupt);
  // Nothing is computed for an output that takes nothing.
  io.broken?.then(interrupt);
  let ended: () => number;
  try {
    const program = await build(argv, { io, signal: controller.signal });
    await program.parseAsync(argv, { from: "user" });
    ended = () => (controller.signal.aborted ? 130 : 0);
  } catch (error) {
    ended = () => (controller.signal.aborted ? 130 : report(error, io, stack));
  } finally {
    process.off("SIGINT", interrupt);
  }
  // What went wrong with the output comes first: the command ended because of it.
  try {
    await io.flush?.();
  } catch (error) {
    return error instanceof ReaderGone ? 0 : report(error, io, stack);
  }
  return ended();
}

async function build(argv: readonly string[], context: Context): Promise<Command> {
  const { io } = context;
  const program = new Command("tilestate")
    .description("GPU kernels in TypeScript, and language models with a state that does not grow.")
    .version(version(), "--version", "print the version")
    .helpOption("-h, --help", "print help")
    .helpCommand("help [command]", "print help for a command")
    .option("--stack", "show where an error was thrown")
    .addHelpText("after", EXAMPLES)
    .exitOverride()
    .configureOutput({ writeOut: io.out, writeErr: io.err })
    .showHelpAfterError('("tilestate --help" lists the commands)');
  for (const { name, summary, load } of COMMANDS) {
    const command = program
      .command(name)
      .description(`${capital(summary)}.`)
      .summary(summary);
    command.showHelpAfterError(`("tilestate ${name} --help" lists what it takes)`);
    // A prompt may read like a command's name; loading one file too many is harmless.
    if (argv.includes(name)) (await load()).configure(command, context);
    command.option("--stack", "show where an error was thrown");
  }
  return program;
}

function capital(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}

/** Says what went wrong and gives the exit code. */
function report(error: unknown, io: Io, stack: boolean): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  const trace = stack && error instanceof Error ? `${error.stack}\n` : "";
  if (error instanceof UsageError) {
    io.err(`error: ${error.message}\n${trace}`);
    return 2;
  }
  if (error instanceof KernelError) {
    const n = error.diagnostics.length;
    io.err(`${error.message}\n\nerror: ${n === 1 ? "a mistake" : `${n} mistakes`} in a kernel\n${trace}`);
    return 1;
  }
  io.err(`error: ${error instanceof Error ? error.message : String(error)}\n`);
  if (error instanceof UserError) {
    if (error.hint !== undefined) io.err(`hint: ${error.hint}\n`);
  } else if (!stack) io.err("hint: this is unexpected; run it again with --stack to see where it happened\n");
  io.err(trace);
  return 1;
}
