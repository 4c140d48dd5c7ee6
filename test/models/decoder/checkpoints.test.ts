/**
 * Trained checkpoints against float64: the greedy tale, the loss of every token of another, and the logits behind them.
 *
 * The two small models of others lie beside a checkout (see shared.ts); hearth ships with the package.
 */
import { describe, expect, test } from "vitest";
import { type Decoder, type ModelSource, openModel } from "../../../models/index.ts";
import { continued, withDecoder } from "../../support/decoders.ts";
import { CHECKPOINTS, type Golden, golden } from "../../support/goldens.ts";
import { inTurn } from "../../support/gpu.ts";
import { largestDifference, negativeLogLikelihood, row, spread } from "../../support/logits.ts";

/** Of the spread of a row; hearth's reference ran on the stored f16 weights, so nothing is rounded differently. */
const TOLERANCE = 2e-4;

async function greedy(source: ModelSource, decoder: Decoder, recorded: Golden): Promise<void> {
  const { prompt, prompt_ids: start, ids, text } = recorded.greedy;
  const tokenizer = await source.tokenizer();
  expect(tokenizer.encode(prompt)).toEqual(start);
  const made = await continued(decoder, start, { tokens: ids.length - start.length, stop: [] });
  expect([...start, ...made]).toEqual(ids);
  expect(tokenizer.decode([...start, ...made])).toBe(text);
}

/** From a BOS alone, where that was recorded: for the checkpoints of others. */
async function fromBos(decoder: Decoder, recorded: Golden): Promise<void> {
  const [bos = -1, ...rest] = recorded.greedy_from_bos?.ids ?? [];
  expect(rest.length).toBeGreaterThan(0);
  expect(await continued(decoder, [bos], { tokens: rest.length, stop: [] })).toEqual(rest);
}

async function teacher(decoder: Decoder, recorded: Golden): Promise<void> {
  const { ids, nll, mean_nll: mean, top5, last_logits: last } = recorded.teacher;
  const { vocab } = decoder.config;
  const logits = await decoder.forward(ids);
  expect(logits).toHaveLength(ids.length * vocab);

  const losses = nll.map((_, t) => negativeLogLikelihood(row(logits, t, vocab), ids[t + 1] ?? -1));
  expect(largestDifference(losses, nll)).toBeLessThan(1e-3);
  expect(losses.reduce((a, b) => a + b, 0) / losses.length).toBeCloseTo(mean, 5);

  expect(top5).toHaveLength(ids.length);
  let worst = 0;
  for (const [t, best] of top5.entries()) {
    const values = row(logits, t, vocab);
    // The recorded five by id, and our own five by rank: together they say that no other id got among them.
    const ranked = values.slice().sort().reverse();
    for (const [place, [id, value]] of best.entries()) {
      const off = Math.max(Math.abs((values[id] ?? Number.NaN) - value), Math.abs((ranked[place] ?? 0) - value));
      worst = Math.max(worst, off / spread(values));
    }
  }
  expect(worst).toBeLessThan(TOLERANCE);
  const end = row(logits, ids.length - 1, vocab);
  expect(largestDifference(end, last) / spread(last)).toBeLessThan(TOLERANCE);
}

describe("trained checkpoints", () => {
  for (const { name, path, file, there, adapter } of inTurn(CHECKPOINTS))
    test.skipIf(!there)(`${name} says and predicts what was recorded on ${adapter}`, async () => {
      const recorded = await golden(file);
      const source = await openModel(path);
      await withDecoder(adapter, source, {}, async (decoder) => {
        await greedy(source, decoder, recorded);
        if (file !== "hearth") await fromBos(decoder, recorded);
        await teacher(decoder, recorded);
      });
    });
});
