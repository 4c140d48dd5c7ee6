/**
 * What a kernel is called with, checked before anything is done with it. A mistake is told in the words of the kernel,
 * naming the parameter, what it expects and what it got, and not in those of WebGPU at some later wait.
 */

import {
  type Binding,
  type Packing,
  planPacking,
  type ScalarParam,
  type Target,
  type TensorParam,
  type TileProgram,
} from "../../compiler/index.ts";
import { isNarrow } from "../../compiler/ir/formats.ts";
import { awaitHint, describe } from "../common/describe.ts";
import { UserError } from "../common/errors.ts";
import type { Device } from "../device/device.ts";
import { DeviceTensor } from "../memory/tensor.ts";

/** A number that a kernel gets as it is. */
export interface Uniform {
  /** What kind of number it is. */
  readonly dtype: "u32" | "i32" | "f32";
  /** The number. */
  readonly value: number;
}

/** Arguments that fit. */
export interface Bound {
  /** Shapes, formats and places, by which the variant is found. */
  readonly binding: Binding;
  /** Tensors by the name of their parameter, in its order. */
  readonly tensors: ReadonlyMap<string, DeviceTensor>;
  /** Numbers of the call, in the order of the parameters. */
  readonly uniforms: readonly Uniform[];
}

/** What a call has told so far. */
interface Draft {
  readonly sizes: Record<string, number>;
  /** Dim -> the parameter that its size comes from. */
  readonly from: Record<string, string>;
  readonly storage: Record<string, DeviceTensor["dtype"]>;
  readonly panels: Record<string, number>;
  readonly pitches: Record<string, number>;
  readonly tensors: Map<string, DeviceTensor>;
  readonly cells: string[];
  readonly uniforms: Uniform[];
}

/** The parameters of a kernel on a device. */
export class Parameters {
  readonly #device: Device;
  readonly #program: TileProgram;
  readonly #target: Target;
  readonly #written: ReadonlySet<string>;
  readonly #atomic: ReadonlySet<string>;

  constructor(device: Device, program: TileProgram, target: Target) {
    this.#device = device;
    this.#program = program;
    this.#target = target;
    const those = (which: (p: TensorParam) => boolean): ReadonlySet<string> =>
      new Set(program.params.flatMap((p) => (p.kind === "tensor" && which(p) ? [p.name] : [])));
    this.#written = those((p) => p.writes);
    this.#atomic = those((p) => p.atomic === true);
  }

  /** @throws UserError naming kernel and parameter when an argument does not fit. */
  bind(args: readonly unknown[]): Bound {
    const { name, params } = this.#program;
    if (args.length !== params.length) {
      throw new UserError(
        `kernel ${name}: expected ${params.length} arguments (${params.map((p) => p.name).join(", ")}), got ${args.length}`,
      );
    }
    const draft: Draft = {
      sizes: {},
      from: {},
      storage: {},
      panels: {},
      pitches: {},
      tensors: new Map(),
      cells: [],
      uniforms: [],
    };
    for (const [i, p] of params.entries()) {
      if (p.kind === "scalar") this.#scalar(p, args[i], draft);
      else this.#tensor(p, args[i], draft);
    }
    const { sizes, storage, cells, panels, pitches, tensors, uniforms } = draft;
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
    return { binding, tensors, uniforms };
  }

  #scalar(p: ScalarParam, given: unknown, draft: Draft): void {
    if (typeof given === "number") {
      const expected = numberProblem(p.dtype, given);
      if (expected !== undefined) throw this.#wrong(p.name, expected, given);
      draft.uniforms.push({ dtype: p.dtype, value: given });
      return;
    }
    if (!(given instanceof DeviceTensor)) throw this.#wrong(p.name, `a number or a tensor of one ${p.dtype}`, given);
    this.#checkPlace(p.name, given);
    if (given.length !== 1 || given.dtype !== p.dtype)
      throw this.#unfit(p.name, `one ${p.dtype}`, `${given.dtype} [${given.shape.join(", ")}] ("${given.label}")`);
    if (given.pitch !== undefined) draft.pitches[p.name] = given.pitch;
    draft.cells.push(p.name);
    draft.tensors.set(p.name, given);
  }

  #tensor(p: TensorParam, given: unknown, draft: Draft): void {
    if (!(given instanceof DeviceTensor)) throw this.#wrong(p.name, `a tensor "${p.dims.join(" ")}"`, given);
    this.#checkPlace(p.name, given);
    this.#checkShape(p, given, draft);
    draft.storage[p.name] = given.dtype;
    if (given.panel > 1) {
      if (p.writes) throw this.#unfit(p.name, "a tensor it can write", `one in panels ("${given.label}")`);
      draft.panels[p.name] = given.panel;
    }
    if (given.pitch !== undefined) {
      if (p.writes) throw this.#unfit(p.name, "a tensor it can write", `one in a texture ("${given.label}")`);
      draft.pitches[p.name] = given.pitch;
    }
    draft.tensors.set(p.name, given);
  }

  /** It is there, and here. */
  #checkPlace(param: string, t: DeviceTensor): void {
    if (t.device.raw !== this.#device.raw) {
      const { name } = t.device.capabilities;
      throw this.#unfit(
        param,
        `a tensor of the device that the kernel was loaded on (${this.#device.capabilities.name})`,
        `one of another device (${name}, "${t.label}")`,
      );
    }
    if (!t.live) throw this.#unfit(param, "a tensor that lives", `one that was destroyed ("${t.label}")`);
  }

  #checkShape(p: TensorParam, t: DeviceTensor, { sizes, from }: Draft): void {
    if (t.shape.length !== p.dims.length) {
      throw this.#unfit(
        p.name,
        `${p.dims.length} dims ("${p.dims.join(" ")}")`,
        `${t.shape.length} dims [${t.shape.join(", ")}] ("${t.label}")`,
      );
    }
    if (!p.storage.includes(t.dtype)) throw this.#unfit(p.name, p.storage.join(" or "), `${t.dtype} ("${t.label}")`);
    for (const [i, dim] of p.dims.entries()) {
      const n = t.shape[i] ?? 0;
      const known = sizes[dim];
      if (known !== undefined && known !== n)
        throw this.#unfit(
          p.name,
          `${known} elements along "${dim}" (as in "${from[dim]}")`,
          `${n} ("${t.label}" is [${t.shape.join(", ")}])`,
        );
      sizes[dim] = n;
      from[dim] ??= p.name;
    }
  }

  /**
   * What one lane writes nobody else may read in the same dispatch, so tensors of a call overlap only where all are
   * read.
   */
  #checkAliases(tensors: ReadonlyMap<string, DeviceTensor>): void {
    const all = [...tensors];
    for (const [i, [p, a]] of all.entries()) {
      for (const [q, b] of all.slice(i + 1)) {
        if (a.memory !== b.memory || a.offset >= b.offset + b.bytes || b.offset >= a.offset + a.bytes) continue;
        if (!this.#written.has(p) && !this.#written.has(q)) continue;
        throw new UserError(
          `kernel ${this.#program.name}: "${p}" and "${q}" share memory (tensor "${a.label}"), and one of them is written`,
          {
            hint: "pass two tensors, or use one parameter for both reading and writing",
          },
        );
      }
    }
  }

  #packing(tensors: ReadonlyMap<string, DeviceTensor>): Packing | undefined {
    const buffers = [...tensors].filter(([, t]) => t.pitch === undefined);
    const places = buffers.map(([name, t]) => ({
      name,
      home: t.memory,
      offset: t.offset,
      bytes: t.bytes,
      writes: this.#written.has(name),
      // Elements of a word may be stored singly, by atomic operations.
      atomic: this.#atomic.has(name) || (this.#written.has(name) && isNarrow(t.dtype)),
    }));
    const bindingBytes = this.#target.bindingBytes ?? this.#device.capabilities.limits.bindingBytes;
    const long = places.find((p) => p.writes && p.bytes > bindingBytes);
    if (long !== undefined) {
      throw new UserError(
        `kernel ${this.#program.name}: "${long.name}" is written and has ${long.bytes} bytes, more than the ${bindingBytes} that this adapter binds at once`,
      );
    }
    return planPacking(places, { bindings: this.#target.storageBuffers, bindingBytes });
  }

  #wrong(param: string, expected: string, given: unknown): UserError {
    return this.#unfit(param, expected, describe(given), awaitHint(given));
  }

  #unfit(param: string, expected: string, got: string, options: { readonly hint?: string } = {}): UserError {
    return new UserError(
      `kernel ${this.#program.name}: parameter "${param}" expected ${expected}, got ${got}`,
      options,
    );
  }
}

const RANGES = { u32: [0, 2 ** 32 - 1], i32: [-(2 ** 31), 2 ** 31 - 1] } as const;
const LARGEST_F32 = 3.4028234663852886e38;

/**
 * What a parameter of this type would take instead of the number; undefined where it takes it. Of f32 that is any that
 * does not become an infinity.
 */
function numberProblem(dtype: Uniform["dtype"], value: number): string | undefined {
  if (dtype === "f32") {
    const overflows = Number.isFinite(value) && !Number.isFinite(Math.fround(value));
    return overflows ? `a number that f32 holds (up to ${LARGEST_F32})` : undefined;
  }
  const [low, high] = RANGES[dtype];
  return Number.isInteger(value) && value >= low && value <= high
    ? undefined
    : `a whole number from ${low} to ${high} (${dtype})`;
}
