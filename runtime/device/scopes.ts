/**
 * Error scopes: every failure of the GPU becomes one exception that names the kernel or the tensor, and is thrown to
 * whoever waits for that work.
 *
 * WebGPU reports failures later and elsewhere. Scopes around the call that fails catch them there; out of memory is the
 * user's affair and says so, everything else is ours. Scopes are a stack of the device, so they are opened and closed
 * within one turn, never across an await.
 *
 * A region is work whose failures belong together: what is created, written and submitted in it is for whoever opened
 * it to hear of (`owned`, `guarded`). Outside of regions the failure goes to the next read of the tensors concerned, or
 * to the next wait for everything (`watched`, `submitted`).
 */

import { UserError } from "../common/errors.ts";
import type { Failures, Memory, Region, Verdict } from "./failures.ts";

const FILTERS = ["internal", "validation", "out-of-memory"] as const;

/** What scopes need to know of a device. */
export interface Scoped {
  readonly raw: Pick<GPUDevice, "pushErrorScope" | "popErrorScope">;
  readonly failures: Failures;
  assertOpen(): void;
  isGone(): Promise<boolean>;
}

/** What work did, and what the GPU thinks of it. */
export interface Owned<T> {
  readonly value: T;
  readonly verdict: Verdict;
}

/**
 * Runs `fn` as a region and gives, beside its value, what the GPU thinks of all that was created, written and submitted
 * before its first await. The caller must look at the verdict: nobody else is told.
 */
export function owned<T>(device: Scoped, what: string, fn: () => T): Owned<T> {
  device.assertOpen();
  const region: Region = { inner: [] };
  const { failures } = device;
  const outer = failures.region;
  failures.region = region;
  let own: Owned<T>;
  try {
    own = scoped(device, what, fn);
  } finally {
    failures.region = outer;
  }
  const { value } = own;
  const verdict = firstOf([...region.inner, own.verdict]);
  failures.adopt(verdict, [], { owned: true });
  return { value, verdict };
}

/**
 * Runs `fn` as a region and waits for the GPU's opinion of it. Only calls before `fn`'s first await are covered.
 * @param what names the kernel or tensor, as in `kernel "attend"`.
 * @throws UserError when memory runs out, Error for anything else; both begin with `what`.
 */
export async function guarded<T>(device: Scoped, what: string, fn: () => T | Promise<T>): Promise<T> {
  const { value, verdict } = owned(device, what, fn);
  // Both are awaited before either is thrown, so that none is left rejected and unheard.
  const [result, failure] = await Promise.allSettled([value, verdict]);
  device.assertOpen();
  if (failure.status === "fulfilled" && failure.value !== undefined) throw failure.value;
  if (result.status === "rejected") throw named(what, result.reason);
  return result.value;
}

/** What hangs on something that is made. */
export interface Watching<T> {
  /** Memory that is useless if it fails, and, with `lasting`, for ever. */
  readonly touched?: (made: T) => Iterable<Memory>;
  readonly lasting?: boolean;
  /** Called when it failed. */
  readonly failed?: () => void;
}

/**
 * Makes something under scopes of its own, without waiting. A failure belongs to the region that is open, if one is;
 * else to the next read of the memory that it touches, or to the next wait for everything.
 */
export function watched<T>(device: Scoped, what: string, fn: () => T, how: Watching<T> = {}): T {
  device.assertOpen();
  const { value, verdict } = scoped(device, what, fn);
  const { region } = device.failures;
  region?.inner.push(verdict);
  device.failures.adopt(verdict, how.touched?.(value) ?? [], { owned: region !== undefined, lasting: how.lasting });
  if (how.failed !== undefined) verdict.then((failure) => (failure === undefined ? undefined : how.failed?.()));
  return value;
}

/**
 * Submits work that writes `touched`. In a region its scopes serve; else a failure belongs as that of `watched` does.
 */
export function submitted<T>(device: Scoped, what: string, touched: Iterable<Memory>, fn: () => T): T {
  device.assertOpen();
  if (device.failures.region !== undefined) return fn();
  const { value, verdict } = scoped(device, what, fn);
  device.failures.adopt(verdict, touched);
  return value;
}

/** Runs `fn` inside the three scopes; `verdict` resolves to what they caught. */
function scoped<T>(device: Scoped, what: string, fn: () => T): Owned<T> {
  let open = 0;
  try {
    for (const filter of FILTERS) {
      device.raw.pushErrorScope(filter);
      open++;
    }
    const value = fn();
    const outcomes = Promise.allSettled(Array.from({ length: open }, () => pop(device)));
    open = 0;
    return { value, verdict: outcomes.then((all) => judge(device, what, all)) };
  } catch (error) {
    // The scopes must be closed all the same; what they hold is not newer than what was thrown.
    for (; open > 0; open--) pop(device).catch(() => {});
    throw named(what, error);
  }
}

/** Also where a device does not reject but throws. */
async function pop(device: Scoped): Promise<GPUError | null> {
  return device.raw.popErrorScope();
}

async function judge(
  device: Scoped,
  what: string,
  outcomes: readonly PromiseSettledResult<GPUError | null>[],
): Promise<Error | undefined> {
  for (const one of outcomes) if (one.status === "fulfilled" && one.value !== null) return failureOf(what, one.value);
  const unread = outcomes.find((one) => one.status === "rejected");
  // A scope cannot be read on a lost device; the loss itself is reported by the device.
  if (unread === undefined || (await device.isGone())) return undefined;
  return named(`${what}: whether it succeeded could not be learnt`, unread.reason);
}

async function firstOf(verdicts: readonly Verdict[]): Promise<Error | undefined> {
  return (await Promise.all(verdicts)).find((error) => error !== undefined);
}

/** The exception for an error that WebGPU reported. */
export function failureOf(what: string, error: GPUError): Error {
  const text = tidy(error.message);
  // By name: the class differs between Dawn's copies, and is not a global on servers.
  if (error.constructor.name === "GPUOutOfMemoryError") {
    return new UserError(`${what}: out of GPU memory (${text})`, {
      hint: "use a smaller model, a smaller state, or an adapter with more memory",
    });
  }
  return new Error(`${what}: ${text}`);
}

/** The same exception, with the name of what failed in front. */
function named(what: string, error: unknown): Error {
  if (error instanceof UserError) return error;
  const text = tidy(error instanceof Error ? error.message : String(error));
  return new Error(`${what}: ${text}`, { cause: error });
}

/** Dawn's messages carry places in its own source and doubled quotes. */
function tidy(message: string): string {
  return message
    .split("\n")
    .filter((line) => !/^\s+at /.test(line))
    .join("\n")
    .replaceAll('""', '"')
    .trim();
}
