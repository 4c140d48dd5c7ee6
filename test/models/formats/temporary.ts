/** A folder of its own for one test file, and the error a promise ends in. */

import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll } from "vitest";
import { UserError } from "../../../runtime/common/errors.ts";

/** Gives a function that makes paths in a fresh folder, which is removed when the file's tests are done. */
export function temporary(): (name: string) => string {
  let folder = "";
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "tilestate-test-"));
  });
  afterAll(async () => {
    await rm(folder, { recursive: true, force: true });
  });
  return (name) => join(folder, name);
}

export async function copyFolder(from: string, to: string): Promise<string> {
  await cp(from, to, { recursive: true });
  return to;
}

/** The message of the `UserError` a call ends in; anything else fails the test. */
export async function complaint(call: () => unknown): Promise<string> {
  try {
    await call();
  } catch (error) {
    if (error instanceof UserError) return error.message;
    throw error;
  }
  throw new Error("expected a UserError, but the call succeeded");
}
