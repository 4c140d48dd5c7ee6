/**
 * Six thousand tokens with a state of 128 slots: the memory contract, kept over time.
 *
 * Once the first thousand tokens have warmed everything up, nothing may be created on the device any more, and the
 * bytes on it stay the same. That is far beyond the trained positions and beyond two rows of the rotary tables, and
 * what the text says does not matter. One adapter: it takes a minute. The memory of the process is a measurement, and
 * `tilestate bench flat` takes it.
 */
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { pipelinesIn } from "../../support/counted.ts";
import { adaptersUnderTest } from "../../support/gpu.ts";
import { note } from "../../support/notes.ts";
import { runProgram } from "../../support/program.ts";
import type { Report } from "./programs/endurance.ts";

const PROGRAM = fileURLToPath(new URL("./programs/endurance.ts", import.meta.url));
const TOKENS = 6_000;
const WARM = 1_000;

test(`${TOKENS} tokens with tova:128 need no more memory than ${WARM}`, async ({ task }) => {
  const adapter = adaptersUnderTest()[0] ?? "";
  const { code, out, errors } = await runProgram(PROGRAM, [adapter, String(TOKENS), String(WARM)]);
  expect(code, errors).toBe(0);
  const report = JSON.parse(out.trim().split("\n").at(-1) ?? "") as Report;
  note(task, `${adapter}: ${JSON.stringify(report)}`);
  expect(report.tokens).toBe(TOKENS);
  expect(report.strange).toBe(0);
  expect(report.kept).toEqual(Array.from({ length: 6 }, () => 128));

  const { before, most, least } = report.allocated;
  expect([most, least]).toEqual([before, before]);
  // The wrapping works: loading has created things.
  for (const name of ["createBuffer", "createBindGroup"]) expect(report.warming[name], name).toBeGreaterThan(0);
  expect(pipelinesIn(report.warming)).toBeGreaterThan(0);
  for (const [name, count] of Object.entries(report.after)) expect(count, name).toBe(0);
}, 900_000);
