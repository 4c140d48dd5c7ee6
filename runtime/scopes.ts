/**
 * Error scopes: every failure of the GPU becomes one exception that names the kernel or the tensor.
 *
 * WebGPU reports failures later and elsewhere. Scopes around the call that fails catch them there; out of memory is the user's affair and says so,
 * everything else is ours. Scopes are a stack of the device, so they are opened and closed within one turn, never across an await.
 */
import type { Device } from "./device.ts";
import { UserError } from "./errors.ts";

const FILTERS = ["internal", "validation", "out-of-memory"] as const;

/**
 * Runs `fn` and waits for the GPU's opinion of what it created or encoded. Only calls before `fn`'s first await are covered.
 * @param what names the kernel or tensor, as in `kernel "attend"`.
 * @throws UserError when memory runs out, Error for anything else; both begin with `what`.
 */
export async function guarded<T>(device: Device, what: string, fn: () => T | Promise<T>): Promise<T> {
  device.assertOpen();
  const { value, verdict } = scoped(device, what, fn);
  // Both are awaited before either is thrown, so that none is left rejected and unheard.
  const [result, failure] = await Promise.allSettled([value, verdict]);
  device.assertOpen();
  if (failure.status === "rejected") throw failure.reason;
  if (failure.value !== undefined) throw failure.value;
  if (result.status === "rejected") throw named(what, result.reason);
  return result.value;
}

/** What hangs on something that is made. */
export interface Watching {
  /** Called when it failed. */
  readonly failed?: () => void;
}

/** The same without waiting: a failure is thrown by the device's next wait. */
export function watched<T>(device: Device, what: string, fn: () => T, how: Watching = {}): T {
  device.assertOpen();
  const { value, verdict } = scoped(device, what, fn);
  if (how.failed !== undefined) verdict.then((failure) => (failure === undefined ? undefined : how.failed?.()));
  device.adopt(verdict);
  return value;
}

/** Runs `fn` inside the three scopes; `verdict` resolves to what they caught. */
function scoped<T>(device: Device, what: string, fn: () => T): { value: T; verdict: Promise<Error | undefined> } {
  for (const filter of FILTERS) device.raw.pushErrorScope(filter);
  let value: T;
  try {
    value = fn();
  } catch (error) {
    // The scopes must be closed all the same; what they hold is not newer than what was thrown.
    for (const pop of FILTERS.map(() => device.raw.popErrorScope())) pop.catch(() => {});
    throw named(what, error);
  }
  const pops = FILTERS.map(() => device.raw.popErrorScope());
  const verdict = Promise.all(pops).then(
    (caught) => {
      const error = caught.find((one) => one !== null);
      return error ? failureOf(what, error) : undefined;
    },
    // A scope cannot be read on a lost device; the loss itself is reported by the device.
    () => undefined,
  );
  return { value, verdict };
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
