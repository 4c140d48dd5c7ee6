/** How many threads the software adapter is asked for, and that the driver hears of it in every runtime. */
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { isMainThread } from "node:worker_threads";
import { expect, test, vi } from "vitest";
import { chooseSoftwareThreads, softwareThreads } from "../../runtime/adapters/threads.ts";
import { openDevice } from "../../runtime/device/device.ts";
import { adaptersUnderTest, onlyOn } from "../support/gpu.ts";
import { runProgram } from "../support/program.ts";

interface Opened {
  readonly started: number;
  readonly asked: string;
  readonly notes: readonly string[];
}

const PROGRAM = fileURLToPath(new URL("programs/threads.ts", import.meta.url));

test("small machines get two threads a core, others what the driver likes", () => {
  expect([1, 2, 4, 7, 8, 64].map(softwareThreads)).toEqual([undefined, 4, 8, 14, undefined, undefined]);
});

test.each(onlyOn("llvmpipe"))("%s starts as many as it is asked for", async () => {
  const opened = async (asked: string, ...wish: string[]): Promise<Opened> => {
    const { code, out, errors } = await runProgram(PROGRAM, ["llvmpipe", ...wish], { LP_NUM_THREADS: asked });
    expect(code, errors).toBe(0);
    return JSON.parse(out);
  };
  // The variable decides, whatever is wished for.
  const [one, three, free] = [await opened("1", "auto"), await opened("3", "5"), await opened("", "auto")];
  expect([one.asked, three.asked]).toEqual(["1", "3"]);
  // Each of the driver's screens has as many.
  expect(one.started).toBeGreaterThan(0);
  expect(three.started).toBe(3 * one.started);
  const expected = softwareThreads(availableParallelism());
  expect(free.asked).toBe(expected === undefined ? "" : String(expected));
  if (expected !== undefined) expect(free.started).toBe(expected * one.started);
  const [five, unasked] = [await opened("", "5"), await opened("")];
  expect([five.asked, five.started, five.notes]).toEqual(["5", 5 * one.started, []]);
  // Who asks for nothing finds the environment as it was, and the driver's own choice.
  expect(unasked.asked).toBe("");
  expect(unasked.started).toBe(availableParallelism() * one.started);
});

test("what is no number of threads is refused", async () => {
  for (const threads of [0, 1.5, -1, 257, "many" as "auto"]) {
    const message = `threads must be "auto" or a whole number from 1 to 256, got ${threads}`;
    await expect(openDevice({ adapter: adaptersUnderTest()[0], threads })).rejects.toThrow(message);
  }
});

test("where the environment cannot be changed a sentence says so, and it stays as it is", async () => {
  vi.stubEnv("LP_NUM_THREADS", "");
  const real = process.env;
  const frozen = new Proxy(real, {
    set: () => {
      throw new Error("not allowed");
    },
  });
  Object.defineProperty(process, "env", { value: frozen, configurable: true, writable: true });
  try {
    expect(await chooseSoftwareThreads(3)).toBe(
      isMainThread
        ? "The software adapter was not asked for 3 threads: the environment cannot be changed here (not allowed). Start the program with LP_NUM_THREADS=3."
        : "The software adapter was not asked for 3 threads: a worker does not change the environment. Start the program with LP_NUM_THREADS=3.",
    );
  } finally {
    Object.defineProperty(process, "env", { value: real, configurable: true, writable: true });
    vi.unstubAllEnvs();
  }
});
