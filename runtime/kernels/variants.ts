/**
 * The variants of a kernel: one for each binding of shapes, formats and places that it was called with, generated once.
 *
 * Those that plans hold stay as long as the plans do. Of the others only the last used are kept, so that a host loop
 * over ever new shapes does not take ever more memory.
 */
import type { Binding, Generated } from "../../compiler/index.ts";
import type { Device } from "../device/device.ts";
import type { Memory } from "../device/failures.ts";
import { compile, compileNow, MOST_IDLE, Pipelines, type Shader } from "./pipeline-cache.ts";

/** One kernel for one binding of shapes, formats and adapter. */
export class Variant {
  /** Name in messages: the kernel and its sizes. */
  readonly label: string;
  /** The shader and the stages before it. */
  readonly generated: Generated;
  /**
   * What its binding is found by.
   * @internal
   */
  readonly key: string;
  /**
   * The variants that it is one of.
   * @internal
   */
  readonly home: Variants;
  /**
   * What it uses of the device's pipelines.
   * @internal
   */
  use: Use | undefined;
  /**
   * Plans and recordings that hold it.
   * @internal
   */
  holders = 0;

  /**
   * Makes a variant that is not compiled yet.
   * @internal
   */
  constructor(home: Variants, key: string, label: string, generated: Generated) {
    this.home = home;
    this.key = key;
    this.label = label;
    this.generated = generated;
  }

  /** Set once it was compiled. */
  get pipeline(): GPUComputePipeline | undefined {
    return this.use?.shader.pipeline;
  }
}

/** One user of a shader. It knows nothing of kernels, so that it can outlive them. */
interface Use {
  readonly shader: Shader;
}

/**
 * Kernels are dropped without a word; what they used of the device's pipelines is given back when they are collected.
 */
const collected: FinalizationRegistry<{ readonly pipelines: Pipelines; readonly uses: ReadonlySet<Use> }> =
  new FinalizationRegistry(({ pipelines, uses }) => {
    for (const { shader } of uses) pipelines.leave(shader);
  });

export class Variants {
  /** From the least to the most recently used. */
  readonly #idle: Map<string, Variant> = new Map();
  readonly #held: Map<string, Variant> = new Map();
  readonly #pipelines: Pipelines;
  readonly #uses: Set<Use> = new Set();

  constructor(device: Device) {
    this.#pipelines = Pipelines.of(device);
    collected.register(this, { pipelines: this.#pipelines, uses: this.#uses });
  }

  /** Variants that are kept, those that plans hold included. */
  get size(): number {
    return this.#idle.size + this.#held.size;
  }

  /** The variant for a binding; `make` generates it where there is none yet. */
  find(binding: Binding, make: () => { readonly label: string; readonly generated: Generated }): Variant {
    const key = JSON.stringify(binding);
    const held = this.#held.get(key);
    if (held !== undefined) return held;
    let found = this.#idle.get(key);
    if (found === undefined) {
      const { label, generated } = make();
      found = new Variant(this, key, label, generated);
    } else this.#idle.delete(key);
    this.#idle.set(key, found);
    this.#trim();
    return found;
  }

  /** Keeps a variant until as many calls of `release`. */
  hold(variant: Variant): void {
    variant.holders++;
    if (variant.holders > 1) return;
    const { key } = variant;
    if (this.#idle.get(key) === variant) this.#idle.delete(key);
    // It may have been given up since it was found, and made anew for somebody else.
    if (!this.#held.has(key)) this.#held.set(key, variant);
  }

  release(variant: Variant): void {
    variant.holders--;
    if (variant.holders > 0) return;
    const { key } = variant;
    const known = this.#held.get(key) === variant;
    if (known) this.#held.delete(key);
    if (!known || this.#idle.has(key)) return this.#forget(variant);
    this.#idle.set(key, variant);
    this.#trim();
  }

  /** The shader of a variant, taken from the device when it is first asked for. */
  shaderOf(variant: Variant): Shader {
    if (variant.use === undefined) {
      variant.use = { shader: this.#pipelines.take(variant.label, variant.generated) };
      this.#uses.add(variant.use);
    }
    return variant.use.shader;
  }

  #trim(): void {
    for (const [key, variant] of this.#idle) {
      if (this.#idle.size <= MOST_IDLE) return;
      this.#idle.delete(key);
      this.#forget(variant);
    }
  }

  #forget(variant: Variant): void {
    const { use } = variant;
    if (use === undefined) return;
    variant.use = undefined;
    this.#uses.delete(use);
    this.#pipelines.drop(use.shader);
  }
}

/**
 * Compiles the variant now, blocking; for calls outside a plan. Reads of the memory that is `written` hear of a
 * failure.
 */
export function compileHere(device: Device, variant: Variant, written: () => Iterable<Memory>): GPUComputePipeline {
  return compileNow(device, variant.home.shaderOf(variant), written);
}

/**
 * Compiles variants side by side; those that are compiled already cost nothing.
 *
 * An adapter that compiles in the caller's thread (SwiftShader) leaves a kernel's constants in that thread's heap. The
 * main thread's mostly lies below 4 GiB, where addresses are short: code that a worker compiled took up to 7 % longer.
 * And while workers compile, waiting for them takes a core. So there kernels are compiled here, one after the other.
 */
export async function compileAll(device: Device, variants: Iterable<Variant>): Promise<void> {
  const inTurn = device.capabilities.traits.compilesInCaller;
  const shaders = new Set([...variants].map((v) => v.home.shaderOf(v)));
  if (inTurn) for (const s of shaders) await compile(device, s, true);
  else await Promise.all([...shaders].map((s) => compile(device, s, false)));
}
