/**
 * Window and Window+i: the oldest token goes, except the `first` ones (StreamingLLM, Xiao et al. 2023; the paper's
 * baselines).
 */
import { cast } from "../../../dsl/index.ts";
import type { CachePolicy } from "./interface.ts";

export const window: CachePolicy = {
  name: "window",
  module: import.meta,
  help: "the oldest token goes (with first=I: StreamingLLM, Xiao et al. 2023)",
  options: {},
  scope: "layer",
  positions: "absolute",
  // The newest ones stay anyway.
  protection: ["first"],
  protects: (kept, { first }) => ({ recent: kept - first, first }),
  score: ({ position }) => cast(position, "f32"),
};
