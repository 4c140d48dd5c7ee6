/** Starting programs in the folders into which the package was installed. */
import { spawn } from "node:child_process";
import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { inject } from "vitest";

export const root: string = fileURLToPath(new URL("../../", import.meta.url));
export const bun: string = join(root, "node_modules/@oven/bun-linux-x64/bin/bun");
export const deno: string = join(root, "node_modules/@deno/linux-x64-glibc/deno");

/** What a finished process left behind. */
export interface Outcome {
  readonly code: number | string | null;
  readonly out: string;
  readonly err: string;
}

export interface RunOptions {
  readonly cwd: string;
  /** The run's folder for caches and homes. */
  readonly scratch: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Milliseconds until it is ended. */
  readonly limit?: number;
}

/** The environment without what vitest, npm and this project's scripts have added to it. */
export function cleanEnvironment(): Record<string, string> {
  const kept = Object.entries(process.env).filter(
    ([name]) =>
      !/^(npm_(lifecycle|package|node|command|execpath|config_(local|prefix))|NODE_|VITEST|TEST$|TILESTATE|CI$|VITE)/i.test(
        name,
      ),
  );
  const path = (process.env.PATH ?? "")
    .split(":")
    .filter((folder) => !folder.startsWith(root) && !folder.includes("node_modules"));
  return { ...(Object.fromEntries(kept) as Record<string, string>), PATH: path.join(":"), NO_COLOR: "1" };
}

/** Runs a program to its end, with a home and caches of the test run's own. */
export function run(
  program: string,
  args: readonly string[],
  { cwd, scratch, env, limit }: RunOptions,
): Promise<Outcome> {
  const own = {
    HOME: join(scratch, "home"),
    XDG_CACHE_HOME: join(scratch, "home/cache"),
    npm_config_cache: join(scratch, "home/npm"),
    npm_config_update_notifier: "false",
    DENO_DIR: join(scratch, "home/deno"),
    DENO_NO_UPDATE_CHECK: "1",
    BUN_INSTALL_CACHE_DIR: join(scratch, "home/bun"),
  };
  mkdirSync(own.HOME, { recursive: true });
  const child = spawn(program, args, {
    cwd,
    env: { ...cleanEnvironment(), ...own, ...env },
    stdio: ["ignore", "pipe", "pipe"],
    timeout: limit ?? 100_000,
  });
  const [out, err]: [string[], string[]] = [[], []];
  child.stdout.setEncoding("utf8").on("data", (text: string) => out.push(text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => err.push(text));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => resolve({ code: code ?? signal, out: out.join(""), err: err.join("") }));
  });
}

export interface Runtime {
  readonly name: string;
  readonly program: string;
  /** What goes before the program's file. */
  readonly args: readonly string[];
  /** Whether it runs TypeScript without a flag. */
  readonly typescript: boolean;
  /** The folder into which its installer put the package. */
  readonly folder: string;
}

/** The runtimes that are tested: the Node that runs this, two newer ones, Bun, and Deno on what npm installed. */
export function runtimes(): readonly Runtime[] {
  const { tools, installed } = inject("setting");
  const node = (program: string, name: string, typescript: boolean): Runtime => ({
    name: `Node ${name}`,
    program,
    args: [],
    typescript,
    folder: installed.npm,
  });
  return [
    node(process.execPath, process.versions.node, Boolean(process.features.typescript)),
    node(join(tools, "node-22/bin/node"), "22.18", true),
    node(join(tools, "node-24/bin/node"), "24", true),
    { name: "Bun", program: bun, args: [], typescript: true, folder: installed.bun },
    { name: "Deno", program: deno, args: ["run", "-A"], typescript: true, folder: installed.npm },
  ];
}

/**
 * Puts files into a new folder of that name below an installed one. A file is given by its text, or by a path below the
 * checkout after "@".
 * @returns the folder
 */
export function project(installed: string, name: string, files: Readonly<Record<string, string>>): string {
  const folder = join(installed, name);
  mkdirSync(folder);
  for (const [file, text] of Object.entries(files)) {
    const path = join(folder, file);
    mkdirSync(dirname(path), { recursive: true });
    if (text.startsWith("@")) cpSync(join(root, text.slice(1)), path);
    else writeFileSync(path, text);
  }
  return folder;
}

/** Runs a file of `folder` in a runtime. */
export function runIn(
  runtime: Runtime,
  folder: string,
  args: readonly string[],
  options: Partial<RunOptions> = {},
): Promise<Outcome> {
  return run(runtime.program, [...runtime.args, ...args], {
    cwd: folder,
    scratch: inject("setting").scratch,
    ...options,
  });
}
