/**
 * The benchmark's commands: what their reports hold, that the greedy ids are the decoder's own, and what they say to
 * those who ask for what cannot be. How fast anything was is nobody's business here.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import { runPairs } from "../../bench/pairs/run.ts";
import type { Measure } from "../../bench/stats.ts";
import { cli, cliJson } from "../cli/run.ts";
import { temporary } from "../models/formats/temporary.ts";
import { adaptersUnderTest } from "../support/gpu.ts";

const adapter = adaptersUnderTest()[0] as string;
const at = temporary();
const HOME = fileURLToPath(new URL("../../", import.meta.url));
const SHORT = ["--model", "hearth", "--adapter", adapter, "--rounds", "1"];

interface Report {
  readonly adapter: { readonly name: string; readonly driver: string; readonly limits: Record<string, number> };
  readonly decode: Record<string, number | null>;
  readonly prefill: { readonly tokens_per_second: number };
  readonly ids: number[];
  readonly step: Record<string, number | null>;
  readonly kernels: Record<string, number | string | null>[];
  readonly measures: Measure[];
  readonly load: { readonly averages_before: number[] };
  readonly runtime: { readonly name: string; readonly version: string };
  readonly [key: string]: unknown;
}

/** Every number of a report is one, and none of those that must be above zero is not. */
function expectPositive(record: Record<string, unknown>, keys: readonly string[]): void {
  for (const key of keys) expect(record[key], key).toBeGreaterThan(0);
}

describe("tilestate bench decode", () => {
  let report: Report;
  let greedy: number[];
  beforeAll(async () => {
    const ids = ["--ids", "5,6,7", "--tokens", "6"];
    report = await cliJson<Report>("bench", "decode", ...SHORT, ...ids);
    const model = ["--model", "hearth", "--adapter", adapter, "--ignore-eos"];
    greedy = (await cliJson<{ ids: number[] }>("generate", ...model, ...ids)).ids;
  });

  it("writes rates, host and greedy ids under the names that scripts read", () => {
    expectPositive(report.decode, ["tokens_per_second", "dispatches_per_token", "ms_per_step"]);
    for (const key of ["host_us_per_dispatch", "main_thread_share"]) expect(report.decode).toHaveProperty(key);
    expect(report.prefill.tokens_per_second).toBeGreaterThan(0);
    expect(report.ids).toHaveLength(6);
    expect(report.ids).toEqual(greedy);
  });

  it("says where and under what load it ran", () => {
    expect(report.adapter.name.toLowerCase()).toContain(adapter === "swiftshader" ? "swiftshader" : "llvmpipe");
    expect(report.adapter.driver).not.toBe("");
    expectPositive(report.adapter.limits, ["bindingBytes", "bufferBytes", "workgroupInvocations", "storageBuffers"]);
    expect(report.runtime.version).not.toBe("");
    expect(report.load.averages_before).toHaveLength(3);
    expect(report).toMatchObject({ benchmark: "decode", model: "hearth", weights: "stored", context: 3, tokens: 6 });
    expectPositive(report.ceiling as Record<string, unknown>, ["copy_gb_s", "arithmetic_gflop_s"]);
  });

  it("accounts for a step kernel by kernel", () => {
    const sum = (key: string): number => report.kernels.reduce((n, k) => n + Number(k[key]), 0);
    expect(sum("dispatches")).toBe(report.decode.dispatches_per_token);
    expect(sum("dispatches")).toBe(report.step.dispatches);
    expect(sum("bytes")).toBe(report.step.bytes);
    expect(sum("operations")).toBe(report.step.operations);
    expect(sum("share")).toBeCloseTo(1, 9);
    expect(sum("alone_ms")).toBeCloseTo(report.step.kernels_ms ?? Number.NaN, 6);
    expect(report.step.over_kernels).toBeGreaterThan(0);
    // Every weight of the matrices is read once a step, and takes a multiplication and an addition.
    const { weights } = report.bytes as { weights: number };
    expect(Number(report.step.bytes) / weights).toBeGreaterThan(0.8);
    for (const k of report.kernels) {
      expect(k.timestamp_ms, String(k.kernel)).toBeGreaterThan(0);
      expect(Number(k.gb_s) * Number(k.alone_ms)).toBeCloseTo(Number(k.bytes) / 1e6, 6);
    }
  });

  it("writes figures with their spread, and compares with them", async () => {
    for (const m of report.measures) {
      expect(m.low).toBeLessThanOrEqual(m.median);
      expect(m.high).toBeGreaterThanOrEqual(m.median);
    }
    expect(report.measures.map((m) => m.name)).toEqual(expect.arrayContaining(["decode", "prefill", "kernels alone"]));
    const old = at("old.json");
    const slower = report.measures.map((m) => {
      const factor = m.name === "decode" ? 1000 : 1;
      return { ...m, median: m.median * factor, low: m.low * factor, high: m.high * factor };
    });
    await writeFile(old, JSON.stringify({ ...report, measures: slower }));
    const out = at("new.json");
    const svg = at("roofline.svg");
    const said = await cli(
      ...["bench", "decode", ...SHORT, "--ids", "5,6,7", "--tokens", "6"],
      ...["--compare", old, "--json", out, "--svg", svg],
    );
    // Being worse is a failure, and what was asked for is written all the same.
    expect(said.code).toBe(1);
    expect(said.err).toMatch(/^error: worse than \S+old\.json by a factor of more than 1\.03: (.*, )?decode\b/);
    expect(said.out).toContain(`against   ${old}`);
    expect(said.out).toMatch(/worse +decode: [\d.e+]+ -> [\d.]+ tokens\/s/);
    expect(said.out).toMatch(/figures within noise\n$/);
    expect(said.out).toMatch(/^kernel +calls +stamped us +alone us/m);
    expect((JSON.parse(await readFile(out, "utf8")) as Report).ids).toEqual(greedy);
    expect(await readFile(svg, "utf8")).toContain("hearth, stored weights, full:");
  });
});

describe("settings", () => {
  const args = ["--ids", "5,6,7", "--tokens", "4"];
  it("are compared before anything is measured", async () => {
    const file = at("settings.json");
    expect((await cli("bench", "decode", ...SHORT, ...args, "--json", file)).code).toBe(0);
    const report = JSON.parse(await readFile(file, "utf8")) as Report;
    expect(report.settings).toMatchObject({
      ...{ benchmark: "decode", model: "hearth", weights: "stored", batch: 1, context: 3, tokens: 4, ids: "5,6,7" },
      adapter: report.adapter.name,
      runtime: report.runtime.name,
    });
    const said = await cli("bench", "decode", ...SHORT, ...args, "--weights", "q4", "--compare", file);
    expect(said).toMatchObject({ code: 1, out: "" });
    expect(said.err).toBe(`error: ${file}: different settings cannot be compared: weights: stored there, q4 here\n`);
    const batch = await cli("bench", "batch", ...SHORT, "--context", "2", "--tokens", "4", "--compare", file);
    expect(batch).toMatchObject({ code: 1, out: "" });
    expect(batch.err).toContain("benchmark: decode there, batch here; ");
  });
});

describe("pairs of this checkout and itself", () => {
  it("have the same settings and results, in decoders, kernels, recorded steps and cold starts", async () => {
    const decoder = {
      title: "hearth",
      model: join(HOME, "models/embedded/hearth"),
      state: "full:32",
      batch: 1,
    } as const;
    const kernel = { kind: "kernel", batch_ms: 1 } as const;
    const { cases, left_out, notes } = await runPairs({
      ...{ here: HOME, there: HOME, adapter, rounds: 1, worse: 1.03 },
      jobs: [
        { kind: "decoder", ...decoder, context: 4, tokens: 4 },
        { kind: "decoder", ...decoder, title: "q4", weights: "q4", batch: 2, state: "full:256", context: 2, tokens: 4 },
        { ...kernel, title: "matvec q8 768x288" },
        { ...kernel, title: "weights f16 96x64", matrix: { format: "f16", rows: 96, k: 64 } },
        { ...kernel, title: "rmsnorm f32 256x2048" },
        { kind: "host", ...decoder, title: "host" },
        { kind: "cold", title: "cold" },
      ],
    });
    expect([left_out, notes]).toEqual([[], []]);
    expect(cases.map((c) => c.name)).toEqual([
      ...["hearth, decode", "hearth, prompt", "q4, decode", "q4, prompt", "matvec q8 768x288", "weights f16 96x64"],
      ...["rmsnorm f32 256x2048", "host", "cold, first token", "cold, end"],
    ]);
    for (const c of cases) {
      expectPositive({ ...c }, ["this_ms", "other_ms"]);
      expect(c.cpu === null, c.name).toBe(c.name === "cold, first token");
    }
  });
});

describe("sweeps", () => {
  it("put bounded states beside the full cache", async () => {
    const lengths = ["--context", "12", "--tokens", "3", "--over", "4"];
    const report = await cliJson<{ policy: Record<string, unknown>[]; measures: Measure[] }>(
      ...["bench", "policy", ...SHORT, ...lengths],
    );
    expect(report.policy.map((l) => l.label)).toEqual(expect.arrayContaining(["full", "window:4", "tova:4"]));
    expect(report.policy[0]).toMatchObject({
      label: "full",
      batch: 1,
      context: 12,
      over_first: 1,
      predicted_over_first: 1,
    });
    const rates = [
      "decode_tokens_per_second",
      "prefill_tokens_per_second",
      "prefill_gflop_s",
      "over_first",
      "step_bytes",
    ];
    for (const line of report.policy) expectPositive(line, [...rates, "dispatches", "state_bytes", "step_operations"]);
    expect(Number(report.policy[1]?.step_bytes)).toBeLessThan(Number(report.policy[0]?.step_bytes));
    expect(report.measures).toHaveLength(2 * report.policy.length);
  });

  it("decode several sequences at a time", async () => {
    const lengths = ["--context", "2", "--tokens", "4", "--over", "1,2"];
    const report = await cliJson<{ batch: Record<string, unknown>[] }>(...["bench", "batch", ...SHORT, ...lengths]);
    expect(report.batch.map((l) => [l.label, l.batch])).toEqual([
      ["batch of 1", 1],
      ["batch of 2", 2],
    ]);
    // Weights are read once for both.
    const [one, two] = report.batch.map((l) => Number(l.step_bytes)) as [number, number];
    expect(two / one).toBeLessThan(1.2);
  });
});

describe("the host", () => {
  it("is measured on the null backend", async () => {
    const report = await cliJson<Report>("bench", "host", "--model", "hearth", "--rounds", "1");
    expect(report.adapter.name).toContain("null");
    expectPositive(report.host as Record<string, unknown>, ["host_us_per_dispatch", "dispatches_per_token"]);
  });

  it("starts new processes", async () => {
    const report = await cliJson<Report>("bench", "cold", "--adapter", adapter, "--rounds", "1");
    const cold = report.cold as { first_token_ms: number; exit_ms: number; first_run: unknown };
    expect(cold.first_token_ms).toBeGreaterThan(0);
    expect(cold.exit_ms).toBeGreaterThanOrEqual(cold.first_token_ms);
    const imported = report.measures.find((m) => m.name.startsWith("import of the runtime"));
    expect(imported).toMatchObject({ unit: "ms", better: "lower", rounds: 3 });
  });

  it("steps from early to late", async () => {
    const steps = ["--early", "4", "--late", "40", "--settle", "1", "--state", "tova:8"];
    const report = await cliJson<Report>("bench", "flat", ...SHORT, ...steps);
    expect(report.flat).toMatchObject({ early_step: 4, late_step: 40 });
    expectPositive(report.flat as Record<string, unknown>, ["early_ms", "late_ms", "ratio", "resident_ratio"]);
    const { resident_early, standing_early } = report.flat as { resident_early: number; standing_early: number };
    expect(resident_early).toBeLessThanOrEqual(standing_early);
    const backwards = await cli("bench", "flat", ...SHORT, "--early", "40", "--late", "40");
    expect(backwards).toMatchObject({ code: 1, err: "error: the late step (40) must come after the early one (40)\n" });
  });
});

describe("help", () => {
  const names = ["all", "decode", "prefill", "batch", "state", "policy", "kernels", "host", "cold", "flat"];
  it("names every benchmark", async () => {
    const { code, out } = await cli("bench", "--help");
    expect(code).toBe(0);
    for (const name of names) expect(out).toMatch(new RegExp(`^  ${name} `, "m"));
  });

  it.each(names)("of bench %s gives examples and options", async (name) => {
    const { code, out, err } = await cli("bench", name, "--help");
    expect([code, err]).toEqual([0, ""]);
    expect(out).toContain(`Usage: tilestate bench ${name}`);
    expect(out).toContain("Examples:\n  $ tilestate bench");
    for (const option of ["--rounds <n>", "--json [file]", "--compare <file>"]) expect(out).toContain(option);
  });
});

describe("wrong requests", () => {
  it.each([
    [["decode", "--shape", "stories16M"], 1, 'error: unknown shape "stories16M"\nhint: there are: stories15M, '],
    [["decode", "--shape", "stories15M", "--model", "hearth"], 2, "error: give --model or --shape, not both"],
    [
      ["decode", "--weights", "q5"],
      2,
      "argument 'q5' is invalid. Allowed choices are f32, f16, bf16, fp8, q8, q4, q4_1.",
    ],
    [["decode", "--tokens", "1"], 2, "Expected a whole number of at least 2."],
    [["decode", "--context", "0"], 2, "Expected a whole number of at least 1."],
    [["decode", "--ids", "1,x"], 2, "Expected whole numbers separated by commas"],
    [["decode", "--batch", "0"], 2, "Expected a whole number of at least 1."],
    [["prefill", "--over", "8,none"], 2, "Expected a whole number of at least 1."],
    [["kernels", "--weights", "q4"], 2, "error: --weights belongs to --shape"],
    [["kernels", "--shape", "stories15M", "--weights", "q5"], 1, 'error: unknown weight format "q5"'],
    [
      ["kernels", "--shape", "stories15M", "--only", "attend"],
      1,
      'error: no case contains "attend"\nhint: there are: weights f32 864x288',
    ],
    [["decode", "--model", "hearth", "--state", "lru:4"], 1, 'error: unknown state policy "lru"'],
    [
      ["decode", "--model", "hearth", "--ids", "999999"],
      1,
      "error: sequence 0: token id 999999 (number 1) is outside the vocabulary",
    ],
    [["decode", "--model", "hearth", "--compare", "/nowhere/old.json"], 1, "error: /nowhere/old.json: cannot be read"],
  ] as const)("bench %j", async (args, code, message) => {
    const where = args[0] === "kernels" ? [] : ["--adapter", adapter];
    const said = await cli("bench", ...args, ...where);
    expect(said.code).toBe(code);
    expect(said.err).toContain(message);
  });

  it("of comparing with what is no report", async () => {
    const file = at("text.json");
    await writeFile(file, "decode: 5");
    const said = await cli("bench", "host", "--model", "hearth", "--compare", file);
    expect(said).toMatchObject({ code: 1, out: "" });
    expect(said.err).toContain(`error: ${file}: is not JSON`);
  });
});
