/**
 * Loaded kernels: from a typed call to a dispatch.
 *
 * A kernel is specialised to the shapes and formats of the tensors it is called with (arguments.ts); each such variant is generated and compiled once and kept
 * (variants.ts).
 */

import {
  type Binding,
  type Generated,
  generate,
  type Knobs,
  type Statics,
  type StaticValue,
  type Target,
  type TileProgram,
} from "../../compiler/index.ts";
import type { DType, RunTime, Tensor } from "../../dsl/index.ts";
import { UserError } from "../common/errors.ts";
import type { Device } from "../device/device.ts";
import type { DeviceTensor } from "../memory/tensor.ts";
import { tunedKnobs } from "../tuning/tuned.ts";
import { type Bound, Parameters } from "./arguments.ts";
import { type Variant, Variants } from "./variants.ts";

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

/** A call that was checked and is ready to be encoded. */
export interface Dispatch extends Pick<Bound, "tensors" | "uniforms"> {
  readonly variant: Variant;
}

export class Kernel {
  readonly name: string;
  readonly program: TileProgram;
  readonly variants: Variants;
  readonly #device: Device;
  readonly #target: Target;
  readonly #knobs: Knobs | undefined;
  readonly #parameters: Parameters;

  /** Without knobs, those that tuning found are used, if it found any. */
  constructor(device: Device, program: TileProgram, target: Target, knobs?: Knobs) {
    this.name = program.name;
    this.program = program;
    this.variants = new Variants(device);
    this.#device = device;
    this.#target = target;
    this.#knobs = knobs;
    this.#parameters = new Parameters(device, program, target);
  }

  /**
   * Checks the arguments of one call and finds (or generates) the variant for them.
   * @throws UserError naming kernel and parameter when an argument does not fit, or when the adapter binds fewer tensors than there are.
   */
  prepare(args: readonly unknown[]): Dispatch {
    const { binding, tensors, uniforms } = this.#parameters.bind(args);
    return { variant: this.variants.find(binding, () => this.#make(binding)), tensors, uniforms };
  }

  #make(binding: Binding): { readonly label: string; readonly generated: Generated } {
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
    return { label: `kernel ${this.name} (${shape.join(", ")})`, generated };
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
}
