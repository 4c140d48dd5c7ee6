/**
 * Prompts from files and standard input, control tokens in them, and `-h`. No GPU: what is asked for ends before one is
 * opened, or is asked of the reader.
 */
import { writeFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { promptFromFile } from "../../cli/support/prompt.ts";
import { complaint, temporary } from "../models/formats/temporary.ts";
import { cli } from "./run.ts";

const at = temporary();
const silent = { out: (): void => {}, err: (): void => {} };
const given = (text: string | Uint8Array) => ({
  ...silent,
  read: async () => (typeof text === "string" ? new TextEncoder().encode(text) : text),
});

describe("a prompt from a file", () => {
  test.each([
    ["a byte order mark", "\uFEFFHello", "Hello"],
    ["one line end at the end", "Hello\n", "Hello"],
    ["of several line ends the last", "Hello\n\n\n", "Hello\n\n"],
    ["CR LF", "a\r\nb\r\n", "a\nb"],
    ["CR alone stays", "a\rb\r", "a\rb\r"],
    ["a mark inside stays", "a\uFEFFb", "a\uFEFFb"],
    ["nothing", "", ""],
    ["a line end alone", "\n", ""],
    ["all of it", "\uFEFFa\r\n\r\n", "a\n"],
  ])("%s", async (_, text, expected) => {
    await writeFile(at("p.txt"), text);
    expect(await promptFromFile(at("p.txt"), false, silent)).toBe(expected);
    expect(await promptFromFile(at("p.txt"), true, silent)).toBe(text);
    expect(await promptFromFile("-", false, given(text))).toBe(expected);
    expect(await promptFromFile("-", true, given(text))).toBe(text);
  });

  test("what is no UTF-8 is refused, raw or not", async () => {
    await writeFile(at("latin.txt"), new Uint8Array([0x6e, 0xe9, 0x65]));
    for (const raw of [false, true]) {
      expect(await complaint(() => promptFromFile(at("latin.txt"), raw, silent))).toBe(
        `${at("latin.txt")}: the prompt is not UTF-8 (it looks like another encoding, or no text at all)`,
      );
      expect(await complaint(() => promptFromFile("-", raw, given(new Uint8Array([0xff, 0xfe, 0x61, 0]))))).toBe(
        "standard input: the prompt is not UTF-8 (it looks like UTF-16)",
      );
    }
  });

  test("a file that is not there, and no standard input", async () => {
    expect(await complaint(() => promptFromFile(at("absent"), false, silent))).toContain(
      `${at("absent")}: cannot read the prompt (ENOENT`,
    );
    expect(await complaint(() => promptFromFile("-", false, silent))).toBe(
      "standard input: cannot read the prompt (there is none)",
    );
  });
});

describe("wrong usage", () => {
  test.each<[string[], string]>([
    [["generate", "x", "--raw"], "error: --raw goes with --prompt-file\n"],
    [["generate", "--special", "maybe"], "argument 'maybe' is invalid. Allowed choices are parse, text.\n"],
    [
      ["generate", "--tokens", "1e16"],
      "argument '1e16' is invalid. Expected at most 9007199254740991, which is 2^53 - 1.\n",
    ],
    [["generate", "--ids", "1,1e16"], "Expected at most 9007199254740991, which is 2^53 - 1.\n"],
  ])("%j", async (args, message) => {
    const { code, out, err } = await cli(...args);
    expect([code, out]).toEqual([2, ""]);
    expect(err).toContain(message);
  });
});

test.each([[[]], [["generate"]], [["inspect"]], [["eval", "recall"]], [["kernels", "show"]], [["bench"]]])(
  "-h is --help: %j",
  async (words) => {
    const [short, long] = [await cli(...words, "-h"), await cli(...words, "--help")];
    expect(short).toEqual(long);
    expect([short.code, short.err]).toEqual([0, ""]);
    expect(short.out).toContain("-h, --help");
  },
);
