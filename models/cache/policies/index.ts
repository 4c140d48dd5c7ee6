/** The kernels of the cache policies. */
export { tova } from "./tova.ts";
export { window } from "./window.ts";
