/**
 * A device on which a call goes wrong on purpose: the n-th one of a method throws, rejects, is answered with an error,
 * runs out of memory, or is the last.
 */

export type Faulty =
  | "mapAsync"
  | "submit"
  | "createBuffer"
  | "createComputePipeline"
  | "createComputePipelineAsync"
  | "popErrorScope";

/**
 * How it goes wrong. "throws" and "rejects" are said at once, "reports" through the error scope that is open (the call
 * has no effect then), "memory" as "reports" with another kind of error, and "lost" means that the device is destroyed
 * at that moment.
 */
export type How = "throws" | "rejects" | "reports" | "memory" | "lost";

export interface Faults {
  /** Calls so far, by method. */
  readonly calls: Readonly<Record<Faulty, number>>;
  /** Whether the armed fault has come. */
  readonly struck: boolean;
  /** Arms a fault: the n-th call from now on, counted from 1. */
  arm(method: Faulty, nth: number, how: How): void;
}

class GPUOutOfMemoryError {
  readonly message: string = "injected: no memory left";
}

type Method = (...args: unknown[]) => unknown;
type Methods = Record<string, Method>;

/** Wraps the methods of a device, for as long as it lives. */
export function faults(device: GPUDevice): Faults {
  const calls: Record<Faulty, number> = {
    mapAsync: 0,
    submit: 0,
    createBuffer: 0,
    createComputePipeline: 0,
    createComputePipelineAsync: 0,
    popErrorScope: 0,
  };
  let armed: { method: Faulty; at: number; how: How } | undefined;
  let struck = false;
  let memory = false;
  const raw = device as unknown as Methods;
  const invalid = device.createBuffer.bind(device, { size: 16, usage: 1 | 2 });

  const wrap = (target: object, method: Faulty): void => {
    const methods = target as Methods;
    const original = (methods[method] as Method).bind(target);
    methods[method] = (...args) => {
      calls[method]++;
      if (armed?.method !== method || calls[method] !== armed.at) return original(...args);
      struck = true;
      const error = new Error(`injected: ${method}`);
      const { how } = armed;
      if (how === "throws") throw error;
      if (how === "rejects") return Promise.reject(error);
      if (how === "lost") {
        device.destroy();
        return original(...args);
      }
      memory = how === "memory";
      return broken(method, original, args);
    };
  };
  /** Something invalid of the same kind, with an error in the scope that is open. */
  const broken = (method: Faulty, original: Method, args: readonly unknown[]): unknown => {
    if (method === "createBuffer") return original({ ...(args[0] as object), usage: 1 | 2 });
    if (method.startsWith("createComputePipeline")) {
      const how = args[0] as GPUComputePipelineDescriptor;
      return original({ ...how, compute: { ...how.compute, entryPoint: "missing" } });
    }
    invalid();
    return undefined;
  };

  for (const method of ["createComputePipeline", "createComputePipelineAsync", "popErrorScope"] as const)
    wrap(device, method);
  const { queue } = device;
  wrap(queue, "submit");
  Object.defineProperty(device, "queue", { value: queue, configurable: true });
  wrap(device, "createBuffer");
  const create = raw.createBuffer as Method;
  raw.createBuffer = (...args) => {
    const buffer = create(...args) as object;
    wrap(buffer, "mapAsync");
    return buffer;
  };
  const pop = raw.popErrorScope as Method;
  raw.popErrorScope = async (...args) => {
    const caught = await pop(...args);
    if (caught === null || !memory) return caught;
    memory = false;
    return new GPUOutOfMemoryError();
  };
  return {
    calls,
    get struck(): boolean {
      return struck;
    },
    arm(method, nth, how) {
      struck = false;
      armed = { method, at: calls[method] + nth, how };
    },
  };
}
