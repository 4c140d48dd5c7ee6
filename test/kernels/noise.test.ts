/**
 * The noise of a draw against float64 and against its distribution: word for word on every adapter, 2^24 words
 * together, and draws from a large vocabulary.
 */
import { describe, expect, test } from "vitest";
import { block, gumbel, type Scalar, type Tensor, type u32, uniform } from "../../dsl/index.ts";
import { END, FEED, POSITION, SEED as SEED_COLUMN } from "../../models/kernels/feed.ts";
import { choose } from "../../models/kernels/index.ts";
import { gpuOf } from "../support/decoders.ts";
import { adaptersUnderTest, everyAdapter } from "../support/gpu.ts";
import { normal } from "../support/random.ts";
import { laneOf, noise, tail, wordAt } from "./noise.ts";

/** Noise and uniform numbers at some lanes of (seed, counter). */
function noiseAt(
  seed: Scalar<u32>,
  counter: Scalar<u32>,
  lanes: Tensor<"n", u32>,
  y: Tensor<"n">,
  u: Tensor<"n">,
): void {
  const i = block("n");
  y.set([i], gumbel(seed, counter, lanes.at(i)));
  u.set([i], uniform(seed, counter, lanes.at(i)));
}

/** Noise of lanes one after the other. */
function noiseFrom(seed: Scalar<u32>, counter: Scalar<u32>, y: Tensor<"n">): void {
  const i = block("n");
  y.set([i], gumbel(seed, counter, i));
}

const SEED = 77_003;
const COUNTER = 41;
/** Every word of the upper end, the lower end, and words spread over all of them. */
const TOP = 2 ** 16;
const SPREAD = 2 ** 22;

test("the lane of a word has that word", () => {
  for (const word of [0, 1, 0x7fffffff, 0x80000000, 0xffffff00, 0xffffffff])
    expect(wordAt(SEED, COUNTER, laneOf(SEED, COUNTER, word))).toBe(word);
});

describe.each(everyAdapter())(`noise on %s, seed ${SEED}`, (adapter) => {
  test("is that of its word, finite, and uniform numbers are inside (0, 1)", async () => {
    const gpu = await gpuOf(adapter);
    const k = await gpu.kernels(import.meta, { noiseAt });
    const words = new Uint32Array(2 * TOP + SPREAD);
    for (let i = 0; i < TOP; i++) words[i] = 2 ** 32 - 1 - i;
    for (let i = 0; i < TOP; i++) words[TOP + i] = i;
    // An odd step takes every word of the spread to another place.
    for (let i = 0; i < SPREAD; i++) words[2 * TOP + i] = Math.imul(i, 0x9e3779b1) >>> 0;
    const n = words.length;
    const lanes = gpu.tensor({ n }, "u32", { data: words.map((word) => laneOf(SEED, COUNTER, word)) });
    const [y, u] = [gpu.tensor({ n }), gpu.tensor({ n })];
    k.noiseAt(SEED, COUNTER, lanes, y, u);
    const [ys, us] = [await y.read(), await u.read()];
    let [worst, off, least, most] = [0, 0, 1, 0];
    for (const [i, word] of words.entries()) {
      const [g, x] = [ys[i] as number, us[i] as number];
      const away = Math.abs(g - noise(word));
      // Not a number is no smaller than anything.
      if (!(away <= worst)) worst = away;
      const apart = Math.abs(x - (1 - tail(word)));
      if (!(apart <= off)) off = apart;
      least = Math.min(least, x);
      most = Math.max(most, x);
    }
    expect(worst).toBeLessThan(1e-5);
    expect(off).toBeLessThan(1e-7);
    expect(least).toBeGreaterThan(0);
    expect(most).toBeLessThan(1);
    for (const t of [lanes, y, u]) t.destroy();
  });

  test("2^24 words have the distribution, up to a tail of 2^-22", async () => {
    const gpu = await gpuOf(adapter);
    const k = await gpu.kernels(import.meta, { noiseFrom });
    const n = 2 ** 24;
    const y = gpu.tensor({ n });
    k.noiseFrom(SEED, COUNTER, y);
    const ys = await y.read();
    y.destroy();
    // Bins between 2^-k and 2^-(k + 1) of the upper and the lower tail, and all beyond 2^-22.
    const LAST = 22;
    const upper = Array.from({ length: LAST }, (_, i) => -Math.log(-Math.log1p(-(2 ** -(i + 1)))));
    const lower = Array.from({ length: LAST }, (_, i) => -Math.log((i + 1) * Math.LN2));
    const bin = (g: number): number => {
      let k = 0;
      if (g > (upper[0] as number)) {
        while (k < LAST - 1 && g > (upper[k + 1] as number)) k++;
        return k;
      }
      while (k < LAST - 1 && g < (lower[k + 1] as number)) k++;
      return LAST + k;
    };
    const counts = new Float64Array(2 * LAST);
    for (const g of ys) counts[bin(g)] = (counts[bin(g)] ?? 0) + 1;
    let chi = 0;
    for (const [i, count] of counts.entries()) {
      const k = i % LAST;
      const share = k === LAST - 1 ? 2 ** -LAST : 2 ** -(k + 2);
      expect(Math.abs(count - n * share), `bin ${i}: ${count}`).toBeLessThan(5 * Math.sqrt(n * share) + 2);
      chi += (count - n * share) ** 2 / (n * share);
    }
    expect(counts.reduce((a, b) => a + b)).toBe(n);
    // 43 degrees of freedom: 999 of 1000 stay below, and the seed is fixed.
    expect(chi).toBeLessThan(77.4);
  });
});

const CHOOSE = { url: new URL("../../models/kernels/index.ts", import.meta.url).href };

test("20,000 draws from a vocabulary of 128,256 fall evenly into 64 bins of equal probability", async () => {
  const [vocab, sequences, ring, steps, bins] = [128_256, 32, 25, 625, 64];
  const gpu = await gpuOf(adaptersUnderTest()[0] ?? "");
  const k = await gpu.kernels(CHOOSE, { choose });
  const next = normal(SEED);
  const row = Float32Array.from({ length: vocab }, () => 2 * next());
  const weights = row.map((x) => Math.exp(x));
  const total = weights.reduce((a, b) => a + b, 0);
  // The most likely ids first, each to the bin that holds least.
  const binOf = new Uint8Array(vocab);
  const share = new Float64Array(bins);
  for (const id of [...weights.keys()].sort((i, j) => (weights[j] as number) - (weights[i] as number))) {
    const least = share.indexOf(Math.min(...share));
    binOf[id] = least;
    share[least] = (share[least] as number) + (weights[id] as number) / total;
  }
  for (const p of share) expect(Math.abs(p * bins - 1)).toBeLessThan(1e-4);

  const rows = Array.from({ length: sequences }, (_, s) => s);
  const feed = rows.flatMap((s) => {
    const own = new Array<number>(FEED).fill(0);
    [own[POSITION], own[END], own[SEED_COLUMN]] = [1, 2 ** 31, SEED + s];
    return own;
  });
  const logits = gpu.tensor({ sequences, vocab }, "f32", { data: rows.flatMap(() => [...row]) });
  const settings = gpu.tensor({ sequences, settings: 4 }, "f32", { data: rows.flatMap(() => [1, 0, 1, 0]) });
  const stops = gpu.tensor({ sequences, stops: 1 }, "u32", { data: rows.map(() => 0xffffffff) });
  const victim = gpu.tensor({ layers: 1, lanes: sequences }, "u32");
  const free = gpu.tensor({ layers: 1, lanes: sequences }, "u32");
  const picked = gpu.tensor({ ring, sequences }, "u32");
  const stand = gpu.tensor({ sequences, feed: FEED }, "u32", { data: feed });
  const plan = await gpu.record("draws", () => k.choose(logits, settings, stops, victim, 8, picked, stand, free));
  const counts = new Float64Array(bins);
  for (let at = 0; at < steps; at += ring) {
    plan.run(ring);
    for (const id of await picked.read()) {
      expect(id).toBeLessThan(vocab);
      const bin = binOf[id] as number;
      counts[bin] = (counts[bin] ?? 0) + 1;
    }
  }
  plan.destroy();
  for (const t of [logits, settings, stops, victim, free, picked, stand]) t.destroy();
  const draws = sequences * steps;
  const chi = counts.reduce((sum, count, i) => {
    const e = draws * (share[i] as number);
    return sum + (count - e) ** 2 / e;
  }, 0);
  // 63 degrees of freedom: 999 of 1000 stay between 33 and 104, and the seed is fixed.
  expect(chi).toBeGreaterThan(33);
  expect(chi).toBeLessThan(104);
}, 300_000);
