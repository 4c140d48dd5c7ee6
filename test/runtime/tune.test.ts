/** The tuner: what it tries, what it discards and restores, what it keeps, and that kernels use what was kept. */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import fc from "fast-check";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type Binding, type Generated, type Knobs, loadPrograms, type TileProgram } from "../../compiler/index.ts";
import type { Op } from "../../compiler/ir/tile/program.ts";
import { Gpu } from "../../runtime/gpu.ts";
import { Kernel } from "../../runtime/kernels/kernel.ts";
import type { DeviceTensor } from "../../runtime/memory/tensor.ts";
import { differenceOf } from "../../runtime/tuning/compare.ts";
import { sampleArguments } from "../../runtime/tuning/sample.ts";
import { tune } from "../../runtime/tuning/tune.ts";
import {
  adapterKey,
  bindingKey,
  forgetTuning,
  programHash,
  readRecords,
  recordsText,
  type TuningRecord,
  tunedFor,
  tunedKnobs,
  tuningPath,
} from "../../runtime/tuning/tuned.ts";
import { shipped } from "../../runtime/tuning/tuned-records.ts";
import { cliJson } from "../cli/run.ts";
import { complaint, temporary } from "../models/formats/temporary.ts";
import { adaptersUnderTest, withDevice } from "../support/gpu.ts";
import { accumulate } from "./programs/tuning.ts";

const at = temporary();
const file = new URL("./programs/tuning.ts", import.meta.url);
const sizes = { rows: 24, columns: 512 };
const before = { cache: process.env.TILESTATE_CACHE, tuning: process.env.TILESTATE_TUNING };
let program: TileProgram;

beforeAll(async () => {
  process.env.TILESTATE_CACHE = at("cache");
  const loaded = (await loadPrograms(file.href, ["accumulate"])).programs.get("accumulate");
  if (loaded === undefined) throw new Error("no program");
  program = loaded;
});
afterEach(() => {
  delete process.env.TILESTATE_TUNING;
  forgetTuning();
});
afterAll(() => {
  for (const [name, value] of [
    ["TILESTATE_CACHE", before.cache],
    ["TILESTATE_TUNING", before.tuning],
  ] as const) {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
});

/** What `kernels tune --json` says. */
interface Said {
  readonly kept?: string;
  readonly tuned: readonly { readonly record: TuningRecord }[];
}

function tuning(adapter: string): string[] {
  const args = ["kernels", "tune", "accumulate", "--file", "test/runtime/programs/tuning.ts", "--adapter", adapter];
  return [...args, "--size", "rows=8", "--size", "columns=256", "--rounds", "1"];
}

test("a binding's name tells all that it is specialised to", () => {
  const plain: Binding = { sizes: { n: 4, m: 2 }, storage: { x: "f32", y: "f16" }, cells: ["s"] };
  const pack = [
    { name: "x", at: 0 },
    { name: "y", at: 64 },
  ];
  const all: readonly Binding[] = [
    plain,
    { ...plain, sizes: { n: 4, m: 3 } },
    { ...plain, storage: { x: "f32", y: "f32" } },
    { ...plain, cells: [] },
    { ...plain, panels: { x: 8 } },
    { ...plain, panels: { x: 16 } },
    { ...plain, pitches: { x: 8 } },
    { ...plain, packing: { writable: ["x"], packs: [] } },
    { ...plain, packing: { writable: [], packs: [pack] } },
    { ...plain, packing: { writable: [], packs: [[...pack.slice(0, 1), { name: "y", at: 128 }]] } },
    { ...plain, packing: { writable: [], packs: [], parted: [{ name: "x", words: 32 }] } },
  ];
  expect(new Set(all.map(bindingKey)).size).toBe(all.length);
  // What is the same in another order has one name.
  const turned: Binding = { sizes: { m: 2, n: 4 }, storage: { y: "f16", x: "f32" }, cells: ["s"] };
  expect(bindingKey(turned)).toBe(bindingKey(plain));
});

describe("records on disk", () => {
  const good: TuningRecord = {
    adapter: "a",
    kernel: "k",
    hash: "h",
    binding: "b",
    knobs: { lanes: 32 },
    us: 1,
    untunedUs: 2,
  };
  const read = (text: string): readonly TuningRecord[] => {
    writeFileSync(at("records.json"), text);
    return readRecords(at("records.json"));
  };

  test.each<[string, unknown, boolean]>([
    ["knobs the tuner tries", { knobs: { lanes: 64, rows: 16, unroll: 8, depth: 4 } }, true],
    ["no knobs", { knobs: {} }, true],
    ["workgroup tiles, or none", { knobs: { tileRows: 0, tileColumns: 64, tileDepth: 8, tileStages: 2 } }, true],
    ["all the precision there is", { knobs: { precision: 32 } }, true],
    ["less precision than a kernel has untuned", { knobs: { precision: 16 } }, false],
    ["lanes that are no power of two", { knobs: { lanes: 3 } }, false],
    ["no lanes", { knobs: { lanes: 0 } }, false],
    ["more lanes than any adapter has", { knobs: { lanes: 4096 } }, false],
    ["a negative number", { knobs: { unroll: -1 } }, false],
    ["a fraction", { knobs: { depth: 0.5 } }, false],
    ["text", { knobs: { rows: "4" } }, false],
    ["an unknown knob", { knobs: { lines: 4 } }, false],
    ["a knob of every object", { knobs: { toString: 4 } }, false],
    ["a list of knobs", { knobs: [32] }, false],
    ["null for knobs", { knobs: null }, false],
    ["no kernel", { kernel: undefined }, false],
    ["a number for a hash", { hash: 7 }, false],
    ["a time that is none", { us: "1" }, false],
  ])("with %s", (_, change, kept) => {
    const record = { ...good, ...(change as object) };
    const other = { ...good, binding: "c" };
    const text = JSON.stringify({ tilestate: 1, records: [record, other] });
    expect(read(text)).toEqual(kept ? [record, other] : [other]);
    // What is in order is all that is written back.
    const again = read(recordsText(read(text), [{ ...good, binding: "d" }]));
    expect(again.map((r) => r.binding)).toEqual(kept ? ["b", "c", "d"] : ["c", "d"]);
  });

  test("changed or cut off anywhere are left out or in order, and never an error", () => {
    const text = recordsText([], [good, { ...good, kernel: "l", knobs: { rows: 4, depth: 2 } }]);
    const bytes = fc.constantFrom("0", "9", "-", '"', "}", "[", "x", "null");
    const changed = fc.oneof(
      fc.nat(text.length).map((n) => text.slice(0, n)),
      fc.tuple(fc.nat(text.length - 1), bytes).map(([n, by]) => text.slice(0, n) + by + text.slice(n + 1)),
      fc.json(),
    );
    let left = 0;
    fc.assert(
      fc.property(changed, (spoilt) => {
        const records = read(spoilt);
        left += records.length;
        for (const r of records) {
          for (const key of ["adapter", "kernel", "hash", "binding"] as const) expect(typeof r[key]).toBe("string");
          for (const [knob, value] of Object.entries(r.knobs)) {
            expect(["lanes", "rows", "depth"]).toContain(knob);
            expect([1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]).toContain(value);
          }
        }
      }),
      { seed: 20251201, numRuns: 400 },
    );
    expect(left).toBeGreaterThan(20);
  });
});

describe.each(adaptersUnderTest())("on %s", (name) => {
  test("every knob is tried, no result is wrong, and what the kernel overwrites is restored", async () => {
    const gpu = new Gpu(await withDevice(name));
    const args = sampleArguments(gpu, program, { sizes, seed: 7 });
    const total = args[1];
    if (typeof total !== "object") throw new Error("no tensor");
    const first = await total.read();
    const allocated = gpu.device.allocated;
    const { record, trials } = await tune(gpu, program, args, { rounds: 3, milliseconds: 1 });
    expect([...(await total.read())]).toEqual([...first]);
    expect(gpu.device.allocated).toBe(allocated);

    for (const knob of ["lanes", "rows", "unroll", "depth"])
      expect(
        trials.some((t) => knob in t.knobs),
        knob,
      ).toBe(true);
    expect(trials.filter((t) => t.verdict === "wrong")).toEqual([]);
    const timed = trials.filter((t) => t.verdict === "timed");
    expect(timed.length).toBeGreaterThan(2);
    for (const t of timed) expect(t.us).toBeGreaterThan(0);
    expect(record).toMatchObject({
      adapter: adapterKey(gpu.capabilities),
      kernel: "accumulate",
      hash: programHash(program),
      binding: "columns=512 rows=24; total=f32 x=f32; ",
    });
    expect(record.us).toBeLessThanOrEqual(record.untunedUs);
    for (const a of args) if (typeof a === "object") a.destroy();
  });

  test("configurations with other results or without a shader are discarded, and say why", async () => {
    const gpu = new Gpu(await withDevice(name));
    const args = sampleArguments(gpu, program, { sizes, seed: 7 });
    let tries = 0;
    // From the second configuration on the kernel is another one, and from the tenth on it is none; the tuner asks this
    // signal before each.
    const twice = doubled(program.body);
    const changing: TileProgram = Object.defineProperty({ ...program }, "body", {
      get: () => {
        if (tries >= 10) throw new Error("spoilt on purpose");
        return tries >= 2 ? twice : program.body;
      },
      enumerable: true,
    });
    const signal = { throwIfAborted: () => void tries++ } as AbortSignal;
    const { record, trials } = await tune(gpu, changing, args, { rounds: 1, milliseconds: 1, signal });
    const failed = trials.filter((t) => t.verdict === "failed");
    expect(failed.at(-1)?.why).toBe("spoilt on purpose");
    const wrong = trials.filter((t) => t.verdict === "wrong");
    expect(wrong.length).toBeGreaterThan(0);
    expect(wrong[0]?.why).toMatch(/^"total" \[\d+\] is -?[\d.e-]+ instead of -?[\d.e-]+$/);
    expect(trials.filter((t) => t.verdict === "timed").every((t) => Object.keys(t.knobs).length > 0)).toBe(true);
    expect(wrong.map((t) => JSON.stringify(t.knobs))).not.toContain(JSON.stringify(record.knobs));
    for (const a of args) if (typeof a === "object") a.destroy();
  });

  test("kernels use the user's records, and nothing else than what fits", async () => {
    const gpu = new Gpu(await withDevice(name));
    const args = sampleArguments(gpu, program, { sizes });
    const lanesOf = (p: TileProgram = program): number =>
      new Kernel(gpu.device, p, gpu.target, tunedFor(gpu.capabilities)).prepare(args).variant.generated.schedule.lanes;
    const usual = lanesOf();
    expect(usual).toBeGreaterThan(1);
    const binding = { sizes, storage: { x: "f32", total: "f32" }, cells: [] } as const;
    const record: TuningRecord = {
      adapter: adapterKey(gpu.capabilities),
      kernel: "accumulate",
      hash: programHash(program),
      binding: bindingKey(binding),
      knobs: { lanes: 1 },
      us: 1,
      untunedUs: 2,
    };
    const keep = (r: Partial<TuningRecord>): void => {
      const path = tuningPath(record.adapter) ?? "";
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, recordsText([], [{ ...record, ...r }]));
      forgetTuning();
    };
    keep({});
    expect(tunedKnobs(gpu.capabilities, program, binding)).toEqual({ lanes: 1 });
    expect(lanesOf()).toBe(1);
    // Also those that `gpu.kernels` loads.
    const loaded = await gpu.kernels({ url: file.href } as ImportMeta, { accumulate });
    const plan = await gpu.record("tuned", () => loaded.accumulate(args[0] as DeviceTensor, args[1] as DeviceTensor));
    expect(plan.dispatches.map((d) => d.variant.generated.schedule.lanes)).toEqual([1]);
    plan.destroy();
    // Knobs that are given count more, also when they are none.
    expect(new Kernel(gpu.device, program, gpu.target, {}).prepare(args).variant.generated.schedule.lanes).toBe(usual);
    process.env.TILESTATE_TUNING = "off";
    expect(lanesOf()).toBe(usual);
    delete process.env.TILESTATE_TUNING;
    expect(lanesOf({ ...program, body: doubled(program.body) })).toBe(usual);
    for (const other of [{ adapter: "another" }, { binding: "rows=1" }, { hash: "0" }, { kernel: "other" }]) {
      keep(other);
      expect(lanesOf(), JSON.stringify(other)).toBe(usual);
    }
    // Knobs that the compiler of today refuses.
    keep({ knobs: { lanes: 3, unroll: -1, depth: 1e9 } });
    expect(() => lanesOf()).not.toThrow();
    writeFileSync(tuningPath(record.adapter) ?? "", "{ not JSON");
    forgetTuning();
    expect(lanesOf()).toBe(usual);
    for (const a of args) if (typeof a === "object") a.destroy();
  });

  test("knobs found on plain buffers are not used where tensors lie otherwise", async () => {
    const gpu = new Gpu(await withDevice(name));
    const variant = (x: DeviceTensor, total: DeviceTensor, knobs?: Knobs): Generated =>
      new Kernel(gpu.device, program, gpu.target, knobs ?? tunedFor(gpu.capabilities)).prepare([x, total]).variant
        .generated;
    const shape = { rows: 24, columns: 512 };
    const total = gpu.tensor({ rows: 24 });
    const calls: (readonly [string, DeviceTensor])[] = [
      ["buffers", gpu.tensor(shape)],
      ["panels", gpu.tensor(shape, "f32", { panel: 8 })],
      ["a texture", gpu.tensor(shape, "f32", { texture: true })],
    ];
    const keys = calls.map(([, x]) => bindingKey(variant(x, total, {}).specialised.binding));
    expect(new Set(keys).size).toBe(calls.length);
    expect(keys[0]).toBe("columns=512 rows=24; total=f32 x=f32; ");
    const path = tuningPath(adapterKey(gpu.capabilities)) ?? "";
    mkdirSync(dirname(path), { recursive: true });
    const found = { kernel: "accumulate", hash: programHash(program), knobs: { lanes: 1 }, us: 1, untunedUs: 2 };
    writeFileSync(path, recordsText([], [{ ...found, adapter: adapterKey(gpu.capabilities), binding: keys[0] ?? "" }]));
    forgetTuning();
    for (const [what, x] of calls) {
      const untuned = variant(x, total, {}).wgsl;
      expect([what, variant(x, total).wgsl === untuned]).toEqual([what, what !== "buffers"]);
    }
    for (const [, x] of calls) x.destroy();
    total.destroy();
  });

  test("`kernels tune` keeps its findings where kernels look for them", async () => {
    const said = await cliJson<Said>(...tuning(name));
    const [found] = said.tuned;
    expect(said.kept).toBe(tuningPath(found?.record.adapter ?? ""));
    expect(readRecords(said.kept ?? "")).toContainEqual(found?.record);
    expect(found?.record.binding).toBe("columns=256 rows=8; total=f32 x=f32; ");
  });
});

test("`kernels tune` keeps its findings where it is told to, or nowhere", async () => {
  const args = tuning(adaptersUnderTest()[0] ?? "");
  const elsewhere = await cliJson<Said>(...args, "--save", at("mine.json"));
  expect(elsewhere.kept).toBe(at("mine.json"));
  expect(readRecords(at("mine.json"))).toHaveLength(1);
  expect((await cliJson<Said>(...args, "--dry")).kept).toBeUndefined();
});

describe("samples", () => {
  test("ask for every size and for storage that the kernel takes", async () => {
    const gpu = new Gpu(await withDevice(adaptersUnderTest()[0] ?? ""));
    expect(await complaint(() => sampleArguments(gpu, program, { sizes: { rows: 2 } }))).toBe(
      'kernel accumulate: no size for the dim "columns" of "x"',
    );
    expect(await complaint(() => sampleArguments(gpu, program, { sizes, storage: { x: "q4" } }))).toBe(
      'kernel accumulate: tensor "x" may be stored as f32, not as q4',
    );
  });
});

describe("results are compared", () => {
  const f32 = [{ dtype: "f32", label: "y" }];
  const u32 = [{ dtype: "u32", label: "n" }];
  const floats = (...x: number[]): Float32Array<ArrayBuffer>[] => [Float32Array.from(x)];

  test("with room for another order of summing, and no more", () => {
    expect(differenceOf(floats(1, 100), floats(1.001, 100), f32)).toBeUndefined();
    expect(differenceOf(floats(1, 1), floats(1.001, 1), f32)).toBe('"y" [0] is 1.0010000467300415 instead of 1');
    expect(differenceOf(floats(1, 1), floats(1, Number.NaN), f32)).toBe('"y" [1] is NaN instead of 1');
    expect(differenceOf(floats(1, Number.NaN), floats(1, Number.POSITIVE_INFINITY), f32)).toBeUndefined();
  });

  test("exactly, where they are whole numbers", () => {
    const [a, b] = [[Uint32Array.of(4_000_000_000)], [Uint32Array.of(4_000_000_001)]];
    expect(differenceOf(a, a, u32)).toBeUndefined();
    expect(differenceOf(a, b, u32)).toBe('"n" [0] is 4000000001 instead of 4000000000');
  });
});

describe("records", () => {
  const record: TuningRecord = {
    adapter: "a",
    kernel: "k",
    hash: "1",
    binding: "n=1",
    knobs: { rows: 2 },
    us: 1,
    untunedUs: 2,
  };

  test("of the same kernel, binding and adapter replace each other, and are in order", () => {
    const text = recordsText([record, { ...record, binding: "n=0" }], [{ ...record, hash: "2" }]);
    const { records } = JSON.parse(text) as { records: TuningRecord[] };
    expect(records.map((r) => [r.binding, r.hash])).toEqual([
      ["n=0", "1"],
      ["n=1", "2"],
    ]);
  });

  test("that ship are of the form that is read, one for each kernel, binding and adapter", () => {
    expect(shipped.tilestate).toBe(1);
    const records = shipped.records as readonly TuningRecord[];
    expect(`${JSON.stringify(JSON.parse(recordsText([], records)))}`).toBe(JSON.stringify(shipped));
  });

  test("belong to what a kernel does and not to where it stands", () => {
    const moved = JSON.parse(JSON.stringify(program), (key, v: unknown) => (key === "line" ? 1234 : v)) as TileProgram;
    expect(programHash(moved)).toBe(programHash(program));
    expect(programHash({ ...program, body: doubled(program.body) })).not.toBe(programHash(program));
  });
});

/** The same program, but what it stores is the sum twice. */
function doubled(body: readonly Op[]): readonly Op[] {
  return body.flatMap((op): Op[] => {
    if (op.op !== "store") return [op];
    const value = { id: 9999, type: "f32", axes: [], span: op.span } as const;
    return [
      { ...value, op: "binary", fn: "add", a: op.value, b: op.value },
      { ...op, value: value.id },
    ];
  });
}
