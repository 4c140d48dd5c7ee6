/** The cache policies that come with the package. */
export { full } from "./full.ts";
export { tova } from "./tova.ts";
export { window } from "./window.ts";
