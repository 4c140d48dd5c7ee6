/**
 * The adapters that GPU tests run on, and one open device of each per test file.
 *
 * Two software adapters with different subgroup sizes, features and limits keep kernels honest; adapters.ts settles
 * which of them a run is about.
 *
 * Deno brings a WebGPU of its own (wgpu, on feature level L0, with another reader of WGSL). There it is a third adapter
 * for those who ask for `everyAdapter`: all kernel checks and a decoder, which shows that the shaders are not Dawn's
 * alone. Whatever else uses a GPU leaves it out, since each of its submissions takes 12 ms.
 *
 * TILESTATE_TEST_PROFILE=gpu gives kernels and decoders the schedules that real GPUs get, on these adapters.
 */

import { afterAll, inject } from "vitest";
import { TRAITS } from "../../runtime/adapters/traits.ts";
import { type Device, openDevice } from "../../runtime/device/device.ts";
import "./adapters.ts";

const NATIVE = "native";
const all: readonly string[] = inject("adapters");
const present: readonly string[] = all.filter((name) => name !== NATIVE);
const open: Map<string, Promise<Device>> = new Map();

/** True where the embedded SwiftShader exists. */
export const EMBEDDED: boolean = process.platform === "linux" && process.arch === "x64";

/** The adapters' names, for `describe.each`. */
export function adaptersUnderTest(): readonly string[] {
  return present;
}

/** Those, and under Deno `native`. */
export function everyAdapter(): readonly string[] {
  return all;
}

/**
 * The adapter's name if it is under test, for `test.each`: what only one adapter can show is declared on that one
 * alone.
 */
export function onlyOn(name: string): readonly string[] {
  return present.filter((other) => other === name);
}

/** Each case on one adapter, in turn: for recorded results, which no adapter needs to reach twice. */
export function inTurn<T extends object>(cases: readonly T[]): readonly (T & { readonly adapter: string })[] {
  return cases.map((one, i) => ({ ...one, adapter: present[i % present.length] ?? "" }));
}

/** The device of an adapter; opened once, closed after the test file. */
export async function withDevice(name: string): Promise<Device> {
  const known = await open.get(name);
  if (known?.isOpen) return known;
  const opening = openDevice({ adapter: name }).then(inProfile);
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

/** Whether schedules of real GPUs are asked for on adapters that are none. */
export const FORCED_PROFILE: "gpu" | undefined = forcedProfile(process.env.TILESTATE_TEST_PROFILE);

function forcedProfile(said: string | undefined): "gpu" | undefined {
  if (said === undefined || said === "" || said === "gpu") return said === "gpu" ? said : undefined;
  throw new Error(`TILESTATE_TEST_PROFILE: expected gpu, got "${said}"`);
}

function inProfile(device: Device): Device {
  if (FORCED_PROFILE === undefined) return device;
  const { traits, ...rest } = device.capabilities;
  // Code as for a GPU; how long it compiles and what textures hold stay what they are here.
  const { compilesSlowly, compilesInCaller, textureLoadsCheap, textureBytes } = traits;
  const forced = { ...TRAITS.gpu, compilesSlowly, compilesInCaller, textureLoadsCheap, textureBytes };
  Object.defineProperty(device, "capabilities", { value: { ...rest, profile: FORCED_PROFILE, traits: forced } });
  return device;
}
