/**
 * The adapters that GPU tests run on, and one open device of each per test file.
 *
 * Two software adapters with different subgroup sizes, features and limits keep kernels honest. With CI=true both must be there: a GPU suite that is
 * left out must fail, not pass. Elsewhere what is missing is named and the suites run on the rest.
 *
 * Deno brings a WebGPU of its own (wgpu, on rung L0, with another reader of WGSL). There it is a third adapter for those who ask for `everyAdapter`: all kernel
 * checks and a decoder, which shows that the shaders are not Dawn's alone. Whatever else uses a GPU leaves it out, since each of its submissions takes 12 ms.
 */
import { afterAll } from "vitest";
import { openDawn } from "../../runtime/dawn.ts";
import { type Device, openDevice } from "../../runtime/device.ts";

const WANTED: readonly string[] = ["llvmpipe", "swiftshader"];
/** The platform's own WebGPU, where tests are known to have one. */
const PLATFORM: readonly string[] = process.versions.deno === undefined ? [] : ["native"];

const present: readonly string[] = await probe(WANTED);
const platform: readonly string[] = await probe(PLATFORM);
if (present.length === 0) throw new Error(`no adapter to test on: expected at least one of ${WANTED.join(", ")}`);
const open: Map<string, Promise<Device>> = new Map();

/** The adapters' names, for `describe.each`. */
export function adaptersUnderTest(): readonly string[] {
  return present;
}

/** Those, and under Deno `native`. */
export function everyAdapter(): readonly string[] {
  return [...present, ...platform];
}

/** The device of an adapter; opened once, closed after the test file. */
export async function withDevice(name: string): Promise<Device> {
  const known = await open.get(name);
  if (known?.isOpen) return known;
  const opening = openDevice({ adapter: name });
  open.set(name, opening);
  return opening;
}

/** Closes the devices of this worker. */
export async function closeDevices(): Promise<void> {
  const devices = [...open.values()];
  open.clear();
  for (const device of devices) await (await device).close();
}

afterAll(closeDevices);

async function probe(wanted: readonly string[]): Promise<readonly string[]> {
  const found: string[] = [];
  for (const name of wanted) {
    try {
      (await openDawn({ adapter: name })).release();
      found.push(name);
    } catch (error) {
      const reason = (error as Error).message;
      if (process.env.CI === "true") throw new Error(`CI=true, but the adapter ${name} is missing: ${reason}`);
      console.warn(`GPU tests leave out the adapter ${name}: ${reason}`);
    }
  }
  return found;
}
