/** Help, version and wrong usage: what is printed where, and the exit codes. */
import { readFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { cli } from "./run.ts";

const COMMANDS = ["demo", "generate", "warm", "inspect", "adapters", "forward", "trace", "eval", "kernels"];

test("--help names every command, on stdout, with code 0", async () => {
  const { code, out, err } = await cli("--help");
  expect(code).toBe(0);
  expect(err).toBe("");
  for (const name of COMMANDS) expect(out).toMatch(new RegExp(`^  ${name} `, "m"));
});

test("--version is the package's", async () => {
  const manifest = JSON.parse(await readFile(new URL("../../package.json", import.meta.url), "utf8")) as {
    version: string;
  };
  expect(await cli("--version")).toEqual({ code: 0, out: `${manifest.version}\n`, err: "" });
});

describe.each([
  ...COMMANDS.map((name) => [name]),
  ["eval", "recall"],
  ["kernels", "list"],
  ["kernels", "show"],
  ["kernels", "compile"],
])("%s %s", (...words) => {
  test("--help tells what it takes, with examples", async () => {
    const { code, out, err } = await cli(...words.filter(Boolean), "--help");
    expect([code, err]).toEqual([0, ""]);
    expect(out).toContain(`Usage: tilestate ${words.filter(Boolean).join(" ")}`);
    if (!["eval", "kernels"].includes(words.at(-1) ?? "")) expect(out).toContain("Examples:\n  $ tilestate ");
  });
});

test("help COMMAND is COMMAND --help", async () => {
  expect((await cli("help", "trace")).out).toBe((await cli("trace", "--help")).out);
});

describe("wrong usage gives code 2, one sentence and no stack trace", () => {
  const cases: [string[], string][] = [
    [["frobnicate"], "error: unknown command 'frobnicate'\n"],
    [["generate", "--nope"], "error: unknown option '--nope'\n"],
    [["generate", "a", "b"], "error: too many arguments for 'generate'. Expected 1 argument but got 2.\n"],
    [
      ["generate", "--tokens", "many"],
      "error: option '--tokens <n>' argument 'many' is invalid. Expected a whole number of at least 1.\n",
    ],
    [
      ["generate", "--tokens", "0"],
      "error: option '--tokens <n>' argument '0' is invalid. Expected a whole number of at least 1.\n",
    ],
    [
      ["generate", "--temperature", "warm"],
      "error: option '--temperature <t>' argument 'warm' is invalid. Expected a number.\n",
    ],
    [["generate", "--prefill", "twice"], "argument 'twice' is invalid. Allowed choices are recurrent, oneshot.\n"],
    [
      ["generate", "text", "--ids", "1,2"],
      "error: give one prompt: as an argument, with --prompt-file, or with --ids\n",
    ],
    [["forward", "--out", "x"], "error: give the tokens either with --ids or with --ids-file\n"],
    [["forward", "--ids", "1"], "error: required option '--out <file>' not specified\n"],
    [["forward", "--ids", "1,b", "--out", "x"], 'Expected whole numbers separated by commas, as in 1,2,3; got "b".\n'],
    [["trace", "--state", "tova:4"], "error: required option '--tensors <file>' not specified\n"],
    [["eval", "recall", "--limit", "0"], "Expected a whole number of at least 1.\n"],
    [["kernels", "show"], "error: missing required argument 'name'\n"],
    [["kernels", "show", "attend", "--target", "abacus"], "Allowed choices are lavapipe, swiftshader, gpu, L4, L0.\n"],
    [["kernels", "show", "attend", "--size", "slots"], "Expected NAME=VALUE.\n"],
    [
      ["kernels", "show", "attend", "--size", "toes=3"],
      'error: kernel attend has no dim "toes"; it has rows, groups, queries, dim, sequences, slots, tokens, feed, scored, layers\n',
    ],
    [
      ["kernels", "show", "attend", "--storage", "feed=f16"],
      'error: kernel attend: tensor "feed" may be stored as u32, not as f16\n',
    ],
    [["kernels", "cache", "burn"], 'error: kernels cache: expected "list" or "clear", got "burn"\n'],
  ];
  test.each(cases)("%j", async (args, message) => {
    const { code, out, err } = await cli(...args);
    expect([code, out]).toEqual([2, ""]);
    expect(err).toContain(message);
    expect(err).not.toMatch(/^\s+at /m);
  });

  test("no command at all prints the help, on stderr", async () => {
    const { code, out, err } = await cli();
    expect([code, out]).toEqual([2, ""]);
    expect(err).toContain("Usage: tilestate");
  });
});
