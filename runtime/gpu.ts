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
  loadPrograms,
  programsOf,
  type Target,
  type TileProgram,
} from "../compiler/index.ts";
import type { Capabilities } from "./adapter.ts";
import { type Device, type DeviceRequest, openDevice } from "./device.ts";
import type { DType } from "./dtype.ts";
import { UserError } from "./errors.ts";
import { bindGroupOf, type Dispatch, Kernel, type Launch } from "./kernels.ts";
import { Plan } from "./plan.ts";
import {
  createTensor,
  type DeviceTensor,
  readMany,
  type ShapeLike,
  type TensorOptions,
  type TensorValues,
} from "./tensor.ts";
import { settle } from "./wait.ts";

/** Opens an adapter by name (or the best one there is), or wraps a device that exists already. */
export async function open(request: DeviceRequest = {}): Promise<Gpu> {
  return new Gpu(await openDevice(request));
}

/** What code generation needs to know of an adapter. */
export function targetOf(c: Capabilities): Target {
  const order = ["L0", "L1", "L2", "L3", "L4"];
  const rung = order.indexOf(c.rung);
  const { subgroups } = c;
  const fixed = rung >= 1 && subgroups !== undefined && subgroups.min === subgroups.max;
  const pinned = !fixed && rung >= 3 && subgroups !== undefined;
  return {
    profile: c.profile,
    subgroup: fixed ? subgroups.min : pinned ? Math.min(32, subgroups.max) : 0,
    pinned,
    maxInvocations: c.limits.workgroupInvocations,
    storageBuffers: c.limits.storageBuffers,
    workgroupBytes: c.limits.workgroupBytes,
    ...(rung >= 4 ? { matrix: c.subgroupMatrix } : {}),
  };
}

async function programsFrom(
  from: { readonly url: string } | KernelBundle,
  names: readonly string[],
): Promise<ReadonlyMap<string, TileProgram>> {
  try {
    return isBundle(from) ? programsOf(from, names) : (await loadPrograms(from.url, names)).programs;
  } catch (cause) {
    if (!(cause instanceof BundleError)) throw cause;
    throw new UserError(cause.message, { hint: cause.hint, cause });
  }
}

export class Gpu {
  readonly device: Device;
  readonly target: Target;
  #recording: Dispatch[] | undefined;

  constructor(device: Device) {
    this.device = device;
    this.target = targetOf(device.capabilities);
  }

  get capabilities(): Capabilities {
    return this.device.capabilities;
  }

  /** A tensor of zeros, or of `options.data`. */
  tensor(shape: ShapeLike, dtype: DType = "f32", options: TensorOptions = {}): DeviceTensor {
    return createTensor(this.device, shape, dtype, options);
  }

  /**
   * Loads kernels by name: those of the calling module, for which `import.meta` is passed, or those of a bundle that `tilestate kernels build` made.
   * Throws KernelError with located diagnostics, and UserError when there is neither a source nor a bundle to take a kernel from.
   */
  async kernels<T extends Record<string, (...args: never[]) => void>>(
    from: { readonly url: string } | KernelBundle,
    functions: T,
  ): Promise<{ [K in keyof T]: Launch<T[K]> }> {
    const names = Object.keys(functions);
    const programs = await programsFrom(from, names);
    const launches = names.map((name) => {
      const program = programs.get(name);
      if (program === undefined) throw new Error(`the compiler returned no program for "${name}"`);
      const kernel = new Kernel(this.device, program, this.target);
      return [name, (...args: unknown[]): void => this.#launch(kernel, args)] as const;
    });
    return Object.fromEntries(launches) as { [K in keyof T]: Launch<T[K]> };
  }

  #launch(kernel: Kernel, args: readonly unknown[]): void {
    this.device.assertOpen();
    const dispatch = kernel.prepare(args);
    if (this.#recording !== undefined) {
      this.#recording.push(dispatch);
      return;
    }
    const pipeline = kernel.compileNow(dispatch.variant);
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
  }

  /** Records the kernel calls that `fn` makes (it must not await) as a plan. */
  async record(label: string, fn: () => void): Promise<Plan> {
    if (this.#recording !== undefined) throw new Error("a recording inside a recording");
    const dispatches: Dispatch[] = [];
    this.#recording = dispatches;
    try {
      fn();
    } finally {
      this.#recording = undefined;
    }
    return Plan.make(this.device, label, dispatches);
  }

  /** Several tensors in one round trip. */
  async read(tensors: readonly DeviceTensor[]): Promise<TensorValues[]> {
    return readMany(this.device, tensors);
  }

  /** Waits until submitted work is done, without spinning a core; throws what went wrong. */
  async wait(): Promise<void> {
    await settle(this.device);
  }

  async close(): Promise<void> {
    await this.device.close();
  }
}
