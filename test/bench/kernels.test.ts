/**
 * The yardsticks of the benchmark are right: on every adapter the hand-written shaders and the kernels write the same.
 * Nothing is timed here.
 *
 * The shapes meant for GPUs run on these adapters too; they are only slower.
 */
import { afterAll, describe, expect, it } from "vitest";
import { Bench, CASES, SMALL } from "../../bench/cases.ts";
import { type Duel, machineOf, measure, median } from "../../bench/harness.ts";
import { benchKernels, select, titleOf } from "../../bench/kernels.ts";
import { main } from "../../cli/main.ts";
import { Gpu } from "../../runtime/index.ts";
import { adaptersUnderTest, closeDevices, withDevice } from "../support/gpu.ts";

afterAll(closeDevices);

describe.each(adaptersUnderTest())("hand-written and generated kernels agree on %s", (adapter) => {
  it.each(["this adapter", "gpu"] as const)("with the shapes for %s", async (kind) => {
    const gpu = new Gpu(await withDevice(adapter));
    const machine = machineOf(gpu);
    if (machine === undefined) throw new Error(`${adapter} has no subgroups of one size`);
    expect(machine.kind).toBe(adapter === "swiftshader" ? "swiftshader" : "lavapipe");
    const bench = await Bench.open(gpu, kind === "gpu" ? { ...machine, kind } : machine);
    for (const c of SMALL) {
      await measure(gpu, titleOf(c), c.duel(bench));
      bench.free();
    }
  });

  it("says which element differs", async () => {
    const gpu = new Gpu(await withDevice(adapter));
    const bench = await Bench.open(gpu, machineOf(gpu) as NonNullable<ReturnType<typeof machineOf>>);
    const right = SMALL[0]?.duel(bench) as Duel;
    const code = right.handwritten.code.replace("sum0 +=", "sum0 -=");
    const wrong = { ...right, handwritten: { ...right.handwritten, code } };
    expect(code).not.toBe(right.handwritten.code);
    await expect(measure(gpu, "wrong", wrong)).rejects.toThrow(
      /^wrong: element \d+ of \[128\] is \S+ by our kernel and /,
    );
    bench.free();
  });

  it("reports a line with all numbers", async () => {
    const gpu = new Gpu(await withDevice(adapter));
    const lines = [];
    for await (const line of benchKernels(gpu, select("matvec f32 768x288"), { rounds: 2, batch: 1 })) lines.push(line);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatchObject({ name: "matvec", dtype: "f32", shape: "768x288" });
    const { ours_ms, handwritten_ms, ratio, cpu_ratio, gb_s, gflop_s } = lines[0] ?? {};
    for (const n of [ours_ms, handwritten_ms, ratio, cpu_ratio, gb_s, gflop_s]) expect(n).toBeGreaterThan(0);
    // Both rates come from the same time.
    const [bytes, flops] = [4 * (768 * 288 + 768 + 288), 2 * 768 * 288];
    expect((gb_s ?? 0) / (gflop_s ?? 1)).toBeCloseTo(bytes / flops, 6);
  });
});

describe("the table of cases", () => {
  it("has every shape once", () => {
    const titles = CASES.map(titleOf);
    expect(new Set(titles).size).toBe(titles.length);
    for (const dtype of ["f32", "f16", "q8", "q4"]) {
      for (const shape of ["4096x4096", "2048x2048", "768x288"]) expect(titles).toContain(`matvec ${dtype} ${shape}`);
    }
    expect(titles).toContain("matmul f32 128x1024x1024");
    expect(titles).toContain("attend f32 32x64x2048");
    expect(titles).toContain("attend f32 8x128x8192");
    expect(titles).toContain("rmsnorm f32 256x2048");
  });

  it("takes medians of odd and even numbers of values", () => {
    expect(median([3, 1, 2])).toBe(2);
    expect(median([4, 1, 2, 3])).toBe(2.5);
  });
});

describe("tilestate bench kernels", () => {
  const run = async (...argv: string[]): Promise<{ code: number; out: string; err: string }> => {
    const text = { out: "", err: "" };
    const add =
      (stream: "out" | "err") =>
      (s: string): void => {
        text[stream] += s;
      };
    const io = { out: add("out"), err: add("err") };
    return { code: await main(["bench", "kernels", ...argv], io), ...text };
  };
  const adapter = adaptersUnderTest()[0] as string;

  it("prints an array with the adapter in every entry", async () => {
    const { code, out } = await run("--adapter", adapter, "--only", "q8 768x288", "--rounds", "1", "--json");
    expect(code).toBe(0);
    const lines = JSON.parse(out);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatchObject({ name: "matvec", dtype: "q8", shape: "768x288", adapter: { kind: "software" } });
    for (const key of ["ours_ms", "handwritten_ms", "ratio", "gb_s", "gflop_s"])
      expect(lines[0][key]).toBeGreaterThan(0);
  });

  it("prints a table with one row a case", async () => {
    const { code, out, err } = await run("--adapter", adapter, "--only", "rmsnorm", "--rounds", "1");
    expect(code).toBe(0);
    expect(err).toMatch(/^adapter {2}.*\ncopy {5}[\d.]+ GB\/s between two buffers\n$/);
    expect(out.split("\n")[0]).toMatch(/^kernel +dtype +shape +ours ms +hand ms +ratio +by CPU +GB\/s +GFLOP\/s$/);
    expect(out.split("\n")[2]).toMatch(/^rmsnorm +f32 +256x2048 +[\d.]+ +[\d.]+ +[\d.]+ +[\d.]+ +[\d.]+ +[\d.]+$/);
  });

  it("names the cases when none is meant", async () => {
    const { code, err } = await run("--only", "matvec f64");
    expect(code).toBe(1);
    expect(err).toContain('error: no case contains "matvec f64"\nhint: there are: matvec f32 4096x4096, ');
  });
});
