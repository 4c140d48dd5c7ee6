/** The module that the kernels of the cache policies are loaded from, and what came compiled with it. */
import type { KernelModule } from "../../../compiler/index.ts";
import { shipped } from "./compiled.ts";

export const POLICY_KERNELS: KernelModule = { url: new URL("./index.ts", import.meta.url).href, shipped };
