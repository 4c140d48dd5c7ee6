/** The runtime in a folder of its own, for tests of which packages it finds beside it. */
import { cp, mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../", import.meta.url));

/** The program in it: opens the adapter that its argument names, and prints what that is or what the error says. */
export const OPENS = "test/runtime/programs/opens.ts";

/** Makes such a folder, without any `node_modules`, and returns its path. */
export async function runtimeAlone(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "tilestate-test-"));
  for (const name of ["compiler", "dsl", "runtime", "package.json", "deno.json", OPENS])
    await cp(join(root, name), join(folder, name), { recursive: true });
  return folder;
}
