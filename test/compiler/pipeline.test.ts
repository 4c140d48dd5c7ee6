/**
 * The pipeline as an array: passes by name, verified one by one, in an order that is checked, stopped after and timed
 * by name.
 */
import { afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { builtinKernels, programsOf } from "../../cli/kernels/builtin.ts";
import { sizesOf, storageOf, TARGETS } from "../../cli/kernels/targets.ts";
import type { TileProgram } from "../../compiler/index.ts";
import { checkOrder, generate, generateUntil, ORDER, PASSES, runPasses, workOf } from "../../compiler/pipeline.ts";
import type { Pass, PassTime, Work } from "../../compiler/pipeline-types.ts";
import { cli } from "../cli/run.ts";

let program: TileProgram;
beforeAll(async () => {
  program = (await programsOf(await builtinKernels())).get("logits") as TileProgram;
});

const names = PASSES.map((pass) => pass.name);
const target = TARGETS.lavapipe as NonNullable<(typeof TARGETS)[string]>;
const binding = (): Parameters<typeof generate>[1] => ({
  sizes: sizesOf(program, {}),
  storage: storageOf(program, {}),
  cells: [],
});
const start = (): Work => workOf(program, binding(), target);

/** The passes with another one behind the one of that name. */
function withPass(after: string, pass: Pass): readonly Pass[] {
  return PASSES.flatMap((p) => (p.name === after ? [p, pass] : [p]));
}

describe("a pass that breaks a rule is named", () => {
  test("on tile IR", () => {
    const breaks: Pass = {
      name: "repeats itself",
      run: (w) => ({ program: { ...w.program, body: [...w.program.body, ...w.program.body] } }),
    };
    expect(() => runPasses(withPass("specialise", breaks), start())).toThrow(
      /^kernel logits: the IR after "repeats itself" is not legal: %\d+ is defined twice$/,
    );
  });

  test("on lane IR", () => {
    const breaks: Pass = {
      name: "forgets the first",
      run: (w) => (w.lanes === undefined ? {} : { lanes: { ...w.lanes, body: w.lanes.body.slice(1) } }),
    };
    for (const after of ["dead-code", "hoist-loads", "merge-bindings"])
      expect(() => runPasses(withPass(after, breaks), start()), after).toThrow(
        /^kernel logits: the lane IR after "forgets the first" is not legal: \w+ is used before it is defined$/,
      );
  });

  test("and one before lowering that needs what is not there yet says so", () => {
    const [lower] = PASSES.filter((p) => p.name === "lower");
    expect(() => runPasses([lower as Pass], start())).toThrow("a pass that needs a schedule runs before there is one");
  });
});

describe("the order", () => {
  test("holds, and every pass but the first has something that it comes after or before", () => {
    expect(() => checkOrder(PASSES, ORDER)).not.toThrow();
    expect(names.filter((name) => !ORDER.some(([a, b]) => a === name || b === name))).toEqual([]);
  });

  test.each(ORDER)("%s before %s", (before, after, why) => {
    const swapped = PASSES.map((p) => {
      const other = p.name === before ? after : p.name === after ? before : p.name;
      return PASSES.find((q) => q.name === other) as Pass;
    });
    expect(() => checkOrder(swapped, ORDER)).toThrow(/^pipeline: "[\w-]+" must run before "[\w-]+": /);
    expect(() => checkOrder(swapped, [[before, after, why]])).toThrow(
      `pipeline: "${before}" must run before "${after}": ${why}`,
    );
  });

  test("names passes that are there, each once", () => {
    const [first, ...rest] = PASSES;
    expect(() => checkOrder(rest, ORDER)).toThrow('pipeline: the order names "specialise", and no pass is called that');
    expect(() => checkOrder([...PASSES, first as Pass], ORDER)).toThrow('pipeline: two passes are called "specialise"');
  });
});

describe("stopping after a pass", () => {
  test("gives what the kernel is then, for every pass", () => {
    const whole = generate(program, binding(), target);
    for (const name of names) {
      const { work, applied } = generateUntil(name, program, binding(), target);
      const at = names.indexOf(name);
      expect(work.schedule === undefined, name).toBe(at < names.indexOf("schedule"));
      expect(work.lanes === undefined, name).toBe(at < names.indexOf("lower"));
      expect(applied, name).toBe(
        !["loopify-reduction", "split-bindings", "merge-bindings"].includes(name) &&
          (name !== "distribute" || work.schedule?.dealt !== undefined),
      );
    }
    expect(generateUntil("specialise", program, binding(), target).work.program).toEqual(whole.fixed);
    expect(generateUntil("hoist-reductions", program, binding(), target).work.program).toEqual(whole.specialised);
    expect(generateUntil("print", program, binding(), target).work.wgsl).toBe(whole.wgsl);
  });

  test("by a name that no pass has lists them", () => {
    expect(() => generateUntil("sweep", program, binding(), target)).toThrow(
      `there is no pass "sweep"; there are: ${names.join(", ")}`,
    );
  });

  test("from the command line: tile IR, lane IR, WGSL", async () => {
    const stopped = async (pass: string): Promise<string> =>
      (await cli("kernels", "show", "logits", "--target", "lavapipe", "--after", pass)).out;
    const [tile, scheduled, lanes, wgsl] = [
      await stopped("specialise"),
      await stopped("schedule"),
      await stopped("dead-code"),
      await stopped("print"),
    ];
    expect(tile).toMatch(/^kernel logits\n/);
    expect(scheduled).toContain(tile.split("\n")[1]);
    expect(scheduled.length).toBeGreaterThan(tile.length);
    expect(lanes).not.toContain("@compute");
    expect(wgsl).toBe(`${generate(program, binding(), target).wgsl.trimEnd()}\n`);
  });

  test("from the command line: what does not apply, and what is no pass", async () => {
    const idle = await cli("kernels", "show", "logits", "--target", "gpu", "--after", "strength-reduction");
    expect(idle.err).toBe("strength-reduction does not apply to logits on gpu: this is what the pass before it left\n");
    const before = await cli("kernels", "show", "logits", "--target", "gpu", "--after", "dead-code");
    expect(idle.out).toBe(before.out);
    const wrong = await cli("kernels", "show", "logits", "--after", "sweep");
    expect(wrong.code).toBe(2);
    expect(wrong.err).toContain(`there is no pass "sweep"; the passes are ${names.join(", ")}`);
  });
});

describe("times", () => {
  afterEach(() => {
    vi.unstubAllEnvs();
    vi.restoreAllMocks();
  });

  test("are taken for each pass that applies, its verification apart", () => {
    const times: PassTime[] = [];
    const work = runPasses(PASSES, start(), times);
    const applied = PASSES.filter((p) => times.some((t) => t.pass === p.name));
    expect(times.map((t) => t.pass)).toEqual(applied.map((p) => p.name));
    expect(names.filter((name) => !applied.some((p) => p.name === name))).toEqual(
      names.filter((name) => !generateUntil(name, program, binding(), target).applied),
    );
    for (const t of times) expect(Math.min(t.run, t.verify), t.pass).toBeGreaterThanOrEqual(0);
    expect(work.wgsl).toBe(generate(program, binding(), target).wgsl);
  });

  test.each([
    ["passes", true],
    ["passes,logits", true],
    ["passes,attend", false],
    ["stages", false],
    ["off", false],
  ])("TILESTATE_SHOW=%s prints them: %s", (wish, wanted) => {
    vi.stubEnv("TILESTATE_SHOW", wish);
    const said = vi.spyOn(console, "error").mockImplementation(() => {});
    generate(program, binding(), target);
    const text = said.mock.calls.map(([line]) => `${line}`).join("\n");
    expect(text.includes("milliseconds a pass")).toBe(wanted);
    if (wanted) {
      for (const name of ["specialise", "lower", "hoist-loads", "print", "all"])
        expect(text).toMatch(new RegExp(`^${name} +\\d+\\.\\d\\d +\\d+\\.\\d\\d$`, "m"));
      expect(text).not.toContain("@compute");
    } else if (wish === "stages") expect(text).toContain("@compute");
  });
});
