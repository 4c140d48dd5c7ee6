/**
 * Pairs of checkouts: the statistics, the order of turns, what is refused and what is noted. Stand-ins that have no GPU
 * take the checkouts' places; nobody's speed is asserted.
 */
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { caseReports, judge, overall, sameFromStart, sumsDiffer } from "../../bench/pairs/judge.ts";
import type { DecoderJob, Job, Turn } from "../../bench/pairs/protocol.ts";
import { type PairsOptions, type PairsReport, runPairs } from "../../bench/pairs/run.ts";
import { inTurn, type Pair } from "../../bench/pairs/turns.ts";
import { medianInterval } from "../../bench/stats.ts";
import { type AgainstOptions, benchAgainst, jobsOf } from "../../cli/bench/against.ts";
import { cli } from "../cli/run.ts";
import { temporary } from "../models/formats/temporary.ts";
import type { StandIn } from "./stand-in/said.ts";

const at = temporary();
const SAME: Omit<StandIn, "name"> = { adapter: "none", layers: 2, weight: 1, token_ms: 0, lacks: [], shift: 0 };

/** A checkout in a folder of its own. */
function standIn(name: string, more: Partial<StandIn> = {}): string {
  const folder = at(name);
  mkdirSync(folder, { recursive: true });
  cpSync(fileURLToPath(new URL("./stand-in/", import.meta.url)), folder, { recursive: true });
  writeFileSync(`${folder}/stand-in.json`, JSON.stringify({ ...SAME, name, ...more }));
  return folder;
}

const JOB: DecoderJob = {
  ...{ kind: "decoder", title: "small", shape: "small", state: "full:16", batch: 1 },
  ...{ context: 3, tokens: 4 },
};

function pairsOf(there: Partial<StandIn>, more: Partial<PairsOptions> = {}): Promise<PairsReport> {
  const [a, b] = [standIn("here"), standIn("there", there)];
  return runPairs({ here: a, there: b, jobs: [JOB], rounds: 1, worse: 1.03, ...more });
}

/** What the stand-ins do while `work` runs. */
async function diary(work: () => Promise<unknown>): Promise<string[]> {
  const file = at("diary");
  writeFileSync(file, "");
  process.env.STAND_IN_DIARY = file;
  try {
    await work();
  } finally {
    delete process.env.STAND_IN_DIARY;
  }
  return readFileSync(file, "utf8").trim().split("\n");
}

describe("the interval of a median", () => {
  const upTo = (n: number): number[] => Array.from({ length: n }, (_, i) => n - i);

  // Ranks as in tables of the sign test (Conover, Practical Nonparametric Statistics, table A3: one half, two-sided 5
  // %).
  it.each([
    [6, 1, 6, 0.96875],
    [8, 1, 8, 0.9921875],
    [9, 2, 8, 0.9609375],
    [12, 3, 10, 0.96142578125],
    [15, 4, 12, 0.96484375],
    [20, 6, 15, 1 - (2 * 21700) / 2 ** 20],
    [25, 8, 18, 1 - (2 * 726206) / 2 ** 25],
  ])("of %i values goes from number %i to number %i", (n, low, high, coverage) => {
    const interval = medianInterval(upTo(n));
    expect(interval).toMatchObject({ low, high, median: (n + 1) / 2, count: n });
    expect(interval.coverage).toBeCloseTo(coverage, 12);
  });

  it("of fewer than six values is everything", () => {
    for (const n of [0, 1, 5]) {
      expect(medianInterval(upTo(n))).toMatchObject({ low: -Infinity, high: Infinity, coverage: 1, count: n });
    }
  });

  it("holds the true median as often as it says, of skewed and of heavy-tailed values", () => {
    let state = 12345;
    const uniform = (): number => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return (state + 0.5) / 2 ** 32;
    };
    // Medians: ln 2, and 0.
    const draws = [
      [() => -Math.log(uniform()), Math.LN2],
      [() => Math.tan(Math.PI * (uniform() - 0.5)), 0],
    ] as const;
    for (const [draw, truth] of draws) {
      const trials = 4000;
      let held = 0;
      for (let t = 0; t < trials; t++) {
        const { low, high } = medianInterval(Array.from({ length: 15 }, draw));
        if (low <= truth && truth <= high) held++;
      }
      // 0.9648, and four standard errors of 4000 trials.
      expect(Math.abs(held / trials - 0.96484375)).toBeLessThan(0.0117);
    }
  });
});

describe("verdicts", () => {
  const interval = (low: number, high: number, count = 15): Parameters<typeof judge>[0] => {
    return { median: (low + high) / 2, low, high, coverage: 0.96, count };
  };

  it("are by the interval: wholly beyond the limit, not beyond it, or across", () => {
    expect(judge(interval(1.031, 1.2), 1.03)).toBe("worse");
    expect(judge(interval(1.03, 1.2), 1.03)).toBe("undecided");
    expect(judge(interval(0.9, 1.0301), 1.03)).toBe("undecided");
    expect(judge(interval(0.9, 1.03), 1.03)).toBe("as before");
    expect(judge(interval(0.5, 0.6), 1.03)).toBe("as before");
    expect(judge(interval(1.04, 1.09), 1.1)).toBe("as before");
  });

  it("call nothing as before in fewer than 15 pairs", () => {
    expect(judge(interval(0.9, 1, 14), 1.03)).toBe("undecided");
    expect(judge(interval(1.04, 1.1, 6), 1.03)).toBe("worse");
  });

  it("are together the worst", () => {
    expect(overall(["as before", "undecided", "worse"])).toBe("worse");
    expect(overall(["as before", "undecided"])).toBe("undecided");
    expect(overall(["as before", "as before"])).toBe("as before");
    expect(overall([])).toBe("undecided");
  });

  const turn = (clock_ms: number, cpu_ms?: number): Turn => ({ parts: { decode: { clock_ms, cpu_ms } }, result: [] });

  it("go by the median of the rounds' ratios, not by the ratio of medians", () => {
    const pairs: Pair<Turn>[] = [
      [turn(1, 2), turn(2, 2)],
      [turn(30, 2), turn(10, 1)],
      [turn(4, 3), turn(4, 1)],
    ];
    const [report] = caseReports("x", pairs, 1.03);
    expect(report).toMatchObject({ name: "x", this_ms: 4, other_ms: 4, this_cpu_ms: 2, other_cpu_ms: 1 });
    expect(report?.clock).toMatchObject({ median: 1, rounds: [0.5, 3, 1], count: 3, verdict: "undecided" });
    expect(report?.cpu).toMatchObject({ median: 2, rounds: [1, 2, 3] });
  });

  it("go by both clock and CPU time, and by the clock alone where there is none", () => {
    const pairs = (cpu: number | undefined): Pair<Turn>[] =>
      Array.from({ length: 15 }, (): Pair<Turn> => [turn(1, cpu), turn(1, 1)]);
    const verdictOf = (cpu: number | undefined): unknown => {
      const [c] = caseReports("x", pairs(cpu), 1.03);
      return [c?.verdict, c?.clock.verdict, c?.cpu?.verdict];
    };
    expect(verdictOf(1)).toEqual(["as before", "as before", "as before"]);
    expect(verdictOf(1.5)).toEqual(["worse", "as before", "worse"]);
    expect(verdictOf(0)).toEqual(["as before", "as before", undefined]);
    expect(verdictOf(undefined)).toEqual(["as before", "as before", undefined]);
  });

  it("name parts where there are several", () => {
    const two: Turn = { parts: { decode: { clock_ms: 1 }, prompt: { clock_ms: 2 } }, result: [] };
    expect(caseReports("x", [[two, two]], 1.03).map((c) => c.name)).toEqual(["x, decode", "x, prompt"]);
  });

  it("come with what was computed", () => {
    expect(sameFromStart([1, 2, 3], [1, 2, 4])).toBe(2);
    expect(sameFromStart([1, 2], [1, 2])).toBe(2);
    expect(sumsDiffer([5, 1000], [5.5, 1000])).toBe(false);
    expect(sumsDiffer([5, 1000], [5, 1002])).toBe(true);
    expect(sumsDiffer([Number.NaN], [1])).toBe(true);
    expect(sumsDiffer([], [])).toBe(false);
  });
});

describe("turns", () => {
  it("begin with the other side in every second round, and give this side's first", async () => {
    const asked: string[] = [];
    const ask = async (side: string): Promise<string> => {
      asked.push(`${side} begins`);
      await new Promise((done) => setTimeout(done, 1));
      asked.push(`${side} ends`);
      return side;
    };
    for (const round of [0, 1, 2]) expect(await inTurn(["a", "b"], round, ask)).toEqual(["a", "b"]);
    const [ab, ba] = [
      ["a begins", "a ends", "b begins", "b ends"],
      ["b begins", "b ends", "a begins", "a ends"],
    ];
    expect(asked).toEqual([...(ab ?? []), ...(ba ?? []), ...(ab ?? [])]);
  });

  it("are taken by processes that are new in each round, idle before the other begins", async () => {
    let report: PairsReport | undefined;
    const seen = await diary(async () => {
      report = await pairsOf({}, { rounds: 2 });
    });
    const round = (a: string, b: string): string[] => [
      ...[`${a} opens`, `${b} opens`, `${a} warms up`, `${b} warms up`],
      ...[`${a} begins`, `${a} ends`, `${a} idle`, `${b} begins`, `${b} ends`, `${b} idle`],
      ...[`${a} frees`, `${b} frees`],
    ];
    expect(seen).toEqual([...round("here", "there"), ...round("there", "here")]);
    expect(report?.cases.map((c) => [c.name, c.clock.rounds.length])).toEqual([
      ["small, decode", 2],
      ["small, prompt", 2],
    ]);
    expect(report).toMatchObject({ notes: [], left_out: [], verdict: "undecided", settings: { adapter: "none" } });
  });

  it("are taken by new commands for cold starts, after one of each that is not counted", async () => {
    const jobs: Job[] = [{ kind: "cold", title: "cold start" }];
    let report: PairsReport | undefined;
    const seen = await diary(async () => {
      report = await pairsOf({}, { jobs, adapter: "none", rounds: 2 });
    });
    const said = "starts generate A tale from --tokens 8 --quiet --adapter none";
    expect(seen.filter((line) => line.includes("starts"))).toEqual(
      ["here", "there", "here", "there", "there", "here"].map((name) => `${name} ${said}`),
    );
    expect(report?.cases.map((c) => [c.name, c.cpu === null])).toEqual([
      ["cold start, first token", true],
      ["cold start, end", false],
    ]);
  });
});

describe("what is not the same", () => {
  it.each([
    [{ adapter: "another" }, "different settings cannot be compared: adapter: none here, another there"],
    [{ layers: 3 }, 'small: different settings cannot be compared: shape of the model: {"layers":2'],
    [{ weight: 2 }, "small: different settings cannot be compared: weights' checksum: "],
  ] as const)("is refused: %j", async (there, message) => {
    await expect(pairsOf(there)).rejects.toMatchObject({
      name: "UserError",
      message: expect.stringContaining(message),
    });
  });

  it("is noted where it is no setting: versions, and what was computed", async () => {
    const [a, b] = [standIn("here"), standIn("there", { shift: 1 })];
    const manifest = JSON.parse(readFileSync(`${b}/package.json`, "utf8"));
    writeFileSync(`${b}/package.json`, JSON.stringify({ ...manifest, version: "0.0.2" }));
    const { notes } = await runPairs({ here: a, there: b, jobs: [JOB], rounds: 1, worse: 1.03 });
    expect(notes).toEqual(["tilestate: 0.0.1 here, 0.0.2 there", "small: the texts part after 0 of 4 tokens"]);
  });

  it("is left out where an older checkout has it not, in a sentence", async () => {
    const old: Partial<StandIn> = { lacks: ["generateAll"] };
    const kernel: Job = { kind: "kernel", title: "matvec q4 768x288", batch_ms: 1 };
    await expect(pairsOf(old, { jobs: [JOB, kernel] })).rejects.toMatchObject({
      name: "UserError",
      message:
        "nothing could be measured: small: the other checkout: its Decoder has no generateAll(); " +
        "matvec q4 768x288: this checkout: its Gpu has no kernels()",
    });
    const { cases, left_out } = await pairsOf(old, { jobs: [JOB, { kind: "cold", title: "cold" }] });
    expect(left_out).toEqual([{ title: "small", reason: "the other checkout: its Decoder has no generateAll()" }]);
    expect(cases.map((c) => c.name)).toEqual(["cold, first token", "cold, end"]);
  });

  it("is told with the process's own words where it fails", async () => {
    await expect(pairsOf({}, { jobs: [{ ...JOB, tokens: 0 }] })).rejects.toThrow(
      "this checkout: small: expected at least two tokens to time, got 0",
    );
  });
});

describe("tilestate bench … --against", () => {
  const SMALL: AgainstOptions = { shape: "small", context: 3, tokens: 4, state: "full", rounds: 6, worse: 1.03 };

  /** Runs the command with stand-ins on both sides, and gives what it said. */
  async function against(
    there: Partial<StandIn>,
    here: Partial<StandIn>,
    more: Partial<AgainstOptions> = {},
  ): Promise<{ out: string; error: unknown }> {
    const [a, b] = [standIn("here", here), standIn("there", there)];
    const said: string[] = [];
    const io = { out: (text: string) => void said.push(text), err: () => {} };
    const context = { io, signal: new AbortController().signal };
    const error = await benchAgainst("decode", { ...SMALL, against: b, ...more }, context, a).catch((e: unknown) => e);
    return { out: said.join(""), error };
  }

  it("prints ratios with intervals and verdicts, writes them down, and fails when it is worse", async () => {
    const file = at("pairs.json");
    const { out, error } = await against({}, { token_ms: 20 }, { json: file });
    expect(error).toMatchObject({
      name: "UserError",
      message: "worse by a factor of more than 1.03: small as stored, decode; small as stored, prompt (2 of 2)",
    });
    expect(out).toMatch(/^this {6}tilestate 0\.0\.1\nother {5}tilestate 0\.0\.1\n/);
    expect(out).toMatch(/^small as stored, decode( +[\d.]+){2}( +[\d.]+ \([\d.]+ to [\d.]+\)){2} +worse/m);
    expect(out).toContain("Medians of the ratios of 6 pairs, each with an interval of 96.9 %.");
    expect(out).toMatch(/verdict {3}worse: 0 as before, 0 undecided, 2 worse, of 2 at --worse 1\.03\n$/);
    const report = JSON.parse(readFileSync(file, "utf8"));
    expect(report).toMatchObject({ benchmark: "decode", rounds: 6, worse: 1.03, verdict: "worse", notes: [] });
    expect(report.cases[0].clock.rounds).toHaveLength(6);
  });

  it("succeeds when nothing is worse, though too few pairs say nothing else", async () => {
    const { out, error } = await against({ token_ms: 20 }, {});
    expect(error).toBeUndefined();
    expect(out).toMatch(/verdict {3}undecided: 0 as before, 2 undecided, 0 worse/);
  });

  it.each([
    [{ rounds: 5 }, "--against takes at least 6 rounds"],
    [{ compare: "old.json" }, "give --compare or --against, not both"],
    [{ svg: "x.svg" }, "--svg draws one run"],
    [{ model: "hearth", shape: "small" }, "give --model or --shape, not both"],
  ] as const)("refuses %j", async (more, message) => {
    const { error } = await against({}, {}, more);
    expect(error).toMatchObject({ name: "UsageError", message: expect.stringContaining(message) });
  });

  it("refuses what is no checkout, and one without its packages", async () => {
    const nowhere = await cli("bench", "decode", "--against", "/nowhere");
    expect(nowhere).toMatchObject({ code: 1, err: "error: /nowhere: no such folder\n" });
    const other = await cli("bench", "decode", "--against", at("."));
    expect(other.code).toBe(1);
    expect(other.err).toContain("expected a checkout of tilestate");
    const bare = standIn("bare");
    writeFileSync(`${bare}/package.json`, '{ "name": "tilestate", "dependencies": { "no-such-package": "1" } }');
    const { code, err } = await cli("bench", "cold", "--against", bare);
    expect(code).toBe(1);
    expect(err).toContain("these packages are not installed: no-such-package\nhint: run npm ci in that folder");
  });

  it("takes 15 rounds unless told, and a ratio of at least 1", async () => {
    const wrong = await cli("bench", "decode", "--against", "/nowhere", "--worse", "0.9");
    expect(wrong).toMatchObject({ code: 2 });
    expect(wrong.err).toContain("Expected a ratio of at least 1, as in 1.03.");
    const { out } = await cli("bench", "decode", "--help");
    expect(out.replaceAll(/\s+/g, " ")).toContain("in turn with this one, in 15 rounds unless told");
  });

  it("asks both sides for the same jobs in every benchmark", async () => {
    const titles = async (...args: Parameters<typeof jobsOf>): Promise<string[]> =>
      (await jobsOf(...args)).map((job) => job.title);
    const base: AgainstOptions = { rounds: 15, worse: 1.03, tokens: 8 };
    expect(await jobsOf("decode", { ...base, weights: "q4", ids: [5, 6] })).toEqual([
      {
        ...{ kind: "decoder", title: "stories15M q4", shape: "stories15M", weights: "q4", ids: [5, 6] },
        ...{ state: "full:18", batch: 1, context: 2, tokens: 8 },
      },
    ]);
    expect(await titles("prefill", { ...base, over: [4, 8] })).toEqual(["prompt of 4", "prompt of 8"]);
    expect(await titles("batch", { ...base, over: [2] })).toEqual(["batch of 2"]);
    expect(await titles("state", { ...base, over: [5] })).toEqual(["full", "tova:5"]);
    expect(await titles("cold", base)).toEqual(["cold start"]);
    expect(await jobsOf("host", base)).toMatchObject([{ kind: "host", shape: "stories15M", state: "full:256" }]);
    expect(await jobsOf("kernels", { ...base, only: "weights f16 768x288" })).toMatchObject([
      { kind: "kernel", on: "lavapipe", matrix: { format: "f16", rows: 768, k: 288 } },
    ]);
    const all = await titles("all", base);
    expect(all.slice(0, 3)).toEqual(["stories15M as stored", "stories15M q4", "stories15M as stored batch of 4"]);
    expect(all).toEqual(expect.arrayContaining(["matmul f32 128x1024x1024", "cold start"]));
  });
});
