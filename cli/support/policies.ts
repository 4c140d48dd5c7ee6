/**
 * Cache policies of the user's on the command line: files named with `--policy`, whose policies `--state` then knows by
 * name, and files named in `--state` itself, as in `--state ./mine.ts:512`. Such a file is a module that is imported
 * and so run; its policies are what it exports.
 */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { Option } from "commander";
import type { AnyPolicy } from "../../models/index.ts";
import { UserError } from "../../runtime/common/errors.ts";

/** What commands that take states get from `policyOption`. */
export interface PolicyOptions {
  readonly policy?: readonly string[];
}

/** States as the models know them, and the policies beside the built-in ones that they may name. */
export interface GivenStates {
  readonly states: readonly string[];
  readonly policies: readonly AnyPolicy[];
}

export function policyOption(): Option {
  return new Option(
    "--policy <file>",
    "a TypeScript file with cache policies of your own, which --state then knows by name; may be given several times",
  ).argParser((file: string, before: readonly string[] | undefined) => [...(before ?? []), file]);
}

/** A state whose policy is a file: `./mine.ts`, `./mine.ts:512`, `./mine.ts:512,recent=16`. */
const FILE = /^(.+\.[cm]?[jt]s)(:.*)?$/s;

/**
 * Imports the files that states and `--policy` name.
 * @throws UserError for a file that is not there, does not load, or has no policy, or several where one is meant.
 */
export async function givenStates(states: readonly string[], files: readonly string[] = []): Promise<GivenStates> {
  const policies: AnyPolicy[] = [];
  const add = (found: readonly AnyPolicy[]): void => {
    for (const policy of found) if (!policies.includes(policy)) policies.push(policy);
  };
  for (const file of files) add(await policiesIn(file));
  const named: string[] = [];
  for (const state of states) {
    const [, file, rest = ""] = FILE.exec(state) ?? [];
    if (file === undefined) named.push(state);
    else {
      const found = await policiesIn(file);
      const [only] = found;
      if (only === undefined || found.length > 1)
        throw new UserError(
          `state "${state}": ${file} has ${found.length} policies, ${found.map((p) => p.name).join(", ")}`,
          {
            hint: `say which one: --policy ${file} --state ${only?.name ?? "name"}${rest}`,
          },
        );
      add([only]);
      named.push(only.name + rest);
    }
  }
  return { states: named, policies };
}

/** The same for one state. */
export async function givenState(
  state: string,
  files: readonly string[] | undefined,
): Promise<{ readonly state: string; readonly policies: readonly AnyPolicy[] }> {
  const { states, policies } = await givenStates([state], files);
  return { state: states[0] ?? state, policies };
}

/** The policies that a file exports. */
async function policiesIn(file: string): Promise<readonly AnyPolicy[]> {
  const path = resolve(file);
  if (!existsSync(path)) throw new UserError(`${file}: no such file`);
  const { isPolicy } = await import("../../models/index.ts");
  let exported: Readonly<Record<string, unknown>>;
  try {
    exported = await imported(pathToFileURL(path).href);
  } catch (cause) {
    throw new UserError(`${file}: cannot load (${(cause as Error).message})`, {
      cause,
      ...(/'tilestate'/.test((cause as Error).message) ? { hint: "install tilestate in the folder of the file" } : {}),
    });
  }
  const found = [...new Set(Object.values(exported).filter(isPolicy))];
  if (found.length === 0)
    throw new UserError(`${file}: exports no cache policy, an object with a name, module: import.meta and a score`);
  return found;
}

/** A module, with a loader for TypeScript where the runtime has none. */
async function imported(url: string): Promise<Readonly<Record<string, unknown>>> {
  try {
    return (await import(/* @vite-ignore */ url)) as Readonly<Record<string, unknown>>;
  } catch (error) {
    if ((error as { readonly code?: string }).code !== "ERR_UNKNOWN_FILE_EXTENSION") throw error;
    const { tsImport } = await import("tsx/esm/api");
    return (await tsImport(url, import.meta.url)) as Readonly<Record<string, unknown>>;
  }
}
