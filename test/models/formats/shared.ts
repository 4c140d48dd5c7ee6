/**
 * Data that lies beside a checkout (trained checkpoints and tokenizers of others) and may not be copied into it.
 *
 * A plain clone does not have it: the tests that need it are skipped then, counted as such, and the run says so once
 * (support/setup.ts). With CI=true its absence is a failure.
 */

import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const ROOT: URL = new URL("../../../", import.meta.url);

/** Path of a file or folder of the shared data, or undefined in a clone without it. */
export function shared(path: string): string | undefined {
  const full = fileURLToPath(new URL(`../shared/${path}`, ROOT));
  if (existsSync(full)) return full;
  if (process.env.CI === "true") throw new Error(`CI needs the shared data: ${path} is missing beside the checkout`);
  return undefined;
}

/** Path of a file under test/fixtures. */
export function fixture(path: string): string {
  return fileURLToPath(new URL(`test/fixtures/${path}`, ROOT));
}
