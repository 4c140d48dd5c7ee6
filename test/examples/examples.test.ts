/**
 * Every example runs as it stands, in the runtime that runs this test, and the one in the README is the one in the
 * folder.
 */
import { spawn } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { adaptersUnderTest } from "../support/gpu.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const [fastest = ""] = adaptersUnderTest();

/** Runs a file of examples/ and gives what it printed. */
function run(name: string, ...args: string[]): Promise<{ code: number | null; out: string; err: string }> {
  const { versions, features } = process;
  const how = versions.bun ? ["--bun"] : versions.deno ? ["run", "-A"] : features.typescript ? [] : ["--import", "tsx"];
  const env = { ...process.env, TILESTATE_ADAPTER: fastest };
  const child = spawn(process.execPath, [...how, `examples/${name}`, ...args], { cwd: ROOT, env });
  const [out, err]: [string[], string[]] = [[], []];
  child.stdout.on("data", (text: Uint8Array) => out.push(new TextDecoder().decode(text)));
  child.stderr.on("data", (text: Uint8Array) => err.push(new TextDecoder().decode(text)));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, out: out.join(""), err: err.join("") }));
  });
}

const EXPECTED: Readonly<Record<string, (out: string) => void>> = {
  "softmax.ts": (out) => expect(out).toBe("0.0900 0.2447 0.6652 0.0000 0.0000 0.9999\n"),
  "softmax.mjs": (out) => expect(out).toBe("0.0900 0.2447 0.6652 0.0000 0.0000 0.9999\n"),
  "generate.ts": (out) => {
    expect(out).toMatch(/^hearth on .*: 400944 bytes of state \(tova:64,recent=8\)\n\nA tale from /);
    expect(out).toMatch(/Of 202 tokens, the first layer still holds these positions: [\d ]* 200 201\n$/);
  },
  "batch.ts": (out) => {
    const texts = out.trim().split("\n\n");
    expect(texts).toHaveLength(6);
    for (const [i, place] of ["Ashwick", "Brindle", "Corby", "Dunmore", "Elm Hill", "Fenwick"].entries()) {
      // The texts are drawn: what they say is the dice's business.
      expect(texts[i]).toMatch(new RegExp(`^A tale from ${place}\\..{40,}`));
    }
  },
  "my-policy.ts": (out) => expect(out).toBe(""),
  "policy.ts": (out) => {
    const answers = Object.fromEntries([...out.matchAll(/^(\w+(?::\d+)?) +"(.*?)"/gm)].map((m) => [m[1], m[2]]));
    expect(Object.keys(answers)).toEqual(["full", "window:32", "tova:32", "unloved:32"]);
    expect(answers.full).toBe("in the attic.");
    // The whistle's place is long out of the window, and TOVA has kept it.
    expect(answers["window:32"]).not.toBe("in the attic.");
    expect(answers["tova:32"]).toBe("in the attic.");
  },
};

test.each(Object.entries(EXPECTED))("%s", async (name, check) => {
  const { code, out, err } = await run(name);
  expect(code, err).toBe(0);
  check(out);
});

test("every example at the top of the folder is run here", async () => {
  const files = (await readdir(`${ROOT}examples`)).filter((name) => /\.(ts|mjs)$/.test(name));
  expect(files.sort()).toEqual(Object.keys(EXPECTED).sort());
});

test("the README shows softmax.ts to the letter", async () => {
  const [readme, example] = await Promise.all(
    ["README.md", "examples/softmax.ts"].map((file) => readFile(ROOT + file, "utf8")),
  );
  expect(readme).toContain(`\`\`\`ts\n${example}\`\`\`\n`);
});
