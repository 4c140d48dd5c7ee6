/** The kernels of products.ts on the lane simulator, compared with the tile interpreter. */

import { fileURLToPath } from "node:url";
import { compileFile } from "../../compiler/frontend/index.ts";
import {
  generate,
  type HostTensor,
  interpret,
  type Knobs,
  type Target,
  type TileProgram,
} from "../../compiler/index.ts";
import { blockOf, type StorageType } from "../../compiler/ir/formats.ts";
import type { LaneProgram } from "../../compiler/ir/lane/program.ts";
import { encode } from "../../compiler/oracle/round.ts";
import { simulateTensors } from "../../compiler/oracle/simulate/index.ts";
import { TRAITS } from "../../runtime/adapters/traits.ts";
import { dequantise, quantise } from "../../runtime/memory/quantise.ts";
import { Choices } from "../fuzz/choices.ts";
import { copyOf } from "./lanes.ts";

export const KERNELS = [
  "rowsByRows",
  "rowsByColumns",
  "turned",
  "heads",
  "gated",
  "twice",
  "wholes",
  "distances",
] as const;
export const programs: ReadonlyMap<string, TileProgram> = new Map(
  compileFile(fileURLToPath(new URL("./products.ts", import.meta.url)), [...KERNELS]).programs.map((p) => [p.name, p]),
);

export const GPU: Target = {
  profile: "gpu",
  subgroup: 32,
  pinned: true,
  maxInvocations: 1024,
  storageBuffers: 10,
  workgroupBytes: 49152,
  traits: TRAITS.gpu,
};
/** What every WebGPU has. */
export const CORE: Target = { ...GPU, subgroup: 0, pinned: false, maxInvocations: 256, workgroupBytes: 16384 };

/** One use of a kernel. */
export interface Use {
  readonly kernel: (typeof KERNELS)[number];
  readonly sizes: Readonly<Record<string, number>>;
  readonly storage?: Readonly<Record<string, StorageType>>;
  readonly scalars?: Readonly<Record<string, number>>;
  readonly knobs?: Knobs;
}

function inputs(program: TileProgram, use: Use, seed: number): Record<string, HostTensor> {
  const c = new Choices(seed);
  const made: Record<string, HostTensor> = {};
  for (const p of program.params) {
    if (p.kind !== "tensor") continue;
    const shape = p.dims.map((d) => use.sizes[d] ?? fail(`${use.kernel}: no size for "${d}"`));
    const length = shape.reduce((a, b) => a * b, 1);
    const storage = use.storage?.[p.name] ?? (p.storage[0] as StorageType);
    // Numbers that f16 holds, and products of two of them; blocks with a scale that is a power of two. So matrix units
    // have nothing to round.
    const real = Float32Array.from({ length }, (_, n) => {
      if (storage === "q8") return n % 32 === 0 ? 127 / 128 : (c.below(255) - 127) / 128;
      if (storage === "q4") return n % 32 === 0 ? -1 : (c.below(16) - 8) / 8;
      if (storage === "q4_1") return n % 32 === 0 ? -1 : n % 32 === 1 ? 0.875 : (c.below(16) - 8) / 8;
      return (c.below(33) - 16) / 16;
    });
    const data =
      blockOf(storage) > 1 ? dequantise(quantise(real, storage), length, storage) : real.map((x) => encode(x, storage));
    made[p.name] = { shape, storage, data };
  }
  return made;
}

export interface Ran {
  readonly lanes: LaneProgram;
  readonly want: Record<string, HostTensor>;
  readonly before: Record<string, HostTensor>;
}

function fail(message: string): never {
  throw new Error(message);
}

/** Inputs of a use, and what it makes of them: neither depends on schedules, under many of which a use runs. */
type Meaning = Pick<Ran, "want" | "before">;
const meanings = new Map<string, Meaning>();

function meaningOf(use: Use, seed: number): Meaning {
  const program = programs.get(use.kernel) as TileProgram;
  const { knobs: _, ...rest } = use;
  const key = JSON.stringify([rest, seed]);
  let known = meanings.get(key);
  if (known === undefined) {
    const before = inputs(program, use, seed);
    const want = copyOf(before);
    interpret(program, want, use.scalars);
    known = { before, want };
    meanings.set(key, known);
  }
  return { before: copyOf(known.before), want: copyOf(known.want) };
}

/** Compiles a kernel, which must come out tiled, and says what it should compute. */
export function prepare(use: Use, target: Target, seed = 1): Ran {
  const program = programs.get(use.kernel) as TileProgram;
  const { before, want } = meaningOf(use, seed);
  const storage = Object.fromEntries(Object.entries(before).map(([name, t]) => [name, t.storage]));
  const made = generate(program, { sizes: use.sizes, storage, cells: [] }, target, use.knobs);
  if (made.schedule.tiles === undefined) fail(`${use.kernel} is not tiled`);
  return { lanes: made.lanes, want, before };
}

/** The largest difference from what the interpreter says. */
export function differenceOf(want: Record<string, HostTensor>, got: Record<string, HostTensor>): number {
  let most = 0;
  for (const [name, t] of Object.entries(want))
    for (const [i, w] of t.data.entries()) {
      const away = Math.abs((got[name]?.data[i] ?? Number.NaN) - w) / (1 + Math.abs(w));
      // Not a number is as far away as it gets.
      most = Number.isNaN(away) ? Number.POSITIVE_INFINITY : Math.max(most, away);
    }
  return most;
}

/** Runs a kernel and compares; returns what ran. */
export function check(use: Use, target: Target, tolerance = 1e-5, seed = 1): LaneProgram {
  const { lanes, want, before } = prepare(use, target, seed);
  const got = copyOf(before);
  simulateTensors(lanes, got, use.scalars);
  const away = differenceOf(want, got);
  if (!(away < tolerance)) fail(`${use.kernel} is ${away} away from what it means, expected less than ${tolerance}`);
  return lanes;
}

/** The same with matrix units of one shape, among others that are of no use. */
export function withUnits(M: number, N: number, K: number): Target {
  return {
    ...GPU,
    matrix: [
      { component: "f16", result: "f16", M, N, K },
      { component: "f16", result: "f32", M, N, K },
      { component: "u8", result: "u32", M, N, K },
    ],
  };
}
