/**
 * What a bounded state computes, on random weights: with room for everything it is the full cache, and with less it is
 * a transformer under the mask that the policy's choices amount to.
 *
 * The reference knows nothing of slots: it reads the whole text at once in float64. It also checks the choices
 * themselves, by its own scores.
 */
import { beforeAll, describe, expect, test } from "vitest";
import { type ModelSource, parsePolicy } from "../../../models/index.ts";
import { continued, keptByStep, withDecoder } from "../../support/decoders.ts";
import { adaptersUnderTest } from "../../support/gpu.ts";
import { argmax, largestDifference, row, spread } from "../../support/logits.ts";
import { randomIds } from "../../support/random.ts";
import { randomModel } from "../../support/random-model.ts";
import { causal, referenceRun, visibleFrom } from "../../support/reference-llama.ts";
import { temporary } from "../formats/temporary.ts";

const SEED = 20_611;
const LENGTH = 48;
const C = 12;
const HEADS = 4;
/** Another choice is allowed where the float64 scores are closer than this, relative to the score. */
const OPEN = 1e-4;

const at = temporary();
const models: Map<number, ModelSource> = new Map();
const ids: readonly number[] = randomIds(SEED, LENGTH, 64);

beforeAll(async () => {
  for (const groups of [4, 2, 1]) {
    models.set(groups, await randomModel(at(`groups-${groups}`), SEED + groups, { heads: HEADS, groups }));
  }
});

function model(groups: number): ModelSource {
  const found = models.get(groups);
  if (found === undefined) throw new Error(`no model of ${groups} KV heads`);
  return found;
}

describe.each(adaptersUnderTest())(`states on %s, seed ${SEED}`, (adapter) => {
  describe.each([4, 2, 1])("%i KV heads of 4", (groups) => {
    test("with room for the whole text every state gives the logits of the full cache", async () => {
      const run = (state: string): Promise<Float32Array> =>
        withDecoder(adapter, model(groups), { state }, (decoder) => decoder.forward(ids));
      const full = await run("full");
      const expected = await referenceRun(model(groups), ids, causal);
      expect(largestDifference(full, flat(expected.logits)) / spread(full)).toBeLessThan(1e-4);
      for (const state of [`tova:${LENGTH}`, `window:${LENGTH}`, `tova:${LENGTH},recent=4`]) {
        expect(largestDifference(await run(state), full) / spread(full), state).toBeLessThan(1e-5);
      }
    });

    test.each([`window:${C}`, `window:${C},first=2`, `tova:${C}`, `tova:${C},recent=4`, `tova:${C},recent=2,first=2`])(
      "%s is one parallel pass under its mask",
      async (state) => {
        const { kept, logits } = await withDecoder(adapter, model(groups), { state }, async (decoder) => ({
          kept: await keptByStep(decoder, ids),
          logits: await decoder.forward(ids),
        }));
        const visible = visibleFrom(kept);
        const reference = await referenceRun(model(groups), ids, visible);
        expect(largestDifference(logits, flat(reference.logits)) / spread(logits)).toBeLessThan(1e-4);

        const { name, options } = parsePolicy(state);
        const { recent = 0, first = 0 } = options;
        for (let t = C; t < LENGTH; t++) {
          for (const [layer, after] of (kept[t] ?? []).entries()) {
            const seen = visible(layer, t);
            const gone = seen.filter((p) => !after.includes(p));
            expect(gone).toHaveLength(1);
            const free = seen.filter((p) => p >= first && (name === "window" || p + recent <= t));
            if (name === "window") {
              expect(gone[0]).toBe(Math.min(...free));
              continue;
            }
            expect(free).toContain(gone[0]);
            const score = (p: number): number => reference.weights[layer]?.[t]?.[seen.indexOf(p)] ?? Number.NaN;
            const lowest = Math.min(...free.map(score));
            expect(score(gone[0] ?? -1), `layer ${layer}, token ${t}`).toBeLessThanOrEqual(lowest * (1 + OPEN));
          }
        }
      },
    );
  });

  test("positions beyond a row of the rotary tables are as exact as the first", async () => {
    const long = randomIds(SEED + 2, 2100, 64);
    const logits = await withDecoder(adapter, model(2), { state: `window:${C}` }, (decoder) => decoder.forward(long));
    const newest = (_: number, t: number): number[] =>
      Array.from({ length: Math.min(t, C) + 1 }, (_, i) => t - Math.min(t, C) + i);
    const reference = await referenceRun(model(2), long, newest);
    expect(largestDifference(logits, flat(reference.logits)) / spread(logits)).toBeLessThan(1e-4);
  });

  describe("a prompt that is read at once", () => {
    test.each([
      { state: `tova:${C}`, recent: 0, first: 0 },
      { state: `tova:${C},recent=4`, recent: 4, first: 0 },
      { state: `tova:${C},recent=2,first=2`, recent: 2, first: 2 },
      { state: `window:${C}`, recent: C, first: 0 },
      { state: `window:${C},first=3`, recent: C - 3, first: 3 },
    ])("$state keeps the best by the last query, and goes on from there", async ({ state, recent, first }) => {
      const source = model(2);
      const prompt = ids.slice(0, 30);
      const tokens = 16;
      const last = prompt.length - 1;
      await withDecoder(adapter, source, { state }, async (decoder) => {
        // A run of n tokens has read n - 1 of them: so the state after each can be looked at.
        const kept: number[][][] = [];
        const texts: number[][] = [];
        for (let n = 1; n <= tokens; n++) {
          texts.push(await continued(decoder, prompt, { tokens: n, prefill: "oneshot", stop: [] }));
          kept.push(await decoder.kept());
          expect(decoder.seen).toBe(last + n);
        }
        const text = texts.at(-1) ?? [];
        for (const [i, shorter] of texts.entries()) expect(shorter).toEqual(text.slice(0, i + 1));

        const whole = [...prompt, ...text.slice(0, -1)];
        const visible = (layer: number, t: number): readonly number[] =>
          t <= last ? causal(layer, t) : [...(kept[t - 1 - last]?.[layer] ?? []), t];
        const reference = await referenceRun(source, whole, visible);
        for (let layer = 0; layer < source.config.layers.length; layer++) {
          const scores = [...(reference.weights[layer]?.[last] ?? [])].map((score, p) => ({
            p,
            score: p < first || p + recent > last ? Infinity : score,
          }));
          scores.sort((a, b) => b.score - a.score || b.p - a.p);
          const gap = ((scores[C - 1]?.score ?? 0) - (scores[C]?.score ?? 0)) / (scores[C]?.score ?? 0);
          expect(gap, "the seed leaves the choice open").toBeGreaterThan(OPEN);
          const best = scores.slice(0, C).map(({ p }) => p);
          expect(kept[0]?.[layer], `layer ${layer}`).toEqual(best.sort((a, b) => a - b));
        }
        for (const [i, id] of text.entries()) {
          const logits = reference.logits[last + i] ?? new Float64Array();
          const ahead = (logits[argmax(logits)] ?? 0) - (logits[id] ?? Number.NaN);
          expect(ahead / spread(logits), `token ${i}`).toBeLessThan(1e-4);
        }
      });
    });

    test("a prompt that fits is read as it is token by token", async () => {
      for (const length of [C - 3, C]) {
        const prompt = ids.slice(0, length);
        await withDecoder(adapter, model(2), { state: `tova:${C}` }, async (decoder) => {
          const once = await continued(decoder, prompt, { tokens: 1, prefill: "oneshot", stop: [] });
          const everything = Array.from({ length }, (_, p) => p);
          expect(await decoder.kept()).toEqual(Array.from({ length: 3 }, () => everything));
          const long = await continued(decoder, prompt, { tokens: 20, prefill: "oneshot", stop: [] });
          expect(await continued(decoder, prompt, { tokens: 20, prefill: "recurrent", stop: [] })).toEqual(long);
          expect(once).toEqual(long.slice(0, 1));
        });
      }
    });

    test("one token too many costs the one of least weight, as it does token by token", async () => {
      const prompt = ids.slice(0, C + 1);
      await withDecoder(adapter, model(2), { state: `tova:${C}` }, async (decoder) => {
        const atOnce = await continued(decoder, prompt, { tokens: 20, prefill: "oneshot", stop: [] });
        await continued(decoder, prompt, { tokens: 1, prefill: "oneshot", stop: [] });
        const kept = await decoder.kept();
        expect(await continued(decoder, prompt, { tokens: 20, stop: [] })).toEqual(atOnce);
        await continued(decoder, prompt, { tokens: 1, stop: [] });
        expect(await decoder.kept()).toEqual(kept);
      });
    });

    test("a prompt longer than the ring of waiting tokens", async () => {
      const source = model(1);
      const prompt = randomIds(SEED + 1, 1100, 64);
      await withDecoder(adapter, source, { state: `tova:${C}` }, async (decoder) => {
        await continued(decoder, prompt, { tokens: 1, prefill: "oneshot", stop: [] });
        const kept = await decoder.kept();
        for (const layer of kept) expect(layer).toHaveLength(C);
        const [next] = await continued(decoder, prompt, { tokens: 1, prefill: "oneshot", stop: [] });
        expect(await decoder.kept()).toEqual(kept);
        const logits = await withDecoder(adapter, source, { state: "full:1100" }, (full) => full.forward(prompt));
        expect(next).toBe(argmax(row(logits, 1099, 64)));
      });
    });
  });
});

function flat(rows: readonly Float64Array[]): Float64Array {
  const out = new Float64Array(rows.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const values of rows) {
    out.set(values, at);
    at += values.length;
  }
  return out;
}
