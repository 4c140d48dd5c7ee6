/** The full cache: every token stays, so a text is as long as the state at most. */
import type { CachePolicy } from "./interface.ts";

export const full: CachePolicy = {
  name: "full",
  module: import.meta,
  help: "every token stays",
  options: {},
  scope: "layer",
  positions: "absolute",
  protection: [],
  protects: (kept) => ({ recent: kept, first: 0 }),
};
