/**
 * Comparing a run with a recorded eviction trace.
 *
 * Two scores may be closer than f32 can tell apart. Where the recorded gap is below a millionth of the score another choice is allowed, and then everything that
 * depends on it is left out: the later steps of that layer and of the layers above it. Layers below see the same text as before.
 */
import type { ModelSource } from "../../models/index.ts";
import type { Golden, Trace } from "./goldens.ts";
import { type Reference, referenceRun, type Visible } from "./reference-llama.ts";

/** Gap to the next score, relative to the score, below which the choice is open. */
export const OPEN_GAP = 1e-6;

export interface Comparison {
  /** Choices compared and found equal. */
  readonly compared: number;
  /** Choices recorded. */
  readonly recorded: number;
  /** Where another choice was made and allowed. */
  readonly open: readonly string[];
}

/** The masks that a trace amounts to. */
export function visibleIn(trace: Trace): Visible {
  const gone = trace.evicted_position_per_layer.map((evicted) => new Map(evicted.map((p, i) => [p, trace.budget + i])));
  return (layer, token) => {
    const left = gone[layer];
    return Array.from({ length: token + 1 }, (_, p) => p).filter((p) => (left?.get(p) ?? token) >= token);
  };
}

/** `kept[token][layer]` against the trace. Throws where a clear choice differs. */
export async function compareTrace(
  source: ModelSource,
  golden: Golden,
  trace: Trace,
  kept: readonly (readonly (readonly number[])[])[],
): Promise<Comparison> {
  const { evicted_position_per_layer: evicted, margin_to_runner_up: margins, budget } = trace;
  const relative = source.config.name === "hearth";
  const until = evicted.map(() => Infinity);
  const open: string[] = [];
  let compared = 0;
  let reference: Reference | undefined;
  for (let t = budget; t < kept.length; t++) {
    for (const [layer, victims] of evicted.entries()) {
      if (t > (until[layer] ?? 0)) continue;
      const after = new Set(kept[t]?.[layer]);
      const candidates = [...(kept[t - 1]?.[layer] ?? []), t];
      const left = candidates.filter((p) => !after.has(p));
      const expected = victims[t - budget] ?? -1;
      if (left.length === 1 && left[0] === expected) {
        compared++;
        continue;
      }
      let gap = margins[layer]?.[t - budget] ?? Number.NaN;
      if (!relative) {
        reference ??= await referenceRun(source, golden.teacher.ids, visibleIn(trace));
        gap /= scoreOf(reference, visibleIn(trace), layer, t, expected);
      }
      const place = `budget ${budget}, layer ${layer}, token ${t}: dropped ${left.join(", ")}, recorded ${expected}, gap ${gap.toExponential(2)} of the score`;
      if (left.length !== 1 || !(gap < OPEN_GAP)) throw new Error(place);
      open.push(place);
      for (let above = layer; above < until.length; above++) until[above] = Math.min(until[above] ?? 0, t);
    }
  }
  return { compared, recorded: evicted.reduce((sum, victims) => sum + victims.length, 0), open };
}

/** The mean weight that token `t` gives to `position` in a layer. */
export function scoreOf(reference: Reference, visible: Visible, layer: number, t: number, position: number): number {
  return reference.weights[layer]?.[t]?.[visible(layer, t).indexOf(position)] ?? Number.NaN;
}
