/**
 * TOVA on trained checkpoints: which position leaves at every step of every layer, and what the model then predicts,
 * against float64.
 *
 * Every choice is compared, on one adapter each. None of the recorded ones is a near tie; see support/traces.ts.
 */
import { describe, expect, test } from "vitest";
import { openModel } from "../../../models/index.ts";
import { keptByStep, withDecoder } from "../../support/decoders.ts";
import { CHECKPOINTS, golden } from "../../support/goldens.ts";
import { inTurn } from "../../support/gpu.ts";
import { largestDifference, negativeLogLikelihood, row, spread } from "../../support/logits.ts";
import { referenceRun } from "../../support/reference-llama.ts";
import { CLEAR_GAP, compareTrace, scoreOf, visibleIn } from "../../support/traces.ts";

/** Both files of stories260K hold the same weights. */
const OTHER_FILE = "stories260K_v1.bin";

describe("eviction traces", () => {
  const cases = CHECKPOINTS.filter(({ name }) => name !== OTHER_FILE).flatMap((checkpoint) => {
    const budgets = checkpoint.name === "hearth" ? [64, 128, 256] : [8, 16, 32, 64];
    return budgets.map((budget) => ({ ...checkpoint, budget }));
  });
  for (const { name, path, file, there, budget, adapter } of inTurn(cases))
    test.skipIf(!there)(`${name}, ${budget} slots on ${adapter}`, async () => {
      const recorded = await golden(file);
      const { ids } = recorded.teacher;
      const trace = recorded.tova.find((t) => t.budget === budget);
      if (trace === undefined) throw new Error(`no trace of ${budget} slots is recorded`);
      const source = await openModel(path);
      await withDecoder(adapter, source, { state: `tova:${budget}` }, async (decoder) => {
        const kept = await keptByStep(decoder, ids);
        expect(compareTrace(trace, kept)).toBe(source.config.layers.length * (ids.length - budget));
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
  for (const { name, path, file, there } of CHECKPOINTS.filter(({ name }) => name !== OTHER_FILE && name !== "hearth"))
    test.skipIf(!there)(`finds the recorded gaps of ${name}, and no near tie`, async () => {
      const recorded = await golden(file);
      const source = await openModel(path);
      expect(recorded.tova.length).toBeGreaterThan(0);
      let [worst, least] = [0, Infinity];
      for (const trace of recorded.tova) {
        const visible = visibleIn(trace);
        const reference = await referenceRun(source, recorded.teacher.ids, visible);
        for (const [layer, victims] of trace.evicted_position_per_layer.entries()) {
          for (const [i, victim] of victims.entries()) {
            const t = trace.budget + i;
            const lowest = scoreOf(reference, visible, layer, t, victim);
            const next = [...(reference.weights[layer]?.[t] ?? [])].sort((a, b) => a - b)[1] ?? Number.NaN;
            const gap = trace.margin_to_runner_up[layer]?.[i] ?? Number.NaN;
            // Recorded with three digits.
            worst = Math.max(worst, Math.abs(next - lowest - gap) / gap);
            least = Math.min(least, gap / lowest);
          }
        }
      }
      expect(worst).toBeLessThan(6e-3);
      expect(least).toBeGreaterThan(CLEAR_GAP);
    });

  test("hearth's gaps, recorded relative to the score, are no near ties either", async () => {
    const { tova } = await golden("hearth");
    const gaps = tova.flatMap(({ margin_to_runner_up: margins }) => margins.flat());
    expect(gaps.length).toBeGreaterThan(5000);
    expect(Math.min(...gaps)).toBeGreaterThan(CLEAR_GAP);
  });
});
