/**
 * Built-in kernels and random ones, compiled for adapters of 4, 8 and 32 lanes and for none, on the simulator: what the
 * compiled tile IR means is what the lane IR does. No GPU takes part.
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
import { POLICY_FILE, USES, type Use } from "./simulate-uses.ts";

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
  // A token or a slot stays the same after many a mistake; kernels that store sums do not. The last of these computes
  // nothing.
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
