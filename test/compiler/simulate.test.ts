/**
 * Built-in kernels and random ones, compiled for adapters of 4, 8 and 32 lanes and for none, on the simulator: what the compiled tile IR means is what the lane
 * IR does. No GPU takes part.
 */
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { templatesOf } from "../../compiler/artefacts/load.ts";
import { compileFile } from "../../compiler/frontend/index.ts";
import { generate, type HostTensor, interpret, type Target, type TileProgram } from "../../compiler/index.ts";
import type { StorageType } from "../../compiler/ir/formats.ts";
import { BOOL, type LaneProgram, type Stmt } from "../../compiler/ir/lane/program.ts";
import { encode } from "../../compiler/oracle/round.ts";
import { simulateTensors } from "../../compiler/oracle/simulate/index.ts";
import { POLICY_KERNELS } from "../../models/cache/eviction.ts";
import { dequantise, quantise } from "../../runtime/memory/quantise.ts";
import { Choices } from "../fuzz/choices.ts";
import { compareSimulated, compilePlans, planOf } from "../fuzz/run.ts";
import { copyOf, LANE_TARGETS, nameOf, simulated } from "../support/lanes.ts";
import { SEED } from "../support/random.ts";

/** One use of a built-in kernel. What is not given is random: reals between -1 and 1, and 0 for u32. */
interface Use {
  readonly kernel: string;
  readonly file: string;
  readonly sizes: Readonly<Record<string, number>>;
  readonly given?: Readonly<Record<string, readonly number[]>>;
  readonly storage?: Readonly<Record<string, StorageType>>;
  readonly scalars?: Readonly<Record<string, number>>;
  /** Scalars read from memory. */
  readonly cells?: readonly string[];
  readonly panels?: Readonly<Record<string, number>>;
}

const FORMATS: readonly StorageType[] = ["f32", "f16", "bf16", "q8", "q4"];
const FEED = 8;
const QKV = { rows: 8, halves: 2, half: 4, dim: 64, parts: 2, heads: 4, groups: 2, slots: 5 };
const ATTEND = { rows: 3, sequences: 2, tokens: 2, groups: 2, feed: FEED, scored: 2, layers: 2 };
const TOKENS = { heads: 4, tokens: 19, groups: 2, dim: 8, slots: 7 };
/** A permutation, as ranks are. */
const RANKS = Array.from({ length: 19 }, (_, i) => (i * 7) % 19);
const AGES = Array.from({ length: 66 }, (_, i) => ((i * 5) % 33) + 40 + i);
const one = { one: 1, sequences: 2 };
/** Where the objects are that complete the eviction kernels, and options that those policies do not have. */
const POLICY_FILE = "../cache/policies/index";
const NO_OPTIONS = { a: 0, b: 0, c: 0, d: 0 };

/** Rows of `feed`: position, sequence, row, token, tick, end, seed, rests. */
const feed = (...rows: readonly (readonly number[])[]): number[] =>
  rows.flatMap((row) => Array.from({ length: FEED }, (_, c) => row[c] ?? 0));

const USES: readonly Use[] = [
  ...FORMATS.flatMap((w): Use[] => [
    {
      kernel: "embed",
      file: "embed",
      sizes: { vocab: 6, dim: 64, tokens: 2, feed: FEED, scales: 2, turns: 1024, parts: 2, half: 6 },
      storage: { table: w },
      given: { feed: feed([1030, 0, 0, 5], [3, 0, 0, 2]) },
    },
    { kernel: "project", file: "project", sizes: { dim: 10, inner: 96, tokens: 3 }, storage: { w } },
    {
      kernel: "swiglu",
      file: "swiglu",
      sizes: { ff: 9, dim: 160, tokens: 1 },
      storage: { gate: w, up: w, gamma: w },
      scalars: { eps: 1e-5 },
    },
    {
      kernel: "logits",
      file: "logits",
      sizes: { vocab: 11, dim: 64, tokens: 2 },
      storage: { head: w },
    },
    {
      kernel: "qkv",
      file: "qkv",
      sizes: { ...QKV, tokens: 2, sequences: 2, feed: FEED },
      given: { feed: feed([0, 1], [0, 0]), slot: [3, 4] },
      storage: { w },
      scalars: { eps: 1e-5 },
    },
  ]),
  { kernel: "project", file: "project", sizes: { dim: 7, inner: 37, tokens: 1 } },
  ...[1, 9].flatMap((tokens): Use[] => [
    { kernel: "project", file: "project", sizes: { dim: 24, inner: 40, tokens }, panels: { w: 8 } },
    {
      kernel: "project",
      file: "project",
      sizes: { dim: 12, inner: 72, tokens },
      storage: { w: "f16" },
      panels: { w: 4 },
    },
  ]),
  {
    kernel: "norm",
    file: "logits",
    sizes: { dim: 37, rows: 3, tokens: 2, feed: FEED },
    given: { feed: feed([7, 0, 2], [3, 1, 0]) },
    scalars: { eps: 1e-5 },
  },
  { kernel: "project", file: "project", sizes: { dim: 4, inner: 1024, tokens: 9 }, storage: { w: "q4" } },
  ...[5, 36, 60].map(
    (now): Use => ({
      kernel: "attend",
      file: "attend",
      sizes: { ...ATTEND, queries: 2, slots: 37, dim: 32 },
      given: { feed: feed([now, 1, 2], [2, 0, 0]), slot: [9, 2] },
      scalars: { layer: 1 },
    }),
  ),
  {
    kernel: "attend",
    file: "attend",
    sizes: { ...ATTEND, groups: 1, queries: 5, slots: 64, dim: 20 },
    given: { feed: feed([40, 0, 1], [70, 1, 0]), slot: [40, 3] },
    scalars: { layer: 0 },
  },
  {
    kernel: "attendOnly",
    file: "attend",
    sizes: { ...ATTEND, queries: 2, slots: 37, dim: 32 },
    given: { feed: feed([36, 1, 2], [2, 0, 0]), slot: [9, 2] },
    scalars: { layer: 1 },
  },
  {
    kernel: "flash",
    file: "flash",
    sizes: { heads: 4, groups: 2, tokens: 7, slots: 19, dim: 16, one: 1, feed: FEED, layers: 2 },
    given: { feed: feed([4], [5], [6], [7], [8], [9], [10]), slot: [4, 5, 6, 7, 8, 9, 10] },
    scalars: { layer: 1 },
  },
  ...[
    [0, 0, 1],
    [0.8, 0, 1],
    [0.8, 5, 1],
    [1.2, 0, 0.7],
    [0.5, 20, 0.9],
  ].map(
    (settings): Use => ({
      kernel: "choose",
      file: "choose",
      sizes: { sequences: 2, vocab: 120, settings: 3, stops: 2, ring: 8, layers: 2, lanes: 2, feed: FEED },
      given: {
        settings: [...settings, ...settings],
        feed: feed([5, 0, 0, 3, 9, 100, 11], [50, 1, 1, 3, 9, 51, 12]),
        victim: [1, 2, 3, 4],
      },
      scalars: { slots: 9 },
    }),
  ),
  {
    kernel: "choose",
    file: "choose",
    sizes: { sequences: 1, vocab: 37, settings: 3, stops: 1, ring: 4, layers: 1, lanes: 1, feed: FEED },
    given: { settings: [0, 0, 1], feed: feed([2, 0, 0, 9, 6, 9, 1, 1]), stops: [4] },
    scalars: { slots: 9 },
  },
  { kernel: "best", file: "choose", sizes: { sequences: 3, vocab: 37 } },
  {
    kernel: "advance",
    file: "append",
    sizes: { ...one, feed: FEED, layers: 2, lanes: 2 },
    given: { cursor: feed([8, 1, 2, 0, 4]), victim: [3, 4, 5, 6], free: [1, 2, 3, 4] },
    scalars: { slots: 8 },
  },
  {
    kernel: "append",
    file: "append",
    sizes: { ...one, rows: 3, groups: 2, dim: 16, slots: 5, feed: FEED },
    given: { cursor: feed([8, 1, 2, 0, 4]), free: [0, 4] },
  },
  { kernel: "protect", file: "oneshot", sizes: TOKENS, scalars: { recent: 3, first: 2 } },
  { kernel: "rank", file: "oneshot", sizes: TOKENS },
  {
    kernel: "place",
    file: "oneshot",
    sizes: { ...TOKENS, one: 1, layers: 2 },
    given: { ranks: RANKS },
    scalars: { layer: 1 },
  },
  {
    kernel: "commit",
    file: "append",
    sizes: { ...one, feed: FEED, layers: 2, lanes: 2 },
    given: { feed: feed([8, 1, 2, 0, 4], [3, 0]), victim: [3, 4, 5, 6], free: [1, 2, 3, 4] },
    scalars: { slots: 8 },
  },
  {
    kernel: "moveFree",
    file: "move",
    sizes: { ...one, feed: FEED, layers: 3, lane: 2, lanes: 2 },
    given: { free: [1, 2, 3, 4, 5, 6], to: feed([0, 1]) },
  },
  {
    kernel: "moveMemory",
    file: "move",
    sizes: { ...one, feed: FEED, layers: 2, memories: 2, slots: 37 },
    given: { to: feed([0, 1]) },
  },
  {
    kernel: "moveCache",
    file: "move",
    sizes: { ...one, groups: 2, slots: 5, dim: 12, feed: FEED, layers: 2 },
    given: { to: feed([0, 1]), positions: [5, 6, 7, 8, 9, 9, 8, 7, 6, 5] },
    scalars: { layer: 1 },
  },
  {
    kernel: "moveRow",
    file: "move",
    sizes: { ...one, feed: FEED, settings: 4, stops: 3, layers: 3, lane: 2, lanes: 2 },
    given: {
      feed: feed([1, 2, 3, 4, 5, 6, 7, 8]),
      free: [1, 2, 3, 4, 5, 6],
      stops: [7, 8, 9],
      to: feed([0, 1, 0, 0, 3]),
    },
  },
  { kernel: "ruleOut", file: "choose", sizes: { sequences: 2, vocab: 37 }, scalars: { known: 30 } },
  {
    kernel: "window",
    file: POLICY_FILE,
    sizes: { ...one, slots: 33, scored: 1, clock: 1, layers: 1, lanes: 2 },
    given: { positions: AGES, clock: [90, 120] },
    scalars: { recent: 0, first: 42, layer: 0, ...NO_OPTIONS },
  },
  {
    kernel: "tova",
    file: POLICY_FILE,
    sizes: { ...one, slots: 33, heads: 3, clock: 1, scored: 1, layers: 2, lanes: 2 },
    given: { clock: [90, 120], positions: [...AGES, ...AGES, ...AGES, ...AGES].slice(0, 132) },
    scalars: { recent: 25, first: 42, layer: 1, ...NO_OPTIONS },
  },
  { kernel: "windowAtOnce", file: POLICY_FILE, sizes: { slots: 43 }, scalars: NO_OPTIONS },
  { kernel: "tovaAtOnce", file: POLICY_FILE, sizes: { slots: 43, heads: 3 }, scalars: NO_OPTIONS },
];

const compiled = new Map<string, ReadonlyMap<string, TileProgram>>();

/** The tile program of a built-in kernel, compiled from its source. */
function builtIn(use: Use): TileProgram {
  let programs = compiled.get(use.file);
  if (programs === undefined) {
    const names = [...new Set(USES.filter((u) => u.file === use.file).map((u) => u.kernel))];
    const file = fileURLToPath(new URL(`../../models/kernels/${use.file}.ts`, import.meta.url));
    const templates = use.file === POLICY_FILE ? templatesOf(POLICY_KERNELS) : {};
    programs = new Map(compileFile(file, names, {}, templates).programs.map((p) => [p.name, p]));
    compiled.set(use.file, programs);
  }
  return programs.get(use.kernel) as TileProgram;
}

function inputs(program: TileProgram, use: Use, seed: number): Record<string, HostTensor> {
  const c = new Choices(seed);
  const made: Record<string, HostTensor> = {};
  for (const p of program.params) {
    if (p.kind !== "tensor") continue;
    const shape = p.dims.map((d) => use.sizes[d] ?? expect.fail(`${use.kernel}: no size for "${d}"`));
    const length = shape.reduce((a, b) => a * b, 1);
    const storage = use.storage?.[p.name] ?? (p.storage[0] as StorageType);
    const given = use.given?.[p.name];
    if (storage === "u32") {
      made[p.name] = { shape, storage, data: Uint32Array.from({ length }, (_, i) => given?.[i] ?? 0) };
      continue;
    }
    const real = Float32Array.from({ length }, (_, i) => given?.[i] ?? (c.below(20001) - 10000) / 10000);
    const blocks = storage === "q8" || storage === "q4";
    const data = blocks ? dequantise(quantise(real, storage), length, storage) : real.map((x) => encode(x, storage));
    const panel = use.panels?.[p.name];
    made[p.name] = { shape, storage, data, ...(panel === undefined ? {} : { panel }) };
  }
  return made;
}

/** Integers and flags must be the same; sums of reals are rounded in another order. */
function close(want: HostTensor, got: HostTensor): boolean {
  const exact = want.storage === "u32" || want.storage === "i32";
  return [...want.data].every((w, i) => {
    const g = got.data[i] ?? Number.NaN;
    return Object.is(w, g) || w === g || (!exact && Math.abs(w - g) <= 1e-5 + 1e-4 * Math.abs(w));
  });
}

describe("every built-in kernel does on lanes what it means", () => {
  const cases = USES.map((use, i) => ({
    ...use,
    seed: 100 + i,
    title: `${use.kernel} ${JSON.stringify({ ...use.sizes, ...use.storage, ...use.panels })}`,
  }));

  it.each(cases)("$title (seed $seed)", (use) => {
    const program = builtIn(use);
    const before = inputs(program, use, use.seed);
    const want = copyOf(before);
    interpret(program, want, use.scalars);
    const changed = program.params.filter((p) => p.kind === "tensor" && p.writes);
    expect(changed.length).toBeGreaterThan(0);
    for (const target of LANE_TARGETS) {
      const got = simulated(program, target, before, use.scalars, use.cells);
      for (const { name } of changed) {
        const same = close(want[name] as HostTensor, got[name] as HostTensor);
        if (!same)
          expect([nameOf(target), name, [...(got[name]?.data ?? [])]]).toEqual([
            nameOf(target),
            name,
            [...(want[name]?.data ?? [])],
          ]);
      }
    }
  });

  it("of which none is forgotten", async () => {
    const kernels = Object.keys(await import("../../models/kernels/index.ts"));
    const policies = Object.keys((await import("../../models/cache/policy.ts")).POLICIES);
    // The full cache has no kernel, the others have one for a step and one for a prompt at once.
    const both = policies.flatMap((name) => (name === "full" ? [] : [name, `${name}AtOnce`]));
    expect([...new Set(USES.map((u) => u.kernel))].sort()).toEqual([...kernels, ...both].sort());
  });
});

describe("random kernels do on lanes what they mean", () => {
  it(`for every target (seed ${SEED})`, () => {
    const plans = Array.from({ length: 36 }, (_, i) => planOf(SEED * 2003 + i, `k${i}`).plan);
    const found = compareSimulated(plans, compilePlans(plans), SEED, undefined, () => LANE_TARGETS);
    expect(found.map((f) => `${f.where}: ${f.what}\n${JSON.stringify(f.plan.sizes)}\n${f.plan.source}`)).toEqual([]);
  });
});

describe("a fault in the compiled program is noticed", () => {
  // A token or a slot stays the same after many a mistake; kernels that store sums do not. The last of these computes nothing.
  const discrete = ["choose", "best", "window", "tova", "windowAtOnce"];
  const cases = USES.filter((u) => !discrete.includes(u.kernel)).map((use, i) => ({
    ...use,
    seed: 500 + i,
  }));
  const target = LANE_TARGETS.find((t) => t.subgroup === 8 && t.profile === "gpu") as Target;

  /** Stops whoever comes here: a branch on what nothing defines. */
  const trap: readonly Stmt[] = [
    { op: "var", name: "nothing", type: BOOL, init: undefined },
    { op: "if", cond: { kind: "ref", name: "nothing", type: BOOL, depth: 0 }, yes: [], no: [] },
  ];

  /** The program with the arithmetic of its n-th addition or reduction changed, or with a trap in its place. */
  function broken(program: LaneProgram, n: number, trapped: boolean): LaneProgram | undefined {
    let left = n;
    const change = (stmts: readonly Stmt[]): Stmt[] =>
      stmts.flatMap((s): Stmt[] => {
        if (s.op === "for") return [{ ...s, body: change(s.body) }];
        if (s.op === "if") return [{ ...s, yes: change(s.yes), no: change(s.no) }];
        if (s.op !== "let") return [s];
        const { rhs } = s;
        const wrong = (changed: typeof rhs): Stmt[] => (trapped ? [...trap, s] : [{ ...s, rhs: changed }]);
        if (rhs.op === "lanes" && left-- === 0) return wrong({ op: "copy", x: rhs.x });
        if (rhs.op === "binary" && rhs.fn === "add" && left-- === 0) return wrong({ ...rhs, fn: "sub" });
        return [s];
      });
    const body = change(program.body);
    return left < 0 ? { ...program, body } : undefined;
  }

  it.each(cases)("$kernel $sizes (seed $seed)", (use) => {
    const program = builtIn(use);
    const before = inputs(program, use, use.seed);
    const want = copyOf(before);
    interpret(program, want, use.scalars);
    const storage = Object.fromEntries(Object.entries(before).map(([name, t]) => [name, t.storage]));
    const { lanes } = generate(program, { sizes: use.sizes, storage, cells: use.cells ?? [] }, target);
    let [noticed, all] = [0, 0];
    for (let n = 0; ; n++) {
      const wrong = broken(lanes, n, false);
      if (wrong === undefined) break;
      const stops = (p: LaneProgram, tensors: ReturnType<typeof copyOf>): boolean => {
        try {
          simulateTensors(p, tensors, use.scalars);
          return false;
        } catch {
          return true;
        }
      };
      // What these inputs do not reach (the last turn of a loop that has whole ones only) cannot be noticed.
      if (!stops(broken(lanes, n, true) as LaneProgram, copyOf(before))) continue;
      all++;
      const got = copyOf(before);
      if (stops(wrong, got)) {
        noticed++;
        continue;
      }
      if (
        program.params.some(
          (p) => p.kind === "tensor" && p.writes && !close(want[p.name] as HostTensor, got[p.name] as HostTensor),
        )
      )
        noticed++;
    }
    // Not all: some additions only count dead elements, or add nothing.
    expect(all).toBeGreaterThan(0);
    expect(all - noticed).toBeLessThanOrEqual(Math.max(1, 0.2 * all));
  });
});
