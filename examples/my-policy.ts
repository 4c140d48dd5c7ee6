// A cache policy of one's own, for `tilestate generate --state ./examples/my-policy.ts:32` or, as in policy.ts, for a
// program. TOVA drops the token with the lowest attention summed over the heads. This one asks for the highest that any
// head has given lately, so a token that a single head lives on stays.
import { max, range, zerosLike } from "tilestate/dsl";
import type { CachePolicy } from "tilestate/models";

export const unloved: CachePolicy<"love", "fade"> = {
  name: "unloved",
  module: import.meta,
  help: "the token goes that no head has wanted lately",
  options: { fade: { is: "fraction", default: 0.95, help: "what is left of a wish after each step" } },
  scope: "layer",
  positions: "absolute",
  // One number a slot, set back when another token comes into it.
  memory: { love: { per: "slot", initial: 0 } },
  observes: { scores: "newest" },
  // These two are compiled, not run. Which slots are empty or protected, and whether the sequence goes on, is not the
  // policy's business.
  update: ({ slots, heads, attention, memory, option }) => {
    let wanted: number = zerosLike(slots);
    for (const head of range(heads)) wanted = max(wanted, attention(head));
    return max(wanted, memory("love") * option("fade"));
  },
  // The lowest goes, of several the oldest.
  score: ({ memory }) => memory("love"),
};
