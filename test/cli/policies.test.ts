/**
 * A cache policy of the user's on the command line: as a file in `--state`, by name with `--policy`, in every command
 * that takes a state; and what is no policy.
 */
import { writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { fixture } from "../models/formats/shared.ts";
import { temporary } from "../models/formats/temporary.ts";
import { adaptersUnderTest } from "../support/gpu.ts";
import { cli, cliJson } from "./run.ts";

const FILE = "examples/my-policy.ts";
const [adapter = ""] = adaptersUnderTest();
const on = ["--adapter", adapter];
const at = temporary();

interface Generated {
  readonly text: string;
  readonly state: string;
}

describe("a policy from a file", () => {
  const generate = (...state: string[]): Promise<Generated> =>
    cliJson<Generated>("generate", "A tale from Ashwick.", "--tokens", "60", ...state, ...on);

  test("generates by its path and by its name alike, and otherwise than TOVA does", async () => {
    const [byFile, byName, tova] = [
      await generate("--state", `./${FILE}:16`),
      await generate("--policy", FILE, "--state", "unloved:16"),
      await generate("--state", "tova:16"),
    ];
    expect(byFile.state).toBe("unloved:16");
    expect(byName).toEqual({ ...byFile, ...timesOf(byName) });
    expect(byFile.text.length).toBeGreaterThan(20);
    expect(byFile.text).not.toBe(tova.text);
  });

  test("is inspected with the memory that it declares", async () => {
    const bytes = async (...state: string[]): Promise<number> =>
      (await cliJson<{ state: { bytes_per_slot: number } }>("inspect", ...state)).state.bytes_per_slot;
    const tova = await bytes("--state", "tova:31");
    // One number more for each slot of each of the six layers.
    expect(await bytes("--state", `${FILE}:31,fade=0.5`)).toBeCloseTo(tova + 6 * 4, 6);
  });

  test("is traced, read forward, warmed up, evaluated and measured", async () => {
    const out = at("out");
    const kept = await cliJson<{ kept_at_end: readonly number[]; state: string }>(
      ...["trace", "--state", `${FILE}:12`, "--tensors", fixture("policies/tova-gqa.safetensors"), "--out", out, ...on],
    );
    expect([kept.state, kept.kept_at_end.length]).toEqual(["unloved:12", 12]);
    const forward = await cliJson<{ state: string }>(
      ...["forward", "--ids", "1,2,3,4,5,6,7,8,9", "--policy", FILE, "--state", "unloved:4", "--out", out, ...on],
    );
    expect(forward.state).toBe("unloved:4");
    const warm = await cliJson<{ decoders: readonly { state: string }[] }>("warm", "--state", `${FILE}:8`, ...on);
    expect(warm.decoders.map((d) => d.state)).toEqual(["unloved:8"]);
    const recall = await cliJson<{ states: Readonly<Record<string, unknown>> }>(
      ...["eval", "recall", "--limit", "1", "--policy", FILE, "--state", "unloved:32", "--state", "tova:32", ...on],
    );
    expect(Object.keys(recall.states)).toEqual(["unloved:32", "tova:32"]);
    const bench = ["bench", "policy", "--policy", FILE, "--context", "64", "--tokens", "4", "--over", "8"];
    const { policy } = await cliJson<{ policy: readonly { label: string }[] }>(...bench, "--rounds", "1", ...on);
    expect(policy.map((line) => line.label)).toEqual(["full", "window:8", "tova:8", "unloved:8"]);
  });
});

/** Fields that differ from run to run. */
function timesOf(made: object): object {
  return Object.fromEntries(Object.entries(made).filter(([name]) => /milliseconds|per_second/.test(name)));
}

describe("what is no policy is refused", () => {
  const written = (name: string, text: string): string => {
    const file = at(name);
    writeFileSync(file, text);
    return file;
  };
  const policy = (name: string, more = ""): string =>
    `export const ${name} = { name: "${name}", module: import.meta, help: "", options: {}, scope: "layer", positions: "absolute", score: () => 0${more} };\n`;
  const said = async (...args: string[]): Promise<string> => {
    const { code, err } = await cli("inspect", ...args);
    expect(code).toBe(1);
    return err;
  };

  test("a file that is not there, has none, or has two", async () => {
    expect(await said("--state", "./nowhere.ts:8")).toBe("error: ./nowhere.ts: no such file\n");
    const none = written("none.ts", "export const x = 1;\n");
    expect(await said("--policy", none)).toBe(
      `error: ${none}: exports no cache policy, an object with a name, module: import.meta and a score\n`,
    );
    const two = written("two.ts", policy("one") + policy("other"));
    expect(await said("--state", `${two}:8`)).toBe(
      `error: state "${two}:8": ${two} has 2 policies, one, other\nhint: say which one: --policy ${two} --state one:8\n`,
    );
    expect(await said("--policy", two, "--state", "third:8")).toContain(
      'unknown state policy "third" in "third:8"; there are full, window, tova, one, other\n',
    );
  });

  test.each([
    [", memory: { m: { per: 'slot', initial: 0 } }", "memory needs an update, got nothing"],
    [", update: () => 0", "update says what is remembered, but no memory is declared"],
    [", observes: { keys: true }", "observes keys true (a boolean), which is not supported yet"],
    [", scope: 'kv-head' as string", 'scope "kv-head" is not supported yet; "layer" is'],
    [", options: { recent: {} }", '"recent" is an option of every policy'],
    [", options: { size: { is: 'number' } }", 'option "size" is no number, fraction or word with its default'],
  ])("one with %s", async (more, message) => {
    // A name of its own: a module is loaded once.
    const file = written(`wrong-${message.replaceAll(/\W+/g, "-")}.ts`, policy("wrong", more));
    expect(await said("--state", `${file}:8`)).toContain(`cache policy "wrong": ${message}`);
  });

  test("a name that is taken", async () => {
    const file = written("taken.ts", policy("tova"));
    expect(await said("--state", `${file}:8`)).toContain('two cache policies are called "tova"');
  });
});
