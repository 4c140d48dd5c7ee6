/**
 * Loaded kernels: in go the arguments of a call, out comes a dispatch.
 *
 * A kernel is specialised to the shapes and formats of the tensors it is called with (arguments.ts); each such variant
 * is generated and compiled once and kept (variants.ts).
 */

import {
  type Binding,
  type Generated,
  generate,
  type Knobs,
  type Target,
  type TileProgram,
} from "../../compiler/index.ts";
import { UserError } from "../common/errors.ts";
import type { Device } from "../device/device.ts";
import { Parameters } from "./arguments.ts";
import type { Dispatch } from "./dispatch.ts";
import { Variants } from "./variants.ts";

/** Finds the knobs that tuning recorded for a kernel and a binding of it; undefined where it recorded none. */
export type FindKnobs = (program: TileProgram, binding: Binding) => Knobs | undefined;

/** A kernel that was loaded on a device. */
export class Kernel {
  /** The kernel's name. */
  readonly name: string;
  /** Its tile program, sizes still symbolic. */
  readonly program: TileProgram;
  /**
   * What was generated so far.
   * @internal
   */
  readonly variants: Variants;
  readonly #device: Device;
  readonly #target: Target;
  readonly #knobs: Knobs | FindKnobs;
  readonly #parameters: Parameters;

  /**
   * Makes a kernel callable on a device.
   * @param device where it runs
   * @param program its tile program
   * @param target what it is compiled for
   * @param knobs choices of its schedules, or who finds them for each binding
   */
  constructor(device: Device, program: TileProgram, target: Target, knobs: Knobs | FindKnobs = {}) {
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
   * @param args one for each parameter, in order
   * @throws UserError naming kernel and parameter when an argument does not fit, or when the adapter binds fewer
   * tensors than there are
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
    const knobs = this.#knobs;
    if (typeof knobs !== "function") return generate(this.program, binding, this.#target, knobs);
    const found = knobs(this.program, binding);
    try {
      return generate(this.program, binding, this.#target, found);
    } catch (error) {
      // Records may be older than the compiler: then its own choice counts.
      if (found === undefined) throw error;
      return generate(this.program, binding, this.#target);
    }
  }
}
