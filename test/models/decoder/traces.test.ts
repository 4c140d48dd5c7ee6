/**
 * TOVA on trained checkpoints: which position leaves at every step of every layer, and what the model then predicts, against float64.
 */
import { describe, expect, test } from "vitest";
import { openModel } from "../../../models/index.ts";
import { keptByStep, withDecoder } from "../../support/decoders.ts";
import { CHECKPOINTS, golden } from "../../support/goldens.ts";
import { adaptersUnderTest } from "../../support/gpu.ts";
import { largestDifference, negativeLogLikelihood, row, spread } from "../../support/logits.ts";
import { referenceRun } from "../../support/reference-llama.ts";
import { compareTrace, scoreOf, visibleIn } from "../../support/traces.ts";

const TRACED = CHECKPOINTS.filter(({ name }) => name !== "stories260K_v1.bin");
/** Hearth's traces are long and its choices clear (recorded gaps above 2e-4 of the score): one adapter is enough. */
const FIRST = adaptersUnderTest()[0];

describe.each(adaptersUnderTest())("eviction traces on %s", (adapter) => {
  const here = TRACED.filter(({ name }) => name !== "hearth" || adapter === FIRST);
  const cases = here.flatMap((checkpoint) => {
    const budgets = checkpoint.name === "hearth" ? [64, 128, 256] : [8, 16, 32, 64];
    return budgets.map((budget) => ({ ...checkpoint, budget }));
  });
  test.each(cases)("$name, $budget slots", async ({ name, path, file, budget }) => {
    const recorded = await golden(file);
    const { ids } = recorded.teacher;
    const trace = recorded.tova.find((t) => t.budget === budget);
    if (trace === undefined) throw new Error(`no trace of ${budget} slots is recorded`);
    const source = await openModel(path);
    await withDecoder(adapter, source, { state: `tova:${budget}` }, async (decoder) => {
      const kept = await keptByStep(decoder, ids);
      const { compared, recorded: all, open } = await compareTrace(source, recorded, trace, kept);
      console.log(`${name}, ${budget} slots on ${adapter}: ${compared} of ${all} choices equal; open: ${open.length}`);
      for (const place of open) console.log(place);
      expect(all).toBe(source.config.layers * (ids.length - budget));
      expect(compared).toBeGreaterThan(0.9 * all);
      if (open.length > 0) return;

      expect(compared).toBe(all);
      expect(kept.at(-1)).toEqual(trace.kept_positions_per_layer);
      const { vocab } = source.config;
      const logits = await decoder.forward(ids);
      const losses = trace.nll.map((_, t) => negativeLogLikelihood(row(logits, t, vocab), ids[t + 1] ?? -1));
      expect(largestDifference(losses, trace.nll)).toBeLessThan(1e-3);
      const last = row(logits, ids.length - 1, vocab);
      expect(largestDifference(last, trace.last_logits) / spread(trace.last_logits)).toBeLessThan(2e-4);
      expect(await decoder.kept()).toEqual(trace.kept_positions_per_layer);
    });
  });
});

describe("the float64 reference", () => {
  test.each(TRACED.filter(({ name }) => name !== "hearth"))(
    "finds the recorded gaps of $name",
    async ({ path, file }) => {
      const recorded = await golden(file);
      const source = await openModel(path);
      const trace = recorded.tova[0];
      if (trace === undefined) throw new Error("no trace is recorded");
      const visible = visibleIn(trace);
      const reference = await referenceRun(source, recorded.teacher.ids, visible);
      let worst = 0;
      for (const [layer, victims] of trace.evicted_position_per_layer.entries()) {
        for (const [i, victim] of victims.entries()) {
          const t = trace.budget + i;
          const lowest = scoreOf(reference, visible, layer, t, victim);
          const next = [...(reference.weights[layer]?.[t] ?? [])].sort((a, b) => a - b)[1] ?? Number.NaN;
          const gap = trace.margin_to_runner_up[layer]?.[i] ?? Number.NaN;
          // Recorded with three digits.
          worst = Math.max(worst, Math.abs(next - lowest - gap) / gap);
        }
      }
      expect(worst).toBeLessThan(6e-3);
    },
  );
});
