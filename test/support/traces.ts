/**
 * Comparing a run with a recorded eviction trace.
 *
 * Two scores may be closer than f32 can tell apart, and then another choice would be as good. No recorded choice is
 * like that: the closest is CLEAR_GAP of the score from the next one, a hundred times what f32 sums in another order
 * differ by. So all choices have to be the recorded ones.
 */
import type { Trace } from "./goldens.ts";
import type { Reference, Visible } from "./reference-llama.ts";

/** Gap to the next score, relative to the score, above which a choice is clear. */
export const CLEAR_GAP = 1e-5;

/** The masks that a trace amounts to. */
export function visibleIn(trace: Trace): Visible {
  const gone = trace.evicted_position_per_layer.map((evicted) => new Map(evicted.map((p, i) => [p, trace.budget + i])));
  return (layer, token) => {
    const left = gone[layer];
    return Array.from({ length: token + 1 }, (_, p) => p).filter((p) => (left?.get(p) ?? token) >= token);
  };
}

/**
 * Compares `kept[token][layer]` with a trace, and says how many choices there were.
 * @throws Error at the first choice that is another one.
 */
export function compareTrace(trace: Trace, kept: readonly (readonly (readonly number[])[])[]): number {
  const { evicted_position_per_layer: evicted, margin_to_runner_up: margins, budget } = trace;
  let compared = 0;
  for (let t = budget; t < kept.length; t++) {
    for (const [layer, victims] of evicted.entries()) {
      const after = new Set(kept[t]?.[layer]);
      const left = [...(kept[t - 1]?.[layer] ?? []), t].filter((p) => !after.has(p));
      const expected = victims[t - budget] ?? -1;
      if (left.length !== 1 || left[0] !== expected)
        throw new Error(
          `budget ${budget}, layer ${layer}, token ${t}: dropped ${left.join(", ")}, recorded ${expected}, gap ${margins[layer]?.[t - budget]}`,
        );
      compared++;
    }
  }
  return compared;
}

/** The mean weight that token `t` gives to `position` in a layer. */
export function scoreOf(reference: Reference, visible: Visible, layer: number, t: number, position: number): number {
  return reference.weights[layer]?.[t]?.[visible(layer, t).indexOf(position)] ?? Number.NaN;
}
