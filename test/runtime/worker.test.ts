/**
 * A worker with reads pending is ended the documented way (docs/serving.md, "In a worker"), and the process lives on.
 */
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { adaptersUnderTest } from "../support/gpu.ts";
import { runProgram } from "../support/program.ts";

const PROGRAM = fileURLToPath(new URL("programs/worker.ts", import.meta.url));

test.each(adaptersUnderTest())("a worker that closes its GPU first can be terminated: %s", async (adapter) => {
  for (let round = 0; round < 3; round++) {
    const { code, out, errors } = await runProgram(PROGRAM, [adapter]);
    expect(code, errors).toBe(0);
    expect(out).toBe("closed with reads pending\n1 2\n");
  }
});
