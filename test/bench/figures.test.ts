/**
 * The arithmetic of reports: medians and spreads, what counts as a change, the roof of a roofline, groups of
 * dispatches. Nothing is measured here.
 */
import { describe, expect, it } from "vitest";
import { group, type KernelLine } from "../../bench/breakdown.ts";
import { changes, compare, measuresIn, regressions } from "../../bench/compare.ts";
import { type Pass, summarise, tokensOfBatch } from "../../bench/decode.ts";
import { casesOfShape, titleOf } from "../../bench/kernels.ts";
import { pointsOf, roof, roofline } from "../../bench/roofline.ts";
import { matrixOperations } from "../../bench/run.ts";
import { type Measure, measureOf, median, quantile, spreadOf } from "../../bench/stats.ts";
import { promptOf, stateFor } from "../../bench/subject.ts";
import { busyTime, LoadWatch, processCpu, threadCpu } from "../../bench/surroundings.ts";
import { entrantsOf, type SweepOptions } from "../../cli/bench/sweeps.ts";
import { randomSource, SHAPES } from "../../models/formats/random.ts";
import type { ModelSpec } from "../../models/index.ts";

describe("stats", () => {
  it("takes quantiles with straight lines between neighbours", () => {
    expect(median([3, 1, 2])).toBe(2);
    expect(median([4, 1, 2, 3])).toBe(2.5);
    expect(quantile([0, 10, 20, 30, 40], 0.25)).toBe(10);
    expect(quantile([0, 10], 0.25)).toBe(2.5);
    expect(median([])).toBeNaN();
  });

  it("gives median and quartiles of a figure", () => {
    const m = measureOf("x", "ms", "lower", [5, 1, 2, 3, 4]);
    expect(m).toEqual({ name: "x", unit: "ms", better: "lower", median: 3, low: 2, high: 4, rounds: 5 });
    expect(spreadOf(m)).toBe("±33 %");
    expect(spreadOf(measureOf("x", "ms", "lower", [5]))).toBe("");
  });
});

function figure(name: string, median: number, spread = 0.01, more: Partial<Measure> = {}): Measure {
  const range = { low: median * (1 - spread), high: median * (1 + spread) };
  return { name, unit: "ms", better: "lower", median, ...range, rounds: 5, ...more };
}

describe("comparison", () => {
  const verdict = (a: Measure, b: Measure): string | undefined => changes([a], [b])[0]?.verdict;

  it("calls a change what lies apart, by the figure's own direction", () => {
    expect(verdict(figure("t", 10), figure("t", 9))).toBe("better");
    expect(verdict(figure("t", 10), figure("t", 11))).toBe("worse");
    const rate: Partial<Measure> = { better: "higher" };
    expect(verdict(figure("r", 10, 0.01, rate), figure("r", 11, 0.01, rate))).toBe("better");
    expect(verdict(figure("r", 10, 0.01, rate), figure("r", 9, 0.01, rate))).toBe("worse");
  });

  it("calls noise what overlaps, what is small, and what had too few rounds", () => {
    expect(verdict(figure("t", 10, 0.1), figure("t", 11, 0.1))).toBe("noise");
    expect(verdict(figure("t", 10, 0.001), figure("t", 10.2, 0.001))).toBe("noise");
    expect(verdict(figure("t", 10, 0), figure("t", 11, 0, { rounds: 2 }))).toBe("noise");
    expect(verdict(figure("t", 10, 0), figure("t", 13, 0, { rounds: 2 }))).toBe("worse");
  });

  it("names what is new and what is gone", () => {
    expect(changes([figure("a", 1), figure("b", 2)], [figure("b", 2), figure("c", 3)])).toEqual([
      { name: "b", unit: "ms", before: 2, after: 2, ratio: 1, judged: true, verdict: "noise" },
      { name: "c", unit: "ms", before: null, after: 3, ratio: null, judged: true, verdict: "new" },
      { name: "a", unit: "ms", before: 1, after: null, ratio: null, judged: true, verdict: "gone" },
    ]);
  });

  it("goes by the factor it is given", () => {
    const factor = (a: number, b: number, worse: number, more: Partial<Measure> = {}): string | undefined =>
      changes([figure("t", a, 0, more)], [figure("t", b, 0, more)], worse)[0]?.verdict;
    expect([factor(10, 10.4, 1.03), factor(10, 10.4, 1.05), factor(10, 10.6, 1.05)]).toEqual([
      "worse",
      "noise",
      "worse",
    ]);
    const rate: Partial<Measure> = { better: "higher" };
    expect([factor(10, 9.6, 1.03, rate), factor(10, 9.6, 1.05, rate), factor(9.6, 10, 1.03, rate)]).toEqual([
      "worse",
      "noise",
      "better",
    ]);
  });

  const report = (more: object = {}, settings: object = {}, environment: object = {}): unknown => ({
    adapter: { name: "a", driver: "d" },
    runtime: { name: "bun", version: "1" },
    machine: { cpu: "c", cores: 2 },
    load: { others_during: 0 },
    measures: [],
    settings: { benchmark: "decode", adapter: "a", runtime: "bun", state: "full:8", ...settings },
    environment: { commit: "1", ...environment },
    ...more,
  });

  it("says first what else is different", () => {
    expect(compare(report(), report(), "old.json").notes).toEqual([]);
    const other = report(
      { runtime: { name: "bun", version: "2" }, machine: { cpu: "c", cores: 4 }, load: { others_during: 1.5 } },
      {},
      { commit: "2", LP_NUM_THREADS: "4" },
    );
    expect(compare(report(), other, "old.json").notes).toEqual([
      "another version of the runtime: was 1, is 2",
      "another machine: was 2 x c, is 4 x c",
      "another commit: was 1, is 2",
      "another LP_NUM_THREADS: was not set, is 4",
      "other programs kept 1.50 cores busy during the new run: its times are doubtful",
    ]);
  });

  it("refuses other settings, each by name", () => {
    const now = report({}, { adapter: "b", state: "tova:8", batch: 2 });
    expect(() => compare(report(), now, "old.json")).toThrow(
      "old.json: different settings cannot be compared: adapter: a there, b here; state: full:8 there, tova:8 here; " +
        "batch: nothing there, 2 here",
    );
    const kernels = [
      { name: "k", dtype: "f32", shape: "1", ours_ms: 1, adapter: { name: "a" }, runtime: { name: "bun" } },
    ];
    expect(() => compare(report(), kernels, "old.json")).toThrow("benchmark: decode there, kernels here");
    expect(() => compare(kernels, [{ ...kernels[0], adapter: { name: "b" } }], "old.json")).toThrow(
      "adapter: a there, b here",
    );
  });

  it("goes by what a report of before told of its settings, and says what it did not tell", () => {
    const { settings: _, ...old } = report({ benchmark: "decode", model: "m", state: "full:8" }) as {
      settings: unknown;
    };
    const now = report({}, { model: "m", batch: 1 });
    expect(compare(old, now, "old.json").notes).toEqual(["the earlier report does not say its batch: it is 1 here"]);
    expect(() => compare({ ...old, model: "n" }, now, "old.json")).toThrow("model: n there, m here");
  });

  it("counts as regressions what is worse and ours", () => {
    const measures = (factor: number): object => ({
      measures: [figure("decode", 10 * factor), { ...figure("ceiling: copy", 10 * factor), judged: false }],
    });
    const worse = compare(report(measures(1)), report(measures(2)), "old.json");
    expect(worse.changes.map((c) => c.verdict)).toEqual(["worse", "worse"]);
    expect(regressions(worse).map((c) => c.name)).toEqual(["decode"]);
    expect(regressions(compare(report(measures(2)), report(measures(1)), "old.json"))).toEqual([]);
  });

  it("reads tables of kernels, and refuses what is no report", () => {
    const line = { name: "matvec", dtype: "q4", shape: "8x32", ours_ms: 2 };
    expect(measuresIn([line], "k.json")).toEqual([
      { name: "matvec q4 8x32", unit: "ms", better: "lower", median: 2, low: 2, high: 2, rounds: 1 },
    ]);
    for (const wrong of [{}, null, { measures: [{ name: "x" }] }, [{ name: "x" }], { measures: 3 }]) {
      expect(() => measuresIn(wrong, "old.json")).toThrow(/^old\.json: expected a report that "tilestate bench/);
    }
  });
});

describe("roofline", () => {
  const line = (kernel: string, bytes: number, operations: number, gflop_s: number): KernelLine =>
    ({ kernel, bytes, operations, gflop_s, share: 0.5 }) as KernelLine;
  const lines = [line("qkv", 100, 50, 4), line("attend", 100, 400, 9), line("embed", 10, 0, 0)];
  const ceiling = { copy_gb_s: 10, arithmetic_gflop_s: 200 };

  it("rises with the bytes' rate up to the arithmetic's", () => {
    expect(roof(ceiling, 1, 100)).toEqual([
      { intensity: 1, gflop_s: 10 },
      { intensity: 20, gflop_s: 200 },
      { intensity: 100, gflop_s: 200 },
    ]);
    expect(roof(ceiling, 30, 40)).toEqual([
      { intensity: 30, gflop_s: 200 },
      { intensity: 40, gflop_s: 200 },
    ]);
  });

  it("has a point for each kernel that computes", () => {
    expect(pointsOf(lines)).toEqual([
      { label: "qkv", intensity: 0.5, gflop_s: 4, share: 0.5 },
      { label: "attend", intensity: 4, gflop_s: 9, share: 0.5 },
    ]);
  });

  it("is drawn as SVG with title, axes and labels", async () => {
    const svg = await roofline("a model on an adapter", lines, ceiling);
    expect(svg).toMatch(/^<svg [^>]*xmlns="http:\/\/www\.w3\.org\/2000\/svg"/);
    for (const text of ["a model on an adapter", "operations a byte", "GFLOP/s", ">qkv<", ">attend<"]) {
      expect(svg).toContain(text);
    }
    expect(svg).not.toContain(">embed<");
    expect(svg.match(/role-mark/g)?.length).toBeGreaterThanOrEqual(3);
    await expect(roofline("nothing", [lines[2] as KernelLine], ceiling)).rejects.toThrow("no kernel of this run");
  });
});

describe("counting", () => {
  it("groups dispatches by kernel and shape, and sums their work", () => {
    const work = (kernel: string, n: number): Parameters<typeof group>[0][number] => {
      return { kernel, sizes: { n }, read: 10 * n, written: n, operations: 2 * n };
    };
    expect(group([work("a", 4), work("b", 4), work("a", 4), work("a", 8)])).toEqual([
      { kernel: "a", shape: "n=4", dispatches: [0, 2], bytes: 88, operations: 16 },
      { kernel: "b", shape: "n=4", dispatches: [1], bytes: 44, operations: 8 },
      { kernel: "a", shape: "n=8", dispatches: [3], bytes: 88, operations: 16 },
    ]);
  });

  it("knows the matrix products of a shape", () => {
    const config = SHAPES.stories15M as ModelSpec;
    // q, k, v and o are 288 by 288, the feed-forward layer three times 768 by 288.
    expect(matrixOperations(randomSource("stories15M"))).toBe(2 * 6 * (4 * 288 * 288 + 3 * 768 * 288));
    const cases = casesOfShape(config, "q4");
    expect(cases.map((c) => [titleOf(c), c.count])).toEqual([
      ["weights q4 864x288", 6],
      ["weights q4 288x288", 6],
      ["weights q4 1536x288", 6],
      ["weights q4 288x768", 6],
      ["weights q4 32000x288", 1],
    ]);
    expect(casesOfShape(config)).toHaveLength(20);
    expect(() => casesOfShape(config, "q5")).toThrow('unknown weight format "q5"');
  });

  it("makes rates of passes: one sequence, and a batch", () => {
    const one = (decode_ms: number): Pass => {
      return {
        prefill_ms: 50,
        prefill_cpu_ms: 60,
        decode_ms,
        decoded: 10,
        steps: 10,
        thread_cpu_ms: 2,
        process_cpu_ms: 100,
        ids: [1],
      };
    };
    const r = summarise("", [one(100), one(200), one(400)], 20, { dispatches: 40, batch: 1 });
    expect(r.decode).toEqual({
      tokens_per_second: 50,
      dispatches_per_token: 40,
      host_us_per_dispatch: 5,
      main_thread_share: 0.01,
      ms_per_step: 20,
    });
    expect(r.prefill.tokens_per_second).toBe(400);
    expect(r.measures.map((m) => m.name)).toEqual(["decode", "prefill", "host", "main thread"]);

    const four = summarise("x: ", [{ ...one(100), decoded: 40, thread_cpu_ms: undefined }], 20, {
      dispatches: 40,
      batch: 4,
    });
    expect(four.decode).toEqual({
      tokens_per_second: 400,
      dispatches_per_token: 10,
      host_us_per_dispatch: null,
      main_thread_share: null,
      ms_per_step: 10,
    });
    expect(four.measures.map((m) => m.name)).toEqual(["x: decode", "x: prefill"]);
    expect(tokensOfBatch(1, 32, 100)).toBe(32);
    expect(tokensOfBatch(4, 32, 100)).toBeGreaterThan(32 + 4 * 100);
  });
});

describe("subjects", () => {
  it("get prompts of any length, from given ids or scattered over the vocabulary", () => {
    expect(promptOf(100, 5, [7, 8])).toEqual([7, 8, 7, 8, 7]);
    const ids = promptOf(1000, 400);
    expect(ids).toEqual(promptOf(1000, 500).slice(0, 400));
    expect(ids.every((id) => Number.isInteger(id) && id >= 0 && id < 1000)).toBe(true);
    expect(new Set(ids).size).toBeGreaterThan(280);
  });

  it("get room where the state names no slots", () => {
    expect(stateFor("full", 192)).toBe("full:192");
    expect(stateFor("full:64", 192)).toBe("full:64");
    expect(stateFor("tova:128,recent=4", 192)).toBe("tova:128,recent=4");
  });

  it("are lined up in sweeps, the first to be compared with", () => {
    const options = { tokens: 8, context: 64, state: "full", rounds: 1, batch: 1 } as SweepOptions;
    const states = (sweep: "state" | "policy", more = {}): unknown[] =>
      entrantsOf(sweep, { ...options, ...more }).map((e) => e.decoder.state);
    expect(states("state")).toEqual(["full", "tova:32", "tova:16", "tova:8"]);
    expect(states("state", { over: [5] })).toEqual(["full", "tova:5"]);
    expect(states("policy")).toEqual(expect.arrayContaining(["full", "window:8", "tova:8"]));
    expect(entrantsOf("prefill", options).map((e) => e.context)).toEqual([8, 16, 32, 64]);
    expect(entrantsOf("batch", { ...options, weights: "q4" }).map((e) => e.decoder)).toEqual(
      [1, 2, 4, 8].map((batch) => ({ state: "full", batch, weights: "q4" })),
    );
  });
});

describe("load", () => {
  it("adds up what cores did, and leaves out what they waited for", () => {
    expect(busyTime("cpu  100 10 50 9000 70 3 2 1 0 0\ncpu0 1 1 1 1\n")).toBe(1660);
  });

  it("counts this process apart from others", async () => {
    const [thread, all] = [threadCpu(), processCpu()];
    const watch = await LoadWatch.begin(5);
    let sum = 0;
    for (const until = processCpu() + 30; processCpu() < until; ) sum += Math.sqrt(sum + 1);
    expect(sum).toBeGreaterThan(0);
    expect(processCpu() - all).toBeGreaterThanOrEqual(30);
    if (thread !== undefined) expect((threadCpu() ?? 0) - thread).toBeGreaterThan(0);
    const load = watch.end();
    expect(load.averages_before).toHaveLength(3);
    if (load.others_during !== undefined) expect(load.others_during).toBeGreaterThanOrEqual(0);
  });
});
