/**
 * What every policy promises, whatever the scores: never more than C kept, one token dropped a step, none invented, the
 * protected ones safe. And what a window is.
 */
import { beforeAll, describe, expect, test } from "vitest";
import { type ModelSource, parsePolicy } from "../../../models/index.ts";
import { keptByStep, withDecoder } from "../../support/decoders.ts";
import { adaptersUnderTest } from "../../support/gpu.ts";
import { randomIds, uniform } from "../../support/random.ts";
import { randomModel } from "../../support/random-model.ts";
import { temporary } from "../formats/temporary.ts";

const SEED = 48_271;
const LENGTH = 40;

const at = temporary();
let model: ModelSource;
beforeAll(async () => {
  model = await randomModel(at("model"), SEED, { layers: 2, heads: 4, groups: 2 });
});

/** Policies with sizes drawn at random, the smallest ones included. */
function drawn(): string[] {
  const next = uniform(SEED);
  const below = (n: number): number => Math.floor(next() * n);
  const states = ["tova:1", "window:1", "tova:2,recent=1", "window:2,first=1", "tova:3,recent=1,first=1"];
  for (let i = 0; i < 3; i++) {
    const slots = 2 + below(20);
    const first = below(slots);
    const recent = below(slots - first);
    states.push(`window:${slots},first=${first}`, `tova:${slots},recent=${recent},first=${first}`);
  }
  return states;
}

function upTo(end: number): number[] {
  return Array.from({ length: end }, (_, i) => i);
}

describe.each(adaptersUnderTest())(`policies on %s, seed ${SEED}`, (adapter) => {
  test.each(drawn())("%s keeps its promises", async (state) => {
    const { name, slots = 0, options } = parsePolicy(state);
    const { recent = 0, first = 0 } = options;
    const ids = randomIds(SEED + slots, LENGTH, model.config.vocab);
    const kept = await withDecoder(adapter, model, { state }, (decoder) => keptByStep(decoder, ids));
    expect(kept).toHaveLength(LENGTH);
    for (const [t, layers] of kept.entries()) {
      expect(layers).toHaveLength(model.config.layers.length);
      for (const [layer, positions] of layers.entries()) {
        const candidates = [...(kept[t - 1]?.[layer] ?? []), t];
        const where = `layer ${layer}, token ${t}`;
        expect(positions, where).toHaveLength(Math.min(t + 1, slots));
        expect(new Set(positions).size, where).toBe(positions.length);
        expect(
          candidates.filter((p) => !positions.includes(p)),
          where,
        ).toHaveLength(t < slots ? 0 : 1);
        expect(candidates, where).toEqual(expect.arrayContaining(positions));
        expect(positions, where).toEqual(expect.arrayContaining(upTo(t + 1).filter((p) => p < first)));
        expect(positions, where).toEqual(expect.arrayContaining(upTo(t + 1).filter((p) => p + recent > t)));
        if (name === "window") {
          const newest = upTo(t + 1).slice(Math.max(first, t + 1 - slots + first));
          expect(positions, where).toEqual([...upTo(Math.min(first, t + 1)), ...newest]);
        }
      }
    }
  });

  test("full keeps everything", async () => {
    const ids = randomIds(SEED, 24, model.config.vocab);
    const kept = await withDecoder(adapter, model, { state: "full:24" }, (decoder) => keptByStep(decoder, ids));
    expect(kept).toEqual(ids.map((_, t) => [upTo(t + 1), upTo(t + 1)]));
  });
});
