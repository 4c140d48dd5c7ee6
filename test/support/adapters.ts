/**
 * Which adapters the tests run on, settled once before they start.
 *
 * TILESTATE_TEST_ADAPTERS=llvmpipe,swiftshader names them, and a named one that is missing fails the run. Left out, the
 * tests run on what is found of the two software adapters; on Linux on x86-64 SwiftShader, which comes with the
 * packages, is always expected. Under Deno the platform's own WebGPU (`native`) may be named as well, and is otherwise
 * used where it is found.
 */
import { fileURLToPath } from "node:url";
import { runProgram } from "./program.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** Names of adapters, `native` among them where there is one. */
    adapters: readonly string[];
  }
}

/** What was found of the names that were asked for: "" for an adapter that is there, else why it is not. */
export type Found = Readonly<Record<string, string>>;

const SOFTWARE: readonly string[] = ["llvmpipe", "swiftshader"];
const ALIASES: Readonly<Record<string, string>> = { lavapipe: "llvmpipe" };

/** The names that TILESTATE_TEST_ADAPTERS lists; none where it is not set. */
export function namedAdapters(said: string | undefined): readonly string[] {
  const names = (said ?? "").split(",").map((name) => name.trim().toLowerCase());
  return [...new Set(names.filter((name) => name !== "").map((name) => ALIASES[name] ?? name))];
}

/**
 * The adapters to test on, of those that were looked for.
 * @throws Error in one sentence when one that must be there is not.
 */
export function chooseAdapters(named: readonly string[], found: Found, embedded: boolean): readonly string[] {
  for (const name of named)
    if (found[name] !== "")
      throw new Error(`TILESTATE_TEST_ADAPTERS names ${name}, which is not here: ${found[name] ?? "nobody looked"}`);
  if (named.some((name) => name !== "native")) return named;
  if (named.length > 0) throw new Error("TILESTATE_TEST_ADAPTERS names native alone, which only some tests run on");
  const present = Object.keys(found).filter((name) => found[name] === "");
  if (embedded && !present.includes("swiftshader"))
    throw new Error(`the embedded adapter swiftshader does not open: ${found.swiftshader ?? "nobody looked"}`);
  if (present.every((name) => name === "native"))
    throw new Error(`there is no adapter to test on: expected at least one of ${SOFTWARE.join(", ")}`);
  return present;
}

/**
 * Looks for the adapters of this run, in a process of its own, so that no GPU is open in the one that starts the tests.
 */
export async function settleAdapters(): Promise<readonly string[]> {
  const named = namedAdapters(process.env.TILESTATE_TEST_ADAPTERS);
  const wanted = named.length > 0 ? named : [...SOFTWARE, ...("Deno" in globalThis ? ["native"] : [])];
  const { code, out, errors } = await runProgram(fileURLToPath(new URL("programs/probe.ts", import.meta.url)), wanted);
  const last = out.trim().split("\n").at(-1) ?? "";
  if (code !== 0) throw new Error(`looking for the adapters ${wanted.join(", ")} ended with ${code}: ${errors.trim()}`);
  const found = JSON.parse(last) as Found;
  const embedded = process.platform === "linux" && process.arch === "x64";
  const adapters = chooseAdapters(named, found, embedded);
  for (const name of wanted)
    if (!adapters.includes(name)) console.warn(`GPU tests leave out the adapter ${name}: ${found[name]}`);
  return adapters;
}
