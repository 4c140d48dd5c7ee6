/**
 * The pipelines of a device, by their code: kernels and decoders that come to the same WGSL share one, also while it is
 * being compiled.
 *
 * A pipeline is kept as long as a variant of some kernel uses it (variants.ts), and what a kernel gives up for want of
 * room is forgotten. When whole kernels are gone, as with a decoder, the last of theirs are kept for the next that
 * comes to the same.
 */
import type { Generated } from "../../compiler/index.ts";
import type { Device } from "../device/device.ts";
import type { Memory } from "../device/failures.ts";
import { guarded, watched } from "../device/scopes.ts";

/** One code and what it was compiled to. Its bindings follow from its text. */
export interface Shader {
  readonly label: string;
  readonly generated: Generated;
  pipeline: GPUComputePipeline | undefined;
  /** The compilation under way. */
  making: Promise<void> | undefined;
  /** Variants that use it. */
  users: number;
}

/**
 * What is kept without a user: variants of one kernel that no plan holds, and shaders of a device whose kernels are
 * gone.
 */
export const MOST_IDLE = 64;

const caches: WeakMap<Device, Pipelines> = new WeakMap();

export class Pipelines {
  readonly #byCode: Map<string, Shader> = new Map();
  /** Those without a user, from the first to the last that lost it. */
  readonly #idle: Set<Shader> = new Set();

  static of(device: Device): Pipelines {
    let found = caches.get(device);
    if (found === undefined) {
      found = new Pipelines();
      caches.set(device, found);
    }
    return found;
  }

  /** Codes that are kept. */
  get size(): number {
    return this.#byCode.size;
  }

  /** The shader of a code, for one user more. */
  take(label: string, generated: Generated): Shader {
    let shader = this.#byCode.get(generated.wgsl);
    if (shader === undefined) {
      shader = { label, generated, pipeline: undefined, making: undefined, users: 0 };
      this.#byCode.set(generated.wgsl, shader);
    }
    this.#idle.delete(shader);
    shader.users++;
    return shader;
  }

  /** One user less. Without any it is forgotten. */
  drop(shader: Shader): void {
    shader.users--;
    if (shader.users === 0) this.#byCode.delete(shader.generated.wgsl);
  }

  /** One user less. Without any it is kept until others take its place. */
  leave(shader: Shader): void {
    shader.users--;
    if (shader.users > 0) return;
    this.#idle.add(shader);
    for (const oldest of this.#idle) {
      if (this.#idle.size <= MOST_IDLE) return;
      this.#idle.delete(oldest);
      this.#byCode.delete(oldest.generated.wgsl);
    }
  }
}

/**
 * Compiles now, blocking; what was compiled already costs nothing. Reads of the memory that is `written` hear of a
 * failure.
 */
export function compileNow(device: Device, shader: Shader, written: () => Iterable<Memory>): GPUComputePipeline {
  const make = (): GPUComputePipeline => {
    device.pipelines++;
    return device.raw.createComputePipeline(descriptor(device, shader));
  };
  // What failed is not kept: the next call tries again.
  const failed = (): void => {
    shader.pipeline = undefined;
  };
  shader.pipeline ??= watched(device, shader.label, make, { touched: written, failed });
  return shader.pipeline;
}

/**
 * Compiles without blocking (`inTurn`: blocking, in this thread). Who asks while it is under way waits for the same
 * compilation.
 */
export async function compile(device: Device, shader: Shader, inTurn: boolean): Promise<void> {
  if (shader.pipeline !== undefined) return;
  shader.making ??= guarded(device, shader.label, () => {
    device.pipelines++;
    const how = descriptor(device, shader);
    return inTurn ? device.raw.createComputePipeline(how) : device.raw.createComputePipelineAsync(how);
  }).then(
    (pipeline) => {
      shader.pipeline ??= pipeline;
      shader.making = undefined;
    },
    (error: unknown) => {
      shader.making = undefined;
      throw error;
    },
  );
  await shader.making;
}

/** The layout is given, not derived: a derived one leaves out parameters that the kernel turned out not to read. */
function descriptor({ raw }: Device, { label, generated }: Shader): GPUComputePipelineDescriptor {
  const { buffers, uniforms } = generated.lanes;
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
    label,
    bindGroupLayouts: [raw.createBindGroupLayout({ label, entries })],
  });
  const module = raw.createShaderModule({ label, code: generated.wgsl });
  return { label, layout, compute: { module, entryPoint: "main" } };
}

const COMPUTE = 0x4;
