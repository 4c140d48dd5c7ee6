/**
 * A format that nobody knows, of three bits, from an entry of the table alone: its codes run on across the ends of
 * words, and no line of the compiler or the runtime is for it.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  generate,
  type HostTensor,
  interpret,
  loadPrograms,
  type StorageType,
  type TileProgram,
} from "../../compiler/index.ts";
import { addFormat, bytesOf, type StorageFormat } from "../../compiler/ir/formats.ts";
import { addToOracle, type OracleFormat } from "../../compiler/oracle/formats.ts";
import { simulateTensors } from "../../compiler/oracle/simulate/index.ts";
import { block, dot, over, type real, type Tensor } from "../../dsl/index.ts";
import { staticsOf } from "../../runtime/kernels/launch.ts";
import { dequantise, quantise } from "../../runtime/memory/quantise.ts";
import { LANE_TARGETS, nameOf } from "../support/lanes.ts";
import { normal } from "../support/random.ts";
import { checkKernel } from "./harness.ts";

function spread3(x: Tensor<"rows n", real>, y: Tensor<"rows n">): void {
  const r = block("rows", 2);
  for (const i of over("n")) y.set([r, i], x.at(r, i));
}

function product3(w: Tensor<"rows n", real>, v: Tensor<"n">, y: Tensor<"rows">): void {
  const r = block("rows", 4);
  let total = 0;
  for (const j of over("n")) total += dot(w.at(r, j), v.at(j));
  y.set([r], total);
}

/**
 * Codes from -4 to 3 beside one scale for 64 elements; and codes from 0 to 7 with a minimum, in one piece for each 32.
 */
const ENTRIES: readonly (readonly [StorageFormat, OracleFormat])[] = [
  [
    {
      name: "i3",
      value: "f32",
      bits: 3,
      code: { kind: "integer", signed: true, zero: 0, scaled: "extreme", steps: -4, low: -4, high: 3 },
      scale: { type: "f16", per: 64, minimum: false },
      layout: "planar",
      order: "sequential",
      stores: "nothing",
    },
    {
      bits: 3,
      block: {
        size: 64,
        zero: 0,
        signed: true,
        minimum: false,
        scale: (least, most) => (-least >= most ? least : most) / -4,
        limits: [-4, 3],
      },
    },
  ],
  [
    {
      name: "u3_1",
      value: "f32",
      bits: 3,
      code: { kind: "integer", signed: false, zero: 0, scaled: "range", steps: 7, low: 0, high: 7 },
      scale: { type: "f16", per: 32, minimum: true },
      layout: "interleaved",
      order: "sequential",
      stores: "nothing",
    },
    {
      bits: 3,
      block: {
        size: 32,
        zero: 0,
        signed: false,
        minimum: true,
        scale: (least, most) => Math.fround(Math.fround(most - least) * Math.fround(1 / 7)),
        limits: [0, 7],
        together: true,
      },
    },
  ],
];

const removes: (() => unknown)[] = [];
let programs: ReadonlyMap<string, TileProgram>;

beforeAll(async () => {
  for (const [entry, copy] of ENTRIES) removes.push(addFormat(entry), addToOracle(entry.name, copy));
  const loaded = await loadPrograms(import.meta.url, ["spread3", "product3"], staticsOf({ spread3, product3 }));
  const open = (p: TileProgram["params"][number]): TileProgram["params"][number] =>
    p.kind === "tensor" && p.storage.length > 1
      ? { ...p, storage: [...p.storage, ...ENTRIES.map(([e]) => e.name as StorageType)] }
      : p;
  programs = new Map([...loaded.programs].map(([name, p]) => [name, { ...p, params: p.params.map(open) }]));
});

afterAll(() => {
  for (const remove of removes) remove();
});

function numbers(count: number): Float32Array {
  const next = normal(3);
  return Float32Array.from({ length: count }, (_, i) => next() * (1 + (i >> 6)));
}

describe.each(ENTRIES.map(([e]) => e.name as StorageType))("%s", (name) => {
  test("takes the bits that the entry says, and holds what is nearest", () => {
    expect(bytesOf(name)).toBe(String(name) === "i3" ? 3 / 8 + 2 / 64 : 3 / 8 + 4 / 32);
    const x = numbers(256);
    const stored = quantise(x, name);
    expect(stored.length).toBe(256 * bytesOf(name));
    const y = dequantise(stored, 256, name);
    const away = Math.max(...x.map((v, i) => Math.abs(v - (y[i] as number)) / (1 + (i >> 6))));
    expect(away).toBeLessThan(1);
    expect(new Set(y.subarray(0, 32)).size).toBeLessThanOrEqual(8);
    expect(dequantise(quantise(y, name), 256, name)).toEqual(y);
  });

  test("goes through kernels on the adapters", async () => {
    const x = dequantise(quantise(numbers(3 * 128), name), 3 * 128, name);
    const spread = programs.get("spread3") as TileProgram;
    await checkKernel(spread, {
      sizes: { rows: 3, n: 128 },
      storage: { x: name },
      data: { x },
      want: { y: x },
      tolerance: 1e-6,
    });
    const v = Float32Array.from({ length: 128 }, (_, i) => Math.cos(i));
    const y = [0, 1, 2].map((r) => v.reduce((sum, a, i) => sum + a * (x[r * 128 + i] as number), 0));
    await checkKernel(programs.get("product3") as TileProgram, {
      sizes: { rows: 3, n: 128 },
      storage: { w: name },
      data: { w: x, v },
      want: { y },
      tolerance: 1e-5,
    });
  });

  test.each(LANE_TARGETS.map((target) => [nameOf(target), target] as const))(
    "goes through the printer and the simulator for %s",
    (_, target) => {
      const x = dequantise(quantise(numbers(3 * 128), name), 3 * 128, name);
      const v = Float32Array.from({ length: 128 }, (_, i) => Math.cos(i));
      const program = programs.get("product3") as TileProgram;
      const tensors = (): Record<string, HostTensor> => ({
        w: { shape: [3, 128], storage: name, data: x },
        v: { shape: [128], storage: "f32", data: v },
        y: { shape: [3], storage: "f32", data: new Float32Array(3).fill(Number.NaN) },
      });
      const storage = { w: name, v: "f32", y: "f32" } as const;
      const binding = { sizes: { rows: 3, n: 128 }, storage, cells: [] };
      const { lanes, wgsl } = generate(program, binding, target);
      expect(wgsl).toContain(`array<u32, ${(3 * 128 * bytesOf(name)) / 4}>`);
      const [want, got] = [tensors(), tensors()];
      interpret(program, want);
      simulateTensors(lanes, got);
      for (const i of [0, 1, 2])
        expect(Math.abs((got.y?.data[i] as number) - (want.y?.data[i] as number))).toBeLessThan(1e-4);
    },
  );
});
