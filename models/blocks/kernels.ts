/** The kernels of a step, loaded: one call each. */
import type { Gpu, Launch } from "../../runtime/index.ts";
import * as kernels from "../kernels/index.ts";
import { KERNELS } from "../kernels/module.ts";

export type Kernels = { [K in keyof typeof kernels]: Launch<(typeof kernels)[K]> };

/** Loads them for an adapter. */
export async function loadKernels(gpu: Gpu): Promise<Kernels> {
  return (await gpu.kernels(KERNELS, { ...kernels })) as Kernels;
}
