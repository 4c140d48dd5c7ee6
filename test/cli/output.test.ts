/**
 * What becomes of results that cannot be written: a sentence and a code, or, where the reader has gone, a quiet end.
 */
import { spawn } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { Output } from "../../cli/support/output.ts";
import { adaptersUnderTest } from "../support/gpu.ts";
import { cli } from "./run.ts";

const LAUNCHER = fileURLToPath(new URL("../../cli/tilestate.mjs", import.meta.url));
const [adapter = ""] = adaptersUnderTest();
const TEXT = ["generate", "--quiet", "--ignore-eos", "--state", "tova:32", "--adapter", adapter];

interface Said {
  readonly code: number | null;
  readonly err: string;
}

/** Runs the command with stdout into a file, or into a pipe that is closed when its first bytes have come. */
function run(args: readonly string[], stdout: number | "pipe"): Promise<Said> {
  const how = process.versions.bun ? ["--bun"] : process.versions.deno ? ["run", "-A"] : [];
  const child = spawn(process.execPath, [...how, LAUNCHER, ...args], { stdio: ["ignore", stdout, "pipe"] });
  child.stdout?.once("data", () => child.stdout?.destroy());
  let err = "";
  child.stderr?.on("data", (part: Uint8Array) => {
    err += new TextDecoder().decode(part);
  });
  return new Promise((done, fail) => {
    child.on("error", fail);
    child.on("close", (code) => done({ code, err: err.replaceAll(/^Warning: max.*\n/gm, "") }));
  });
}

const FULL = "error: the output could not be written: no space is left on the device (ENOSPC)\n";

describe.runIf(process.platform === "linux")("a full disk", () => {
  test.each([
    ["a text", [...TEXT, "--tokens", "20"]],
    ["JSON", [...TEXT, "--tokens", "2", "--json"]],
    ["help", ["--help"]],
    ["a list", ["kernels", "list"]],
  ])("is one sentence and code 1: %s", async (_, args) => {
    const full = openSync("/dev/full", "w");
    try {
      expect(await run(args, full)).toEqual({ code: 1, err: FULL });
    } finally {
      closeSync(full);
    }
  });
});

// The first token of most prompts is a BOS, which has no text.
test.each([
  ["at the start", ["", "Once ", "upon"], "Once upon"],
  ["in the middle", ["Once ", "", "", "upon"], "Once upon"],
  ["alone", ["", ""], ""],
])("pieces without text lose nothing of the others: %s", async (_, pieces, want) => {
  const folder = mkdtempSync(join(tmpdir(), "tilestate-output-"));
  const file = join(folder, "out.txt");
  const fd = openSync(file, "w");
  try {
    const together = new Output(fd);
    for (const piece of pieces) together.push(piece);
    await together.flush();
    expect(readFileSync(file, "utf8")).toBe(want);
    const apart = new Output(fd);
    for (const piece of pieces) {
      apart.push(piece);
      await apart.flush();
    }
    expect(readFileSync(file, "utf8")).toBe(want + want);
  } finally {
    closeSync(fd);
    rmSync(folder, { recursive: true, force: true });
  }
});

test("a reader that has gone ends the command quietly, long before its time", async () => {
  // A million tokens would take an hour.
  expect(await run([...TEXT, "--tokens", "1000000"], "pipe")).toEqual({ code: 0, err: "" });
});

test("a text that passes the positions its model was trained on is told of, once", async () => {
  const args = ["generate", "--state", "tova:32", "--ignore-eos", "--adapter", adapter, "--ids"];
  const ids = Array.from({ length: 1020 }, (_, i) => 5 + (i % 50)).join(",");
  const { code, err } = await cli(...args, ids, "--tokens", "12");
  expect(code).toBe(0);
  const note =
    "note: the text is longer than the 1024 positions that this model was trained on (max_position_embeddings); " +
    "beyond them it may get worse, whatever the state keeps\n";
  expect(err.split(note)).toHaveLength(2);
  const within = await cli(...args, ids, "--tokens", "4");
  expect([within.code, within.err.includes("note:")]).toEqual([0, false]);
});
