/**
 * Environment variables, wherever the program runs.
 *
 * Compiler and runtime also work in browsers, which have no environment, and in Deno without the permission to read it;
 * both simply have no variables set.
 */

/** The value of an environment variable; undefined when it is unset, empty or not readable here. */
export function env(name: string): string | undefined {
  try {
    const value = globalThis.process?.env?.[name];
    return value === undefined || value === "" ? undefined : value;
  } catch {
    return undefined;
  }
}

/** True in Node, Bun and Deno; false in browsers and their workers. */
export function onServer(): boolean {
  return typeof globalThis.process?.versions?.node === "string";
}
