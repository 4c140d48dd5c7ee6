/**
 * The runtime's front door: a GPU with tensors, kernels and plans.
 *
 *     const gpu = await open();
 *     const { scale } = await gpu.kernels(import.meta, { scale });
 *     scale(x, 2, y);                                   // runs now
 *     const plan = await gpu.record("step", () => { scale(x, 2, y); … });
 *     plan.run(8);                                      // eight times, nothing created
 */
import {
  BundleError,
  isBundle,
  type KernelBundle,
  type KernelModule,
  loadPrograms,
  programsOf,
  type Statics,
  type Target,
  type TileProgram,
} from "../compiler/index.ts";
import type { Capabilities } from "./adapters/capabilities.ts";
import { targetOf } from "./adapters/target.ts";
import { awaitHint, describe } from "./common/describe.ts";
import { UserError } from "./common/errors.ts";
import { type Device, type DeviceRequest, openDevice } from "./device/device.ts";
import { submitted } from "./device/scopes.ts";
import { settle } from "./device/wait.ts";
import { bindGroupOf, writtenBy } from "./kernels/bind-groups.ts";
import { type FindKnobs, Kernel } from "./kernels/kernel.ts";
import { type Launch, type Loadable, staticsOf } from "./kernels/launch.ts";
import { compileHere } from "./kernels/variants.ts";
import { createTensor, createTensors, type TensorSpec } from "./memory/create.ts";
import type { DType } from "./memory/dtype.ts";
import type { ShapeLike, TensorOptions } from "./memory/layout.ts";
import { readMany, type TensorValues } from "./memory/read.ts";
import { DeviceTensor } from "./memory/tensor.ts";
import { Plan } from "./plans/plan.ts";
import { Recording, recording, Strays } from "./plans/recording.ts";
import { tunedFor } from "./tuning/tuned.ts";

/**
 * Opens an adapter by name (or the best one there is), or wraps a device that exists already.
 * @param request which adapter, how to wait, or a device that exists already
 * @throws UserError where there is no such adapter, or it makes no device
 */
export async function open(request: DeviceRequest = {}): Promise<Gpu> {
  return new Gpu(await openDevice(request));
}

async function programsFrom(
  from: KernelModule | KernelBundle,
  names: readonly string[],
  statics: Statics,
): Promise<ReadonlyMap<string, TileProgram>> {
  try {
    return isBundle(from) ? programsOf(from, names, statics) : (await loadPrograms(from, names, statics)).programs;
  } catch (cause) {
    if (!(cause instanceof BundleError)) throw cause;
    throw new UserError(cause.message, { hint: cause.hint, cause });
  }
}

/** A GPU with tensors, kernels and plans. Made by `open`. */
export class Gpu {
  /** The device behind it. */
  readonly device: Device;
  /** What kernels are compiled for. */
  readonly target: Target;
  readonly #strays: Strays = new Strays();
  readonly #tuned: FindKnobs;

  /**
   * Wraps an open device.
   * @param device made by `openDevice`
   */
  constructor(device: Device) {
    this.device = device;
    this.target = targetOf(device.capabilities);
    this.#tuned = tunedFor(device.capabilities);
  }

  /** What the adapter can do. */
  get capabilities(): Capabilities {
    return this.device.capabilities;
  }

  /**
   * A tensor of zeros, or of `options.data`.
   * @param shape extents in order, as [rows, k], or by name
   * @param dtype storage format of the elements
   * @param options its label, data and place
   * @throws UserError for a shape, a dtype or options that are none, and for what the device or kernels cannot hold
   */
  tensor(shape: ShapeLike, dtype: DType = "f32", options: TensorOptions = {}): DeviceTensor {
    return createTensor(this.device, shape, dtype, options);
  }

  /**
   * Tensors that share GPU memory, by name: `gpu.tensors({ k: { shape: [8, 64] }, at: { shape: [8], dtype: "u32" }
   * })`. A kernel with more tensors than the adapter binds can bind those as one (browsers promise 8 bindings); apart
   * from that they are like others.
   * @param specs shape, dtype and options of each
   * @throws UserError as `tensor` does; then nothing stays allocated
   */
  tensors<K extends string>(specs: Readonly<Record<K, TensorSpec>>): Record<K, DeviceTensor> {
    return createTensors(this.device, specs);
  }

  /**
   * Loads kernels by name: those of the calling module, for which `import.meta` is passed, or those of a bundle that
   * `tilestate kernels build` made. A key with `specialise(kernel, { … })` is that kernel with its compile-time
   * parameters given.
   * @param from the module or the bundle
   * @param functions the kernels; the names of the keys are those in the source
   * @throws KernelError with located diagnostics
   * @throws UserError when there is neither a source nor a bundle to take a kernel from
   */
  async kernels<T extends Record<string, Loadable>>(
    from: KernelModule | KernelBundle,
    functions: T,
  ): Promise<{ [K in keyof T]: Launch<T[K]> }> {
    checkKernels(from, functions);
    const names = Object.keys(functions);
    const programs = await programsFrom(from, names, staticsOf(functions));
    const launches = names.map((name) => {
      const program = programs.get(name);
      if (program === undefined) throw new Error(`the compiler returned no program for "${name}"`);
      const kernel = new Kernel(this.device, program, this.target, this.#tuned);
      return [name, (...args: unknown[]): void => this.#launch(kernel, args)] as const;
    });
    return Object.fromEntries(launches) as { [K in keyof T]: Launch<T[K]> };
  }

  #launch(kernel: Kernel, args: readonly unknown[]): void {
    this.device.assertOpen();
    const recorder = recording();
    if (recorder !== undefined) return recorder.add(this, kernel.name, () => kernel.prepare(args));
    this.#strays.assertNone(kernel.name);
    const dispatch = kernel.prepare(args);
    const written = writtenBy(dispatch);
    const pipeline = compileHere(this.device, dispatch.variant, () => written);
    submitted(this.device, dispatch.variant.label, written, () => {
      const { group, uniforms } = bindGroupOf(this.device, dispatch);
      const encoder = this.device.raw.createCommandEncoder({ label: kernel.name });
      const pass = encoder.beginComputePass();
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, group);
      pass.dispatchWorkgroups(...dispatch.variant.generated.lanes.workgroups);
      pass.end();
      this.device.raw.queue.submit([encoder.finish()]);
      // WebGPU keeps the buffer alive until the work is done.
      uniforms?.destroy();
    });
  }

  /**
   * Records the kernel calls that a function makes as a plan.
   * @param label name of the plan in messages
   * @param fn makes the calls; it is called once and must not await
   * @throws UserError when `fn` is async or returns a promise (nothing is recorded then, and no kernel runs), inside
   * of another recording, and for what kernel calls throw
   */
  record(label: string, fn: () => void): Promise<Plan> {
    const inside = recording() !== undefined;
    const made = this.#record(label, fn);
    // The recording around it hears of the refusal, too, and nobody can wait for this one there.
    if (inside) made.catch(() => {});
    return made;
  }

  async #record(label: string, fn: () => void): Promise<Plan> {
    this.device.assertOpen();
    let recorded: Recording;
    try {
      recorded = Recording.of(this, label, fn, this.#strays);
    } catch (error) {
      await this.#strays.pass();
      throw error;
    }
    try {
      return await Plan.make(this.device, label, recorded.parts);
    } finally {
      recorded.release();
    }
  }

  /**
   * Inside of `record`: makes what a function calls a part of the plan that is repeated as often as `Plan.run` says.
   * Parts do not nest.
   * @param fn makes the calls; it is called once and must not await
   * @throws UserError outside of a recording, inside of another part, and when `fn` is async or returns a promise
   */
  repeat(fn: () => void): void {
    const recorder = recording();
    if (recorder === undefined) throw new UserError("a part to repeat outside of a recording");
    recorder.repeat(this, fn, this.#strays);
  }

  /**
   * Reads several tensors in one round trip, in their order; formats narrower than f32 come decoded.
   * @param tensors what is read
   * @throws what went wrong with these tensors, and with work that writes them, since they were last read; nobody
   * else's failure
   */
  async read(tensors: readonly DeviceTensor[]): Promise<TensorValues[]> {
    checkTensors(tensors);
    return readMany(this.device, tensors);
  }

  /**
   * Waits until submitted work is done, without spinning a core.
   * @param work name of the kind of work; work of different lengths waits best under different names
   * @throws what went wrong and nobody has heard of yet. What a decoder does is not among it: whoever reads its text
   * hears of that
   */
  async wait(work?: string): Promise<void> {
    await settle(this.device, work);
  }

  /** Destroys the device and everything on it; a device that was given is only let go. */
  async close(): Promise<void> {
    await this.device.close();
  }
}

/** @throws UserError naming the first that is no tensor. */
function checkTensors(given: unknown): asserts given is readonly DeviceTensor[] {
  if (!Array.isArray(given)) throw new UserError(`read: expected a list of tensors, got ${describe(given)}`);
  const wrong = given.findIndex((t) => !(t instanceof DeviceTensor));
  if (wrong >= 0)
    throw new UserError(
      `read: expected tensors, got ${describe(given[wrong])} (number ${wrong + 1})`,
      awaitHint(given[wrong]),
    );
}

/** @throws UserError when there is nothing to load from, or what is to be loaded are no kernels. */
function checkKernels(from: unknown, functions: unknown): void {
  const place = typeof from === "object" && from !== null ? (from as { readonly url?: unknown }) : undefined;
  if (place === undefined || !(isBundle(place) || typeof place.url === "string"))
    throw new UserError(`kernels: expected import.meta or a bundle, got ${describe(from)}`, awaitHint(from));
  if (typeof functions !== "object" || functions === null || Array.isArray(functions))
    throw new UserError(`kernels: expected { name: kernel }, got ${describe(functions)}`);
  for (const [name, f] of Object.entries(functions as Readonly<Record<string, unknown>>)) {
    const kernel = typeof f === "object" && f !== null ? (f as { readonly kernel?: unknown }).kernel : f;
    if (typeof kernel !== "function")
      throw new UserError(`kernels: "${name}" expected a kernel function, got ${describe(f)}`);
  }
}
