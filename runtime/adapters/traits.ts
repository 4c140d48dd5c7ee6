/**
 * Traits of adapters: in go an adapter's names, out comes what it is like. The only place that knows adapters by name;
 * whoever wants to know what an adapter does better than another asks for the trait. Measured on lavapipe (Mesa 25) and
 * SwiftShader 5; nobody has measured GPUs.
 */
import type { AdapterTraits } from "../../compiler/index.ts";
import { UserError } from "../common/errors.ts";

export type { AdapterTraits } from "../../compiler/index.ts";

/** What is known under one name; "software" is any other adapter that runs on the CPU, "gpu" all that are left. */
export type Family = "lavapipe" | "swiftshader" | "software" | "gpu";

/** Its SIMD registers are the processor's, AVX2's 16 at least, whatever width LP_NATIVE_VECTOR_WIDTH gives them. */
const LAVAPIPE: AdapterTraits = {
  scalarShifts: false,
  constantsAreLoads: false,
  unpacksBytes: false,
  bufferLoadsBranch: true,
  textureLoadsCheap: true,
  vectorRegisters: 16,
  unrollsLoops: true,
  compilesSlowly: true,
  compilesInCaller: false,
  linearSubgroups: true,
  threadsPerCore: 2,
  // It counts the bytes before a texel in 31 bits, and loses the device where there are more.
  textureBytes: 2 ** 31 - 1,
};

/** The traits of each family. */
export const TRAITS: Readonly<Record<Family, AdapterTraits>> = {
  lavapipe: LAVAPIPE,
  // It compiles for vectors of four lanes as processors had them before AVX2, which shifted all lanes by one count.
  swiftshader: {
    ...LAVAPIPE,
    scalarShifts: true,
    constantsAreLoads: true,
    textureLoadsCheap: false,
    vectorRegisters: 0,
    compilesInCaller: true,
    threadsPerCore: 1,
  },
  software: { ...LAVAPIPE, textureLoadsCheap: false, linearSubgroups: false, threadsPerCore: 1 },
  gpu: {
    scalarShifts: false,
    constantsAreLoads: false,
    unpacksBytes: true,
    bufferLoadsBranch: false,
    textureLoadsCheap: false,
    vectorRegisters: 128,
    unrollsLoops: false,
    compilesSlowly: false,
    compilesInCaller: false,
    linearSubgroups: false,
    threadsPerCore: 0,
    textureBytes: undefined,
  },
};

/** The family of an adapter, by what it calls itself. */
export function familyOf(info: GPUAdapterInfo): Family {
  const names = `${info.device} ${info.description} ${info.architecture}`;
  if (/llvmpipe|lavapipe/i.test(names)) return "lavapipe";
  if (/swiftshader/i.test(names)) return "swiftshader";
  const onCpu = info.isFallbackAdapter === true || info.architecture === "software";
  return onCpu || /softpipe|basic render|\bwarp\b/i.test(names) ? "software" : "gpu";
}

/**
 * The traits of an adapter, with those that are given in place of its own.
 * @throws UserError for a trait that does not exist, or of another type.
 */
export function traitsOf(info: GPUAdapterInfo, given: Partial<AdapterTraits> = {}): AdapterTraits {
  const own = TRAITS[familyOf(info)];
  for (const [trait, value] of Object.entries(given)) {
    if (!Object.hasOwn(own, trait))
      throw new UserError(`traits: no trait "${trait}"; there are ${Object.keys(own).join(", ")}`);
    const type = trait === "textureBytes" ? "number" : typeof own[trait as keyof AdapterTraits];
    if (typeof value !== type && !(trait === "textureBytes" && value === undefined))
      throw new UserError(`traits: "${trait}" expected a ${type}, got ${JSON.stringify(value)}`);
  }
  return { ...own, ...given };
}
