/**
 * Which kernels come compiled with the package: those of the decoder and those of the cache policies, each with the
 * module they are loaded from.
 */
import type { KernelModule } from "../compiler/index.ts";
import { POLICY_KERNELS } from "./cache/eviction.ts";
import * as kernels from "./kernels/index.ts";
import { KERNELS } from "./kernels/module.ts";

export interface BuiltIn extends KernelModule {
  readonly names: readonly string[];
  /** The module that `npm run ship` writes. */
  readonly compiled: URL;
}

export function builtIns(): readonly BuiltIn[] {
  return [
    { ...KERNELS, names: Object.keys(kernels), compiled: new URL("./kernels/compiled.ts", import.meta.url) },
    {
      ...POLICY_KERNELS,
      names: Object.keys(POLICY_KERNELS.templates ?? {}),
      compiled: new URL("./cache/policies/compiled.ts", import.meta.url),
    },
  ];
}
