/**
 * Loaded kernels: from a typed call to a dispatch.
 *
 * A kernel is specialised to the shapes and formats of the tensors it is called with; each such variant is generated and compiled once and kept. What is bound
 * is checked here, against names, so that a mistake is reported in the words of the kernel and not in those of WebGPU.
 */

import {
  type Binding,
  type Generated,
  generate,
  type Knobs,
  type Packing,
  planPacking,
  type Statics,
  type StaticValue,
  type Target,
  type TensorParam,
  type TileProgram,
} from "../compiler/index.ts";
import type { DType, RunTime, Tensor } from "../dsl/index.ts";
import type { Device } from "./device.ts";
import { UserError } from "./errors.ts";
import { guarded, watched } from "./scopes.ts";
import { DeviceTensor } from "./tensor.ts";
import { tunedKnobs } from "./tuned.ts";

/** What is passed for a parameter: a tensor on the GPU, or for a Scalar a number or a one-element tensor (read at every run). */
export type Argument<P> = P extends Tensor<string, DType> ? DeviceTensor : number | DeviceTensor;

/** What `gpu.kernels` loads: a kernel, or one with its compile-time parameters given. */
export type Loadable =
  | ((...args: never[]) => void)
  | { readonly kernel: (...args: never[]) => void; readonly values: unknown };

/** The compile-time parameters that have a value here; functions are the source's business. */
export function staticsOf(functions: Readonly<Record<string, Loadable>>): Statics {
  const found: Record<string, Record<string, StaticValue>> = {};
  for (const [name, f] of Object.entries(functions)) {
    if (typeof f === "function") continue;
    found[name] = Object.fromEntries(
      Object.entries(f.values as object).filter(([, v]) => ["number", "boolean", "string"].includes(typeof v)),
    ) as Record<string, StaticValue>;
  }
  return found;
}

/** The call that a kernel function becomes once it is loaded; compile-time parameters are settled by then. */
export type Launch<F> = F extends { readonly kernel: infer G }
  ? Launch<G>
  : F extends (...args: infer A) => void
    ? (...args: Arguments<RunTime<A>>) => void
    : never;

type Arguments<A> = { [I in keyof A]: Argument<A[I]> };

/** One kernel for one binding of shapes, formats and adapter. */
export interface Variant {
  readonly label: string;
  readonly generated: Generated;
  pipeline: GPUComputePipeline | undefined;
}

/** A call that was checked and is ready to be encoded. */
export interface Dispatch {
  readonly variant: Variant;
  /** Tensors by the name of their parameter, in its order. */
  readonly tensors: ReadonlyMap<string, DeviceTensor>;
  readonly uniforms: readonly { readonly dtype: "u32" | "i32" | "f32"; readonly value: number }[];
}

export class Kernel {
  readonly name: string;
  readonly program: TileProgram;
  readonly #device: Device;
  readonly #target: Target;
  readonly #knobs: Knobs | undefined;
  readonly #variants: Map<string, Variant> = new Map<string, Variant>();

  /** Without knobs, those that tuning found are used, if it found any. */
  constructor(device: Device, program: TileProgram, target: Target, knobs?: Knobs) {
    this.name = program.name;
    this.program = program;
    this.#device = device;
    this.#target = target;
    this.#knobs = knobs;
  }

  /** Checks the arguments of one call and finds (or generates) the variant for them. */
  prepare(args: readonly unknown[]): Dispatch {
    const { params } = this.program;
    if (args.length !== params.length) {
      throw new UserError(
        `kernel ${this.name}: expected ${params.length} arguments (${params.map((p) => p.name).join(", ")}), got ${args.length}`,
      );
    }
    const sizes: Record<string, number> = {};
    const storage: Record<string, DeviceTensor["dtype"]> = {};
    const panels: Record<string, number> = {};
    const pitches: Record<string, number> = {};
    const from: Record<string, string> = {};
    const tensors = new Map<string, DeviceTensor>();
    const cells: string[] = [];
    const uniforms: { dtype: "u32" | "i32" | "f32"; value: number }[] = [];
    for (const [i, p] of params.entries()) {
      const given = args[i];
      if (p.kind === "scalar") {
        if (given instanceof DeviceTensor) {
          if (given.length !== 1 || given.dtype !== p.dtype)
            throw this.#wrong(
              p.name,
              `one ${p.dtype}`,
              `${given.dtype} [${given.shape.join(", ")}] ("${given.label}")`,
            );
          if (given.pitch !== undefined) pitches[p.name] = given.pitch;
          cells.push(p.name);
          tensors.set(p.name, given);
        } else if (typeof given === "number") uniforms.push({ dtype: p.dtype, value: given });
        else throw this.#wrong(p.name, `a number or a tensor of one ${p.dtype}`, describe(given));
        continue;
      }
      if (!(given instanceof DeviceTensor))
        throw this.#wrong(p.name, `a tensor "${p.dims.join(" ")}"`, describe(given));
      this.#checkTensor(p, given, sizes, from);
      storage[p.name] = given.dtype;
      if (given.panel > 1) {
        if (p.writes) throw this.#wrong(p.name, "a tensor it can write", `one in panels ("${given.label}")`);
        panels[p.name] = given.panel;
      }
      if (given.pitch !== undefined) {
        if (p.writes) throw this.#wrong(p.name, "a tensor it can write", `one in a texture ("${given.label}")`);
        pitches[p.name] = given.pitch;
      }
      tensors.set(p.name, given);
    }
    this.#checkAliases(tensors);
    const packing = this.#packing(tensors);
    const binding: Binding = {
      sizes,
      storage,
      cells,
      ...(Object.keys(panels).length === 0 ? {} : { panels }),
      ...(Object.keys(pitches).length === 0 ? {} : { pitches }),
      ...(packing === undefined ? {} : { packing }),
    };
    return { variant: this.#variant(binding), tensors, uniforms };
  }

  #checkTensor(p: TensorParam, t: DeviceTensor, sizes: Record<string, number>, from: Record<string, string>): void {
    if (t.shape.length !== p.dims.length) {
      throw this.#wrong(
        p.name,
        `${p.dims.length} dims ("${p.dims.join(" ")}")`,
        `${t.shape.length} dims [${t.shape.join(", ")}] ("${t.label}")`,
      );
    }
    if (!p.storage.includes(t.dtype)) throw this.#wrong(p.name, p.storage.join(" or "), `${t.dtype} ("${t.label}")`);
    for (const [i, dim] of p.dims.entries()) {
      const n = t.shape[i] ?? 0;
      const known = sizes[dim];
      if (known !== undefined && known !== n)
        throw this.#wrong(
          p.name,
          `${known} elements along "${dim}" (as in "${from[dim]}")`,
          `${n} ("${t.label}" is [${t.shape.join(", ")}])`,
        );
      sizes[dim] = n;
      from[dim] ??= p.name;
    }
  }

  /** What one lane writes nobody else may read in the same dispatch, so tensors of a call overlap only where all are read. */
  #checkAliases(tensors: ReadonlyMap<string, DeviceTensor>): void {
    const all = [...tensors];
    for (const [i, [p, a]] of all.entries()) {
      for (const [q, b] of all.slice(i + 1)) {
        if (a.memory !== b.memory || a.offset >= b.offset + b.bytes || b.offset >= a.offset + a.bytes) continue;
        if (!this.#writes(p) && !this.#writes(q)) continue;
        throw new UserError(
          `kernel ${this.name}: "${p}" and "${q}" share memory (tensor "${a.label}"), and one of them is written`,
          {
            hint: "pass two tensors, or use one parameter for both reading and writing",
          },
        );
      }
    }
  }

  #writes(param: string): boolean {
    return this.program.params.some((p) => p.name === param && p.kind === "tensor" && p.writes);
  }

  #packing(tensors: ReadonlyMap<string, DeviceTensor>): Packing | undefined {
    const atomic = (name: string): boolean =>
      this.program.params.some((p) => p.name === name && p.kind === "tensor" && p.atomic === true);
    const buffers = [...tensors].filter(([, t]) => t.pitch === undefined);
    const places = buffers.map(([name, t]) => ({
      name,
      home: t.memory,
      offset: t.offset,
      bytes: t.bytes,
      writes: this.#writes(name),
      atomic: atomic(name),
    }));
    const bindingBytes = this.#target.bindingBytes ?? this.#device.capabilities.limits.bindingBytes;
    const long = places.find((p) => p.writes && p.bytes > bindingBytes);
    if (long !== undefined) {
      throw new UserError(
        `kernel ${this.name}: "${long.name}" is written and has ${long.bytes} bytes, more than the ${bindingBytes} that this adapter binds at once`,
      );
    }
    return planPacking(places, { bindings: this.#target.storageBuffers, bindingBytes });
  }

  #variant(binding: Binding): Variant {
    const key = JSON.stringify(binding);
    let found = this.#variants.get(key);
    if (found === undefined) {
      const generated = this.#generate(binding);
      const { buffers } = generated.lanes;
      const textures = buffers.filter((b) => b.pitch !== undefined).length;
      const [bound, limit] = [buffers.length - textures, this.#target.storageBuffers];
      if (bound > limit) {
        throw new UserError(`kernel ${this.name} binds ${bound} tensors, and this adapter allows ${limit} a kernel`, {
          hint: "tensors that are made together, by gpu.tensors({ … }), can share a binding",
        });
      }
      const { storageTextures } = this.#device.capabilities.limits;
      if (textures > storageTextures) {
        throw new UserError(
          `kernel ${this.name} reads ${textures} tensors in textures, and this adapter allows ${storageTextures} a kernel`,
        );
      }
      const shape = Object.entries(binding.sizes).map(([d, n]) => `${d}=${n}`);
      found = { label: `kernel ${this.name} (${shape.join(", ")})`, generated, pipeline: undefined };
      this.#variants.set(key, found);
    }
    return found;
  }

  #generate(binding: Binding): Generated {
    const tuned = this.#knobs === undefined ? tunedKnobs(this.#device.capabilities, this.program, binding) : undefined;
    try {
      return generate(this.program, binding, this.#target, this.#knobs ?? tuned);
    } catch (error) {
      // Records may be older than the compiler: then its own choice counts.
      if (tuned === undefined) throw error;
      return generate(this.program, binding, this.#target);
    }
  }

  #wrong(param: string, expected: string, got: string): UserError {
    return new UserError(`kernel ${this.name}: parameter "${param}" expected ${expected}, got ${got}`);
  }

  /** Compiles the variant now, blocking; for calls outside a plan. */
  compileNow(variant: Variant): GPUComputePipeline {
    variant.pipeline ??= watched(this.#device, variant.label, () => {
      this.#device.pipelines++;
      return this.#device.raw.createComputePipeline(descriptor(this.#device, variant));
    });
    return variant.pipeline;
  }
}

/**
 * Compiles variants side by side; those that are compiled already cost nothing.
 *
 * SwiftShader compiles in the thread that asks, and leaves a kernel's constants in that thread's heap. The main thread's mostly lies below 4 GiB, where addresses are
 * short: code that a worker compiled took up to 7 % longer. And while workers compile, waiting for them takes a core. So there kernels are compiled here, one
 * after the other.
 */
export async function compileAll(device: Device, variants: Iterable<Variant>): Promise<void> {
  const { name, description } = device.capabilities;
  const inTurn = /swiftshader/i.test(`${name} ${description}`);
  const compile = async (v: Variant): Promise<void> => {
    v.pipeline ??= await guarded(device, v.label, () => {
      device.pipelines++;
      const how = descriptor(device, v);
      return inTurn ? device.raw.createComputePipeline(how) : device.raw.createComputePipelineAsync(how);
    });
  };
  if (inTurn) for (const v of new Set(variants)) await compile(v);
  else await Promise.all([...new Set(variants)].map(compile));
}

/** The layout is given, not derived: a derived one leaves out parameters that the kernel turned out not to read. */
function descriptor(device: Device, variant: Variant): GPUComputePipelineDescriptor {
  const { raw } = device;
  const { buffers, uniforms } = variant.generated.lanes;
  const entries = buffers.map(
    (b, binding): GPUBindGroupLayoutEntry => ({
      binding,
      visibility: COMPUTE,
      ...(b.pitch === undefined
        ? { buffer: { type: b.writes || b.writable ? "storage" : "read-only-storage" } }
        : { storageTexture: { access: "read-only", format: "rgba32uint" } }),
    }),
  );
  if (uniforms.length > 0) entries.push({ binding: buffers.length, visibility: COMPUTE, buffer: { type: "uniform" } });
  const layout = raw.createPipelineLayout({
    label: variant.label,
    bindGroupLayouts: [raw.createBindGroupLayout({ label: variant.label, entries })],
  });
  const module = raw.createShaderModule({ label: variant.label, code: variant.generated.wgsl });
  return { label: variant.label, layout, compute: { module, entryPoint: "main" } };
}

/** The bind group of a dispatch; its numbers, if it has any, get a uniform buffer of their own. */
export function bindGroupOf(
  device: Device,
  dispatch: Dispatch,
): { group: GPUBindGroup; uniforms: GPUBuffer | undefined } {
  const { variant } = dispatch;
  const pipeline = variant.pipeline;
  if (pipeline === undefined) throw new Error(`${variant.label} was not compiled`);
  return watched(device, variant.label, () => {
    const { buffers } = variant.generated.lanes;
    const entries = buffers.map((b, binding): GPUBindGroupEntry => ({ binding, resource: resourceOf(dispatch, b) }));
    let uniforms: GPUBuffer | undefined;
    if (dispatch.uniforms.length > 0) {
      const size = Math.ceil(dispatch.uniforms.length / 4) * 16;
      uniforms = device.raw.createBuffer({ label: `${variant.label} scalars`, size, usage: UNIFORM | COPY_DST });
      device.raw.queue.writeBuffer(uniforms, 0, packUniforms(dispatch.uniforms, size));
      entries.push({ binding: buffers.length, resource: { buffer: uniforms } });
    }
    return {
      group: device.raw.createBindGroup({ label: variant.label, layout: pipeline.getBindGroupLayout(0), entries }),
      uniforms,
    };
  });
}

function resourceOf(dispatch: Dispatch, b: Generated["lanes"]["buffers"][number]): GPUBindingResource {
  const texture = b.pitch === undefined ? undefined : dispatch.tensors.get(b.name)?.texture;
  return texture === undefined ? rangeOf(dispatch, b) : texture.createView();
}

/** The memory of one binding: that of a tensor or of a part of it, or the range that several lie in. */
function rangeOf(dispatch: Dispatch, b: Generated["lanes"]["buffers"][number]): GPUBufferBinding {
  const named = b.window === undefined ? (b.members ?? [b]) : [{ name: b.window.of }];
  const tensors = named.map(({ name }) => {
    const found = dispatch.tensors.get(name);
    if (found === undefined) throw new Error(`${dispatch.variant.label}: no tensor for "${name}"`);
    return found;
  });
  const offset = Math.min(...tensors.map((t) => t.offset));
  const end = Math.max(...tensors.map((t) => t.offset + t.bytes));
  const { buffer } = tensors[0] as DeviceTensor;
  const from = offset + 4 * (b.window?.at ?? 0);
  const to = b.window === undefined ? end : Math.min(end, from + 4 * b.elements);
  return { buffer, offset: from, size: Math.ceil((to - from) / 16) * 16 };
}

const COMPUTE = 0x4;
const UNIFORM = 0x40;
const COPY_DST = 0x8;

function packUniforms(values: Dispatch["uniforms"], size: number): ArrayBuffer {
  const bytes = new DataView(new ArrayBuffer(size));
  for (const [i, { dtype, value }] of values.entries()) {
    if (dtype === "f32") bytes.setFloat32(i * 4, value, true);
    else if (dtype === "u32") bytes.setUint32(i * 4, value, true);
    else bytes.setInt32(i * 4, value, true);
  }
  return bytes.buffer as ArrayBuffer;
}

function describe(x: unknown): string {
  return x === undefined
    ? "nothing"
    : x === null
      ? "null"
      : typeof x === "object"
        ? `a ${x.constructor.name}`
        : `a ${typeof x}`;
}
