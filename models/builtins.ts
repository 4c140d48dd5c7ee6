/** Which kernels ship compiled with the package: those of the decoder and those of the cache policies, each with the module they are loaded from. */
import * as kernels from "./kernels/index.ts";
import { tova } from "./state/policies/tova.ts";
import { window } from "./state/policies/window.ts";

export interface BuiltIn {
  readonly url: string;
  readonly names: readonly string[];
}

export function builtIns(): readonly BuiltIn[] {
  return [
    { url: new URL("./kernels/index.ts", import.meta.url).href, names: Object.keys(kernels) },
    { url: new URL("./state/policy.ts", import.meta.url).href, names: Object.keys({ tova, window }) },
  ];
}
