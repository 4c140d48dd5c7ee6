/**
 * The check that every kernel has to pass.
 *
 * The interpreter runs the compiled tile IR, twice with different block sizes; every adapter runs the generated WGSL on
 * its own feature level, at feature level L0 (workgroup memory, no subgroups), with one thread a program and, products
 * of matrices, as the workgroup tiles of the GPU profile, and one adapter with all tensors in one buffer and one
 * binding, and in parts; under Deno the platform's own WebGPU runs it too; Dawn's null backend compiles it for the GPU
 * profile with a pinned subgroup size, and with one binding at L0. Outputs start as poison: what the interpreter writes
 * must be written everywhere, and what it leaves must be left everywhere. With TILESTATE_TEST_PROFILE=gpu only the
 * adapters' own feature levels run, with those schedules.
 */

import { expect } from "vitest";
import { type HostTensor, interpret, KernelError, loadPrograms, type TileProgram } from "../../compiler/index.ts";
import { targetOf } from "../../runtime/adapters/target.ts";
import { TRAITS } from "../../runtime/adapters/traits.ts";
import type { Device } from "../../runtime/device/device.ts";
import { bindGroupOf } from "../../runtime/kernels/bind-groups.ts";
import type { Dispatch } from "../../runtime/kernels/dispatch.ts";
import { Kernel } from "../../runtime/kernels/kernel.ts";
import { type Loadable, staticsOf } from "../../runtime/kernels/launch.ts";
import { compileAll, type Variant } from "../../runtime/kernels/variants.ts";
import { createTensors, type TensorSpec } from "../../runtime/memory/create.ts";
import { type DType, decodeFloats, encodeFloats } from "../../runtime/memory/dtype.ts";
import { dequantise, quantise } from "../../runtime/memory/quantise.ts";
import { readMany } from "../../runtime/memory/read.ts";
import type { DeviceTensor } from "../../runtime/memory/tensor.ts";
import { adaptersUnderTest, everyAdapter, FORCED_PROFILE, withDevice } from "../support/gpu.ts";
import { normal, uniform } from "../support/random.ts";
import { inTextures, levelsOf, packed, parted, separate } from "./levels.ts";

type Values = Float32Array | Uint32Array | Int32Array;

/** One use of a kernel. */
export interface Use {
  /** Extents of dims. */
  readonly sizes?: Readonly<Record<string, number>>;
  /** Storage of tensors whose type leaves a choice (f32 unless told). */
  readonly storage?: Readonly<Record<string, DType>>;
  /** Contents; tensors that are read and not given get seeded random numbers. */
  readonly data?: Readonly<Record<string, ArrayLike<number>>>;
  readonly scalars?: Readonly<Record<string, number>>;
  /** Rows in a panel, for tensors that lie in panels. */
  readonly panels?: Readonly<Record<string, number>>;
  /** Scalars that are passed as one-element tensors. */
  readonly cells?: readonly string[];
  /** Numbers that tensors must hold afterwards, besides what the interpreter says. */
  readonly want?: Readonly<Record<string, ArrayLike<number>>>;
  /** Allowed difference: tolerance · (1 + |expected|); 2e-6 unless told, integers always exactly. */
  readonly tolerance?: number;
  /** Not every element of the outputs is written. */
  readonly partial?: boolean;
  /** Results that depend on the order of programs or the size of blocks are compared at one block size only. */
  readonly oneBlock?: boolean;
  readonly seed?: number;
  /** Only as workgroup tiles: for shapes whose other shaders are many and slow to compile. */
  readonly tilesOnly?: boolean;
}

const POISON_INT = 0xdeadbeef;
/** Characters of WGSL. */
const LONG = 9000;

/** Loads kernels of the calling file and gives the check for each of them. */
export function kernelsOf<K extends string>(
  meta: { readonly url: string },
  kernels: Readonly<Record<K, Loadable>>,
): {
  readonly check: (name: K, use: Use) => Promise<void>;
  readonly programs: Promise<ReadonlyMap<string, TileProgram>>;
} {
  const programs = loadPrograms(meta.url, Object.keys(kernels), staticsOf(kernels)).then((l) => l.programs);
  // A file that does not compile fails in each of its tests, not before them.
  programs.catch(() => undefined);
  return {
    programs,
    check: async (name, use) => {
      const program = (await programs).get(name);
      if (program === undefined) throw new Error(`no kernel ${name}`);
      await checkKernel(program, use);
    },
  };
}

/** Runs one kernel everywhere and compares everything. */
export async function checkKernel(program: TileProgram, use: Use): Promise<void> {
  const inputs = inputsOf(program, use);
  const want = interpreted(program, use, inputs, { overBlock: 5, rows: 3 }, Number.NaN);
  if (use.oneBlock !== true) {
    const other = interpreted(program, use, inputs, { overBlock: 64, rows: 7 }, Number.NaN);
    for (const [name, t] of want)
      compare(`${program.name}, interpreter with larger blocks: ${name}`, other.get(name)?.data, t, use);
  }
  for (const [name, t] of want) {
    if (t.storage !== "u32" && t.storage !== "i32") continue;
    if (use.partial !== true && inputs.get(name) === undefined && [...t.data].some((x) => x >>> 0 === POISON_INT))
      expect.fail(`${program.name}: the interpreter left an element of "${name}" unwritten`);
  }
  if (use.partial === true) checkUnwritten(program, use, inputs, want);
  else
    for (const [name, t] of want)
      if (inputs.get(name) === undefined && [...t.data].some(Number.isNaN))
        expect.fail(`${program.name}: the interpreter left NaN in "${name}"`);
  for (const [name, numbers] of Object.entries(use.want ?? {})) {
    const t = want.get(name) as HostTensor;
    compare(
      `${program.name}, interpreter against the reference: ${name}`,
      t.data,
      { ...t, data: numbers as Values },
      use,
    );
  }
  for (const adapter of everyAdapter()) await runOn(await withDevice(adapter), adapter, program, use, inputs, want);
  if (FORCED_PROFILE === undefined) await compileOnNull(program, use);
}

/** Contents of what is read; undefined for what is only written. */
function inputsOf(program: TileProgram, use: Use): ReadonlyMap<string, Values | undefined> {
  const seed = use.seed ?? 1;
  const found = new Map<string, Values | undefined>();
  for (const [i, p] of program.params.entries()) {
    if (p.kind !== "tensor") continue;
    const given = use.data?.[p.name];
    const dtype = storageOf(program, use, p.name);
    const n = shapeOf(program, use, p.name).reduce((a, b) => a * b, 1);
    if (given !== undefined) {
      if (given.length !== n)
        throw new Error(`${program.name}: data of "${p.name}" has ${given.length} elements, expected ${n}`);
      found.set(p.name, stored(given, dtype));
    } else if (!p.reads && p.atomic !== true) found.set(p.name, undefined);
    else if (dtype === "u32" || dtype === "i32") {
      const next = uniform(seed * 131 + i);
      found.set(
        p.name,
        stored(
          Array.from({ length: n }, () => Math.floor(next() * 100) - (dtype === "i32" ? 50 : 0)),
          dtype,
        ),
      );
    } else {
      const next = normal(seed * 131 + i);
      found.set(p.name, stored(Array.from({ length: n }, next), dtype));
    }
  }
  return found;
}

/** The numbers that the storage holds. */
function stored(values: ArrayLike<number>, dtype: DType): Values {
  if (dtype === "u32") return Uint32Array.from(values);
  if (dtype === "i32") return Int32Array.from(values);
  const f32 = Float32Array.from(values);
  if (dtype === "f32") return f32;
  if (dtype === "f16" || dtype === "bf16" || dtype === "fp8") return decodeFloats(encodeFloats(f32, dtype), dtype);
  return dequantise(quantise(f32, dtype), f32.length, dtype);
}

function poisoned(dtype: DType, n: number, poison: number): Values {
  if (dtype === "u32") return new Uint32Array(n).fill(POISON_INT);
  if (dtype === "i32") return new Int32Array(n).fill(POISON_INT | 0);
  return new Float32Array(n).fill(poison);
}

function storageOf(program: TileProgram, use: Use, name: string): DType {
  const p = program.params.find((x) => x.name === name);
  return use.storage?.[name] ?? (p?.kind === "tensor" ? (p.storage[0] as DType) : "f32");
}

function shapeOf(program: TileProgram, use: Use, name: string): number[] {
  const p = program.params.find((x) => x.name === name);
  return p?.kind !== "tensor"
    ? []
    : p.dims.map((d) => use.sizes?.[d] ?? (d === "one" ? 1 : fail(`${program.name}: no size for the dim "${d}"`)));
}

function fail(message: string): never {
  throw new Error(message);
}

function interpreted(
  program: TileProgram,
  use: Use,
  inputs: ReadonlyMap<string, Values | undefined>,
  blocks: { readonly overBlock: number; readonly rows: number },
  poison: number,
): Map<string, HostTensor> {
  const tensors = new Map<string, HostTensor>();
  for (const [name, values] of inputs) {
    const [shape, storage] = [shapeOf(program, use, name), storageOf(program, use, name)];
    const n = shape.reduce((a, b) => a * b, 1);
    tensors.set(name, { shape, storage, data: values?.slice() ?? poisoned(storage, n, poison) });
  }
  interpret(program, Object.fromEntries(tensors), use.scalars ?? {}, blocks);
  return tensors;
}

/** With some elements left alone, NaN could be a result: another poison tells which elements were written. */
function checkUnwritten(
  program: TileProgram,
  use: Use,
  inputs: ReadonlyMap<string, Values | undefined>,
  want: ReadonlyMap<string, HostTensor>,
): void {
  const loud = interpreted(program, use, inputs, { overBlock: 5, rows: 3 }, -61440);
  let left = 0;
  for (const [name, t] of want) {
    if (inputs.get(name) !== undefined) continue;
    for (const [i, x] of t.data.entries()) {
      const poison =
        t.storage === "u32" || t.storage === "i32" ? x >>> 0 === POISON_INT : loud.get(name)?.data[i] === -61440;
      if (poison) left++;
      else if (Number.isNaN(x)) expect.fail(`${program.name}: the interpreter wrote NaN to "${name}"[${i}]`);
    }
  }
  expect(left, `${program.name}: elements left alone`).toBeGreaterThan(0);
}

async function runOn(
  device: Device,
  adapter: string,
  program: TileProgram,
  use: Use,
  inputs: ReadonlyMap<string, Values | undefined>,
  want: ReadonlyMap<string, HostTensor>,
): Promise<void> {
  const runs: { label: string; tensors: Map<string, DeviceTensor>; dispatch: Dispatch }[] = [];
  const specs: Record<string, TensorSpec & { dtype: DType }> = {};
  for (const p of program.params) {
    const [shape, dtype] =
      p.kind === "tensor" ? [shapeOf(program, use, p.name), storageOf(program, use, p.name)] : [[1], p.dtype];
    const scalar = use.scalars?.[p.name];
    if (p.kind === "scalar" && use.cells?.includes(p.name) !== true) continue;
    const n = shape.reduce((a, b) => a * b, 1);
    const data =
      p.kind === "scalar" ? stored([scalar ?? 0], dtype) : (inputs.get(p.name) ?? poisoned(dtype, n, Number.NaN));
    specs[p.name] = { shape, dtype, data, panel: use.panels?.[p.name] };
  }
  const own = targetOf(device.capabilities);
  // With the other profile forced on it, this feature level is all that is new; the rest compiles long there.
  const levels = FORCED_PROFILE === undefined ? levelsOf(own) : levelsOf(own).slice(0, 1);
  if (FORCED_PROFILE === undefined) {
    if (adapter === adaptersUnderTest()[0]) levels.push({ label: "in textures", target: own, textures: true });
    if (adapter === adaptersUnderTest().at(-1))
      levels.push(packed(program, own, specs), ...parted(program, own, specs));
  }
  for (const level of levels) {
    if (use.tilesOnly === true && level.tiles !== true) continue;
    const made = level.together
      ? Object.entries(createTensors(device, specs))
      : separate(device, specs, level.textures === true ? inTextures(program, device, specs) : []);
    const tensors = new Map(made);
    const args = program.params.map((p) => tensors.get(p.name) ?? use.scalars?.[p.name]);
    try {
      const dispatch = new Kernel(device, program, level.target, level.knobs ?? {}).prepare(args);
      // Only products of matrices are anything else for the other profile.
      if (level.tiles === true && dispatch.variant.generated.schedule.tiles === undefined) {
        for (const t of tensors.values()) t.destroy();
        continue;
      }
      // A thread that holds what lanes should share is a long shader, which lavapipe takes minutes to compile.
      if (level.knobs !== undefined && dispatch.variant.generated.wgsl.length > LONG) {
        for (const t of tensors.values()) t.destroy();
        continue;
      }
      runs.push({ label: `${adapter}, ${level.label}`, tensors, dispatch });
    } catch (error) {
      // A tile that many lanes hold may be too much for one.
      const crowded = error instanceof KernelError && error.diagnostics[0]?.code === "TS-301";
      for (const t of tensors.values()) t.destroy();
      if (!(crowded && level.knobs !== undefined)) throw error;
    }
  }
  await compileAll(
    device,
    runs.map((r) => r.dispatch.variant),
  );
  const encoder = device.raw.createCommandEncoder();
  const pass = encoder.beginComputePass();
  for (const { dispatch } of runs) {
    pass.setPipeline(dispatch.variant.pipeline as GPUComputePipeline);
    pass.setBindGroup(0, bindGroupOf(device, dispatch).group);
    pass.dispatchWorkgroups(...dispatch.variant.generated.lanes.workgroups);
  }
  pass.end();
  device.raw.queue.submit([encoder.finish()]);
  const all = runs.flatMap((r) => [...r.tensors].map(([name, tensor]) => ({ label: r.label, name, tensor })));
  const got = await readMany(
    device,
    all.map((a) => a.tensor),
  );
  for (const [i, { label, name }] of all.entries()) {
    const t = want.get(name);
    if (t !== undefined) compare(`${program.name} on ${label}: ${name}`, got[i], t, use);
  }
  for (const { tensor } of all) tensor.destroy();
}

/**
 * Feature level L3 and the GPU profile, and one binding at feature level L0, where barriers must not depend on it:
 * validated and compiled, not run.
 */
async function compileOnNull(program: TileProgram, use: Use): Promise<void> {
  const device = await withDevice("null");
  const own = targetOf(device.capabilities);
  const specs: Record<string, TensorSpec> = {};
  for (const p of program.params) {
    if (p.kind === "tensor")
      specs[p.name] = {
        shape: shapeOf(program, use, p.name),
        dtype: storageOf(program, use, p.name),
        panel: use.panels?.[p.name],
      };
    else if (use.cells?.includes(p.name)) specs[p.name] = { shape: [1], dtype: p.dtype };
  }
  const alone = Object.fromEntries(separate(device, specs, []));
  const textures = Object.fromEntries(separate(device, specs, inTextures(program, device, specs)));
  const together = createTensors(device, specs);
  const argumentsOf = (tensors: Readonly<Record<string, DeviceTensor>>): unknown[] =>
    program.params.map((p) => tensors[p.name] ?? 0);

  const kernel = new Kernel(
    device,
    program,
    { ...own, profile: "gpu", traits: TRAITS.gpu, subgroup: 32, pinned: true },
    {},
  );
  const [bound, allowed] = [Object.keys(specs).length, own.storageBuffers];
  const variants: Variant[] = [];
  if (bound > allowed)
    expect(() => kernel.prepare(argumentsOf(alone))).toThrow(
      `binds ${bound} tensors, and this adapter allows ${allowed} a kernel`,
    );
  else variants.push(kernel.prepare(argumentsOf(alone)).variant);
  const one = packed(program, { ...own, subgroup: 0, pinned: false }, specs);
  variants.push(new Kernel(device, program, one.target, {}).prepare(argumentsOf(together)).variant);
  const inBuffers = Object.values(textures).filter((t) => t.texture === undefined).length;
  if (inBuffers <= allowed) variants.push(kernel.prepare(argumentsOf(textures)).variant);
  await compileAll(device, variants);
  for (const t of [alone, together, textures].flatMap((made) => Object.values(made))) t.destroy();
}

function compare(what: string, got: Values | undefined, want: HostTensor, use: Use): void {
  expect(got?.length, `${what}: elements`).toBe(want.data.length);
  const tolerance = want.storage === "u32" || want.storage === "i32" ? 0 : (use.tolerance ?? 2e-6);
  // A rounding that falls the other way is one step of the format.
  const step = { f16: 2 ** -10, bf16: 2 ** -7, fp8: 2 ** -3 }[want.storage as string] ?? 0;
  for (const [i, x] of want.data.entries()) {
    const y = got?.[i] ?? Number.NaN;
    if (Object.is(x, y) || x === y || (Number.isNaN(x) && Number.isNaN(y))) continue;
    // Anything is near an infinity.
    if (Math.abs(x) === Infinity || !(Math.abs(x - y) <= tolerance * (1 + Math.abs(x)) + step * Math.abs(x)))
      expect.fail(
        `${what}[${i}] of ${want.shape.join("x")}: expected ${x}, got ${y} (tolerance ${tolerance}, seed ${use.seed ?? 1})`,
      );
  }
}
