/** The words of the language in host code: each says what it is instead of running, and the compiler knows them all. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import * as language from "../../dsl/index.ts";
import * as words from "../../dsl/words.ts";

const NAMES = Object.keys(words);
const compiler = readFileSync(new URL("../../compiler/frontend/lower/intrinsics.ts", import.meta.url), "utf8");

describe("the words of the language", () => {
  test.each(Object.entries(words))("%s says that it is not for host code", (name, stub) => {
    const word = stub as (...args: unknown[]) => unknown;
    expect(() => word("rows", 1, 2)).toThrow(
      new RegExp(
        `^${name}\\(.*\\) is a word of the kernel language: it works inside a kernel loaded with gpu\\.kernels`,
      ),
    );
  });

  test("are all known to the compiler and exported, and no others", () => {
    const table = compiler.slice(compiler.indexOf("const WORDS"));
    const known = [...table.matchAll(/^ {2}(\w+): /gm)].map((m) => m[1]);
    expect(known.sort()).toEqual([...NAMES].sort());
    expect(NAMES.filter((n) => !(n in language))).toEqual([]);
  });
});
