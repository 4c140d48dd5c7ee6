/**
 * A WebGPU device with what WebGPU leaves to its user: which features and limits to ask for, a count of the bytes that
 * live on it, who hears of its failures, a pool of read-back buffers, and an end after which the process can exit by
 * itself.
 */
import { type Capabilities, describeAdapter, isNullBackend } from "../adapters/capabilities.ts";
import { type Dawn, type DawnRequest, type Origin, openDawn } from "../adapters/dawn.ts";
import { subgroupProblem } from "../adapters/subgroups.ts";
import { targetOf } from "../adapters/target.ts";
import type { AdapterTraits } from "../adapters/traits.ts";
import { onServer } from "../common/env.ts";
import { UserError } from "../common/errors.ts";
import { Failures } from "./failures.ts";
import { Pace } from "./pace.ts";
import { failureOf } from "./scopes.ts";
import { turn, type Waiting } from "./sleep.ts";

/** What to open: an adapter by name, or a device that exists already (as in a browser). */
export interface DeviceRequest extends DawnRequest {
  /** A device that exists already; the adapter's name is not looked at then. */
  readonly device?: GPUDevice | undefined;
  /**
   * How the thread waits for the GPU. "block", the default, sleeps it for up to 4 ms between two looks: results come
   * soonest and cost the least. "yield" is for programs that serve others on the same event loop, which it never blocks
   * for more than a millisecond.
   */
  readonly waiting?: Waiting | undefined;
  /** Traits that count in place of the adapter's own: for tests, and for adapters that nobody has described yet. */
  readonly traits?: Partial<AdapterTraits> | undefined;
}

const FEATURES: readonly string[] = [
  "shader-f16",
  "subgroups",
  "subgroup-size-control",
  "timestamp-query",
  "chromium-experimental-subgroup-matrix",
];
/**
 * Limits taken as high as the adapter has them. Alignments stay at their defaults, so that an offset that works here
 * works everywhere.
 */
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
  const { waiting = "block", traits } = request;
  if (waiting !== "block" && waiting !== "yield")
    throw new UserError(`waiting must be "block" or "yield", got ${JSON.stringify(waiting)}`);
  const dawn = request.device === undefined ? await openDawn(request) : undefined;
  const raw = request.device ?? (await requestDevice(dawn as Dawn));
  const told = describeAdapter({ info: raw.adapterInfo, features: raw.features, limits: raw.limits }, traits);
  const { capabilities, notes } = await checked(raw, told);
  const all = [...(dawn?.notes ?? []), ...notes];
  return new Device(raw, dawn?.origin ?? "given", all, { dawn, waiting, capabilities });
}

/**
 * The capabilities of a device whose subgroups are what its adapter tells, where that is not known yet; on feature
 * level L0, with a note, where they are not.
 */
async function checked(
  raw: GPUDevice,
  told: Capabilities,
): Promise<{ readonly capabilities: Capabilities; readonly notes: readonly string[] }> {
  // The null backend writes nothing, so nothing can be seen there.
  if (told.traits.linearSubgroups || isNullBackend(raw.adapterInfo)) return { capabilities: told, notes: [] };
  const problem = await subgroupProblem(raw, targetOf(told));
  if (problem === undefined) return { capabilities: told, notes: [] };
  const note = `The subgroups of ${told.name} are not those that kernels are compiled for: ${problem}. Kernels run without them, on feature level L0.`;
  return { capabilities: { ...told, featureLevel: "L0" }, notes: [note] };
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

/** What a device is made with. */
export interface Making extends Pick<DeviceRequest, "waiting"> {
  /** What its adapter can do, as far as kernels may lean on it. */
  readonly capabilities: Capabilities;
  /** Dawn, where the device came from there; closed with it. */
  readonly dawn?: Dawn | undefined;
}

/** An open device. Made by `openDevice`. */
export class Device {
  /** WebGPU's own device. */
  readonly raw: GPUDevice;
  /** What its adapter can do. */
  readonly capabilities: Capabilities;
  /** Where it comes from. */
  readonly origin: Origin;
  /** Sentences for the user about the choice of adapter. */
  readonly notes: readonly string[];
  /** Resolves with the reason when the device is lost, and with "closed" when it is closed. */
  readonly lost: Promise<string>;
  /** True where waiting must not be left to the event loop (see wait.ts). */
  readonly paced: boolean;
  /** How the thread waits for the GPU. */
  readonly waiting: Waiting;
  /**
   * Who hears of what went wrong.
   * @internal
   */
  readonly failures: Failures = new Failures();
  /** Bytes of all live tensors, padding included. */
  allocated = 0;
  /** Compute pipelines made so far. */
  pipelines = 0;

  readonly #dawn: Dawn | undefined;
  readonly #paces = new Map<string, Pace>();
  readonly #staging = new Map<number, GPUBuffer[]>();
  /**
   * Promises of the device that somebody waits for: the process must not end, nor a worker, while Dawn owes an answer.
   */
  readonly #owed = new Set<Promise<unknown>>();
  readonly #onError: (event: GPUUncapturedErrorEvent) => void;
  #loss: string | undefined;
  #closed = false;

  /**
   * Wraps a WebGPU device.
   * @param raw the device
   * @param origin where it comes from
   * @param notes sentences for the user about the choice of adapter
   * @param making what the device can do, how to wait, and Dawn where it came from there
   */
  constructor(raw: GPUDevice, origin: Origin, notes: readonly string[], making: Making) {
    const { dawn, waiting = "block", capabilities } = making;
    this.raw = raw;
    this.origin = origin;
    this.notes = notes;
    this.#dawn = dawn;
    this.waiting = waiting;
    this.capabilities = capabilities;
    this.paced = origin === "native" ? false : origin === "given" ? onServer() && !isNative(raw) : true;
    this.#onError = (event) => {
      // Dawn prints what nobody prevents; here it becomes an exception instead.
      event.preventDefault();
      this.failures.report(failureOf("GPU error outside any guard", event.error));
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

  /**
   * Makes sure that the device can be used.
   * @throws UserError after `close`
   * @throws Error with the reason after a loss
   */
  assertOpen(): void {
    if (this.#closed) throw new UserError("the device was closed");
    if (this.#loss !== undefined) throw new Error(`the GPU device was lost: ${this.#loss}`);
  }

  /**
   * Is the device lost or closed, or about to be known as lost? What hangs on it may hear of the loss a moment earlier.
   */
  async isGone(): Promise<boolean> {
    for (let i = 0; this.isOpen && i < 2; i++) await Promise.race([this.lost, turn()]);
    return !this.isOpen;
  }

  /**
   * Keeps `close` from coming back before this promise of the device is settled.
   * @param promise something that Dawn owes an answer to
   */
  owe<T>(promise: Promise<T>): Promise<T> {
    const settled: Promise<unknown> = promise.catch(() => {}).then(() => this.#owed.delete(settled));
    this.#owed.add(settled);
    return promise;
  }

  /**
   * Waits for the outcomes of all work.
   * @throws what went wrong and nobody has heard of
   * @throws what `assertOpen` does
   */
  async drain(): Promise<void> {
    await this.failures.settled();
    const failure = this.failures.unheard();
    // The first failure explains those that follow from it, a loss included.
    if (failure !== undefined) throw failure;
    this.assertOpen();
  }

  /**
   * The memory of how long work of this kind takes.
   * @param key name of the kind of work
   */
  pace(key: string): Pace {
    let pace = this.#paces.get(key);
    if (pace === undefined) {
      pace = new Pace();
      this.#paces.set(key, pace);
    }
    return pace;
  }

  /**
   * A MAP_READ buffer of at least `bytes` from the pool. Give it back with `returnStaging`.
   * @param bytes least size
   * @throws what `assertOpen` does
   */
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

  /**
   * Gives back a buffer of `takeStaging`, unmapped.
   * @param buffer the buffer
   */
  returnStaging(buffer: GPUBuffer): void {
    if (this.#closed || buffer.size > STAGING_KEPT_BYTES || buffer.mapState !== "unmapped") {
      buffer.destroy();
      return;
    }
    const free = this.#staging.get(buffer.size);
    if (free === undefined) this.#staging.set(buffer.size, [buffer]);
    else free.push(buffer);
  }

  /**
   * Destroys the device and everything on it; afterwards the process can exit by itself. A given device is only let go.
   */
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
    if (this.origin !== "given") await Promise.all(this.#owed);
    await this.failures.clear();
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
