/**
 * A WebGPU device with what WebGPU leaves to its user: which features and limits to ask for, a count of the bytes that live on it, errors that nobody
 * caught, a pool of read-back buffers, and an end after which the process can exit by itself.
 */
import { type Capabilities, describeAdapter } from "./adapter.ts";
import { type Dawn, type DawnRequest, type Origin, openDawn } from "./dawn.ts";
import { onServer } from "./env.ts";
import { UserError } from "./errors.ts";
import { failureOf } from "./scopes.ts";
import { Pace } from "./wait.ts";

/** What to open: an adapter by name, or a device that exists already (as in a browser). */
export interface DeviceRequest extends DawnRequest {
  readonly device?: GPUDevice | undefined;
}

const FEATURES: readonly string[] = [
  "shader-f16",
  "subgroups",
  "subgroup-size-control",
  "timestamp-query",
  "chromium-experimental-subgroup-matrix",
];
/** Limits taken as high as the adapter has them. Alignments stay at their defaults, so that an offset that works here works everywhere. */
const LIMITS = [
  "maxStorageBufferBindingSize",
  "maxBufferSize",
  "maxStorageBuffersPerShaderStage",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupSizeY",
  "maxComputeWorkgroupSizeZ",
  "maxComputeWorkgroupsPerDimension",
  "maxStorageTexturesPerShaderStage",
  "maxTextureDimension2D",
] as const;
const STAGING_USAGE = 1 | 8; // MAP_READ | COPY_DST
/** Larger read-back buffers are not kept: they are for whole tensors, not for every step. */
const STAGING_KEPT_BYTES: number = 16 << 20;

/**
 * Opens a device, or wraps the one given.
 * @throws UserError when there is no such adapter or it makes no device.
 */
export async function openDevice(request: DeviceRequest = {}): Promise<Device> {
  if (request.device !== undefined) return new Device(request.device, "given", []);
  const dawn = await openDawn(request);
  return new Device(await requestDevice(dawn), dawn.origin, dawn.notes, dawn);
}

async function requestDevice({ adapter }: Dawn): Promise<GPUDevice> {
  const requiredLimits: Record<string, number> = {};
  for (const limit of LIMITS) requiredLimits[limit] = adapter.limits[limit];
  try {
    return await adapter.requestDevice({
      label: "tilestate",
      requiredFeatures: FEATURES.filter((name) => adapter.features.has(name)) as GPUFeatureName[],
      requiredLimits,
    });
  } catch (cause) {
    const { device, description } = adapter.info;
    throw new UserError(`the adapter ${device || description} makes no device: ${(cause as Error).message}`, { cause });
  }
}

/** An open device. Made by `openDevice`. */
export class Device {
  readonly raw: GPUDevice;
  readonly capabilities: Capabilities;
  readonly origin: Origin;
  /** Sentences for the user about the choice of adapter. */
  readonly notes: readonly string[];
  /** Resolves with the reason when the device is lost, and with "closed" when it is closed. */
  readonly lost: Promise<string>;
  /** True where waiting must not be left to the event loop (see wait.ts). */
  readonly paced: boolean;
  /** Bytes of all live tensors, padding included. */
  allocated = 0;
  /** Compute pipelines made so far. */
  pipelines = 0;

  readonly #dawn: Dawn | undefined;
  readonly #paces = new Map<string, Pace>();
  readonly #staging = new Map<number, GPUBuffer[]>();
  readonly #pending = new Set<Promise<unknown>>();
  readonly #onError: (event: GPUUncapturedErrorEvent) => void;
  #failures: Error[] = [];
  #loss: string | undefined;
  #closed = false;

  constructor(raw: GPUDevice, origin: Origin, notes: readonly string[], dawn?: Dawn) {
    this.raw = raw;
    this.origin = origin;
    this.notes = notes;
    this.#dawn = dawn;
    this.capabilities = describeAdapter({ info: raw.adapterInfo, features: raw.features, limits: raw.limits });
    this.paced = origin === "native" ? false : origin === "given" ? onServer() && !isNative(raw) : true;
    this.#onError = (event) => {
      // Dawn prints what nobody prevents; here it becomes an exception instead.
      event.preventDefault();
      this.#failures.push(failureOf("GPU error outside any guard", event.error));
    };
    raw.addEventListener("uncapturederror", this.#onError);
    this.lost = raw.lost.then(({ reason, message }) => {
      if (this.#closed) return "closed";
      this.#loss = `${reason === "destroyed" ? "it was destroyed" : "unknown reason"}${message ? ` (${message})` : ""}`;
      return this.#loss;
    });
  }

  /** False once the device was closed or lost. */
  get isOpen(): boolean {
    return !this.#closed && this.#loss === undefined;
  }

  /** @throws UserError after `close`, Error with the reason after a loss. */
  assertOpen(): void {
    if (this.#closed) throw new UserError("the device was closed");
    if (this.#loss !== undefined) throw new Error(`the GPU device was lost: ${this.#loss}`);
  }

  /** Takes over the outcome of an error scope: an error that it resolves to is thrown by the next wait. */
  adopt(verdict: Promise<Error | undefined>): void {
    const heard = verdict.then((failure) => {
      if (failure !== undefined) this.#failures.push(failure);
      this.#pending.delete(heard);
    });
    this.#pending.add(heard);
  }

  /** Waits for adopted outcomes and throws what has been reported since the last time. */
  async drain(): Promise<void> {
    while (this.#pending.size > 0) await Promise.all(this.#pending);
    const [first, ...more] = this.#failures;
    this.#failures = [];
    // The first failure explains those that follow from it, a loss included.
    if (first !== undefined) {
      if (more.length > 0) first.message += `\n(and ${more.length} more, the next: ${more[0]?.message})`;
      throw first;
    }
    this.assertOpen();
  }

  /** The memory of how long work of this kind takes. */
  pace(key: string): Pace {
    let pace = this.#paces.get(key);
    if (pace === undefined) {
      pace = new Pace();
      this.#paces.set(key, pace);
    }
    return pace;
  }

  /** A MAP_READ buffer of at least `bytes` from the pool. Give it back with `returnStaging`. */
  takeStaging(bytes: number): GPUBuffer {
    this.assertOpen();
    const size = 2 ** Math.ceil(Math.log2(Math.max(bytes, 256)));
    const free = this.#staging.get(size)?.pop();
    return (
      free ??
      this.raw.createBuffer({
        label: `read-back of ${bytes} bytes`,
        size: this.#fit(size, bytes),
        usage: STAGING_USAGE,
      })
    );
  }

  /** Gives back a buffer of `takeStaging`, unmapped. */
  returnStaging(buffer: GPUBuffer): void {
    if (this.#closed || buffer.size > STAGING_KEPT_BYTES || buffer.mapState !== "unmapped") {
      buffer.destroy();
      return;
    }
    const free = this.#staging.get(buffer.size);
    if (free === undefined) this.#staging.set(buffer.size, [buffer]);
    else free.push(buffer);
  }

  /** Destroys the device and everything on it; afterwards the process can exit by itself. A given device is only let go. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const buffers of this.#staging.values()) for (const buffer of buffers) buffer.destroy();
    this.#staging.clear();
    if (this.origin !== "given") {
      this.raw.destroy();
      await this.raw.lost;
    }
    this.raw.removeEventListener("uncapturederror", this.#onError);
    await Promise.all(this.#pending);
    this.#failures = [];
    this.allocated = 0;
    this.#dawn?.release();
  }

  /** Powers of two waste little when small; near the buffer limit the exact size is asked for. */
  #fit(size: number, bytes: number): number {
    return size > STAGING_KEPT_BYTES ? Math.ceil(bytes / 4) * 4 : size;
  }
}

/** True for a device of the platform's own WebGPU, which needs no help with waiting. */
function isNative(raw: GPUDevice): boolean {
  const native = (globalThis as { GPUDevice?: typeof GPUDevice }).GPUDevice;
  return typeof native === "function" && raw instanceof native;
}
