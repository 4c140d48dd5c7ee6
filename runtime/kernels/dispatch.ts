/** A dispatch: one call of a kernel, checked and ready to be encoded. */
import type { Bound } from "./arguments.ts";
import type { Variant } from "./variants.ts";

/** A call that was checked and is ready to be encoded. */
export interface Dispatch extends Pick<Bound, "tensors" | "uniforms"> {
  /** The kernel for the shapes, formats and places of the call. */
  readonly variant: Variant;
}
