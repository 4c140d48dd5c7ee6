/**
 * The adapters that GPU tests run on, and one open device of each per test file.
 *
 * Two software adapters with different subgroup sizes, features and limits keep kernels honest. With CI=true both must be there: a GPU suite that is
 * left out must fail, not pass. Elsewhere what is missing is named and the suites run on the rest.
 */
import { afterAll } from "vitest";
import { openDawn } from "../../runtime/dawn.ts";
import { type Device, openDevice } from "../../runtime/device.ts";

const WANTED: readonly string[] = ["llvmpipe", "swiftshader"];

const present: readonly string[] = await probe();
const open: Map<string, Promise<Device>> = new Map();

/** The adapters' names, for `describe.each`. */
export function adaptersUnderTest(): readonly string[] {
  return present;
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

async function probe(): Promise<readonly string[]> {
  const found: string[] = [];
  for (const name of WANTED) {
    try {
      (await openDawn({ adapter: name })).release();
      found.push(name);
    } catch (error) {
      const reason = (error as Error).message;
      if (process.env.CI === "true") throw new Error(`CI=true, but the adapter ${name} is missing: ${reason}`);
      console.warn(`GPU tests leave out the adapter ${name}: ${reason}`);
    }
  }
  if (found.length === 0) throw new Error(`no adapter to test on: expected at least one of ${WANTED.join(", ")}`);
  return found;
}
