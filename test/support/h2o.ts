/**
 * H2O (Zhang et al. 2023) as a policy of a user's: the token that has got the least attention since it came goes. And
 * the same in float64, without slots.
 */
import { range, zerosLike } from "../../dsl/index.ts";
import type { CachePolicy } from "../../models/cache/policies/interface.ts";
import type { Observe, Visible } from "./reference-llama.ts";

export const h2o: CachePolicy<"sums", "decay"> = {
  name: "h2o",
  module: import.meta,
  help: "the token that got the least attention since it came goes (Zhang et al. 2023)",
  options: { decay: { is: "fraction", default: 1, help: "what is left of a sum after each step" } },
  scope: "layer",
  positions: "absolute",
  memory: { sums: { per: "slot", initial: 0 } },
  observes: { scores: "newest" },
  update: ({ slots, heads, attention, memory, option }) => {
    let given: number = zerosLike(slots);
    for (const h of range(heads)) given += attention(h);
    return memory("sums") * option("decay") + given;
  },
  score: ({ memory }) => memory("sums"),
};

/** What it keeps, by its definition: sums of whole rows of attention weights by position, one set a layer. */
export class H2OReference {
  readonly #kept: Map<number, Map<number, number>> = new Map();
  /** How close the lowest two sums came to each other, relative to the lowest. */
  closest: number = Infinity;
  /** [token][layer]: positions kept after the token, ascending. */
  readonly kept: number[][][] = [];
  readonly #slots: number;
  readonly #recent: number;
  readonly #decay: number;

  constructor(slots: number, { recent = 0, decay = 1 }: { readonly recent?: number; readonly decay?: number } = {}) {
    this.#slots = slots;
    this.#recent = recent;
    this.#decay = decay;
  }

  /** Positions that a token sees in a layer. */
  visible: Visible = (layer, token) => [...(this.#kept.get(layer)?.keys() ?? []), token];

  /** The weights that it gave them, mean over heads. */
  observe: Observe = (layer, token, seen, mean) => {
    const before = this.#kept.get(layer) ?? new Map<number, number>();
    const sums = new Map(seen.map((p, i) => [p, (before.get(p) ?? 0) * this.#decay + (mean[i] ?? Number.NaN)]));
    if (sums.size > this.#slots) {
      const open = [...sums].filter(([p]) => p + this.#recent <= token).sort(([, a], [, b]) => a - b);
      const [lowest = [-1, 0], next = [-1, Infinity]] = open;
      this.closest = Math.min(this.closest, (next[1] - lowest[1]) / lowest[1]);
      sums.delete(lowest[0]);
    }
    this.#kept.set(layer, sums);
    this.kept[token] ??= [];
    (this.kept[token] as number[][])[layer] = [...sums.keys()].sort((a, b) => a - b);
  };
}
