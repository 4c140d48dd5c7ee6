/** How many threads the software adapter is asked for, and that the driver hears of it in every runtime. */
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { softwareThreads } from "../../runtime/threads.ts";
import { onlyOn } from "../support/gpu.ts";
import { runProgram } from "../support/program.ts";

const PROGRAM = fileURLToPath(new URL("programs/threads.ts", import.meta.url));

test("small machines get two threads a core, others what the driver likes", () => {
  expect([1, 2, 4, 7, 8, 64].map(softwareThreads)).toEqual([undefined, 4, 8, 14, undefined, undefined]);
});

test.each(onlyOn("llvmpipe"))("%s starts as many as it is asked for", async () => {
  const opened = async (asked: string): Promise<{ started: number; asked: string }> => {
    const { code, out, errors } = await runProgram(PROGRAM, ["llvmpipe"], { LP_NUM_THREADS: asked });
    expect(code, errors).toBe(0);
    return JSON.parse(out);
  };
  const [one, three, free] = [await opened("1"), await opened("3"), await opened("")];
  expect([one.asked, three.asked]).toEqual(["1", "3"]);
  // Each of the driver's screens has as many.
  expect(one.started).toBeGreaterThan(0);
  expect(three.started).toBe(3 * one.started);
  const expected = softwareThreads(availableParallelism());
  expect(free.asked).toBe(expected === undefined ? "" : String(expected));
  if (expected !== undefined) expect(free.started).toBe(expected * one.started);
});
