/** Sampling and the policies' kernels against plain references: the same draw, the same victim, on every adapter and rung. */
import { describe, expect, test } from "vitest";
import { loadPrograms, type TileProgram } from "../../compiler/index.ts";
import { choose } from "../../models/kernels/index.ts";
import { POLICIES } from "../../models/state/policy.ts";
import { normal, uniform } from "../support/random.ts";
import { checkKernel, type Use } from "./harness.ts";

const SEED = 404;
const load = async (path: string, name: string): Promise<TileProgram> => {
  const { programs } = await loadPrograms(new URL(`../../models/${path}`, import.meta.url).href, [name]);
  return programs.get(name) as TileProgram;
};

// ---- Sampling ---------------------------------------------------------------------------------------------------------------

/** The generator of dsl/helpers.ts once more, in the host's integers. */
function pcg(word: number): number {
  const state = (Math.imul(word, 747796405) + 2891336453) >>> 0;
  const mixed = Math.imul(((state >>> ((state >>> 28) + 4)) ^ state) >>> 0, 277803737) >>> 0;
  return ((mixed >>> 22) ^ mixed) >>> 0;
}
const gumbel = (seed: number, counter: number, lane: number): number => {
  const bits = pcg((pcg((pcg(seed) ^ counter) >>> 0) ^ lane) >>> 0);
  return -Math.log(-Math.log(Math.fround(((bits >>> 8) + 0.5) * 5.9604644775390625e-8)));
};

interface Settings {
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
}

/** The tokens that may be drawn: all that reach the k-th largest logit, of them the smallest set (ties included) that holds `topP` of the probability. */
function allowed(logits: readonly number[], { temperature, topK, topP }: Settings): number[] {
  const peak = Math.max(...logits);
  const falling = [...logits].sort((a, b) => b - a);
  let floor = topK > 0 ? (falling[Math.min(topK, logits.length) - 1] as number) : -Infinity;
  if (topP < 1) {
    const weight = (x: number): number => Math.exp((x - peak) / temperature);
    const held = (from: number): number => logits.filter((x) => x >= from).reduce((sum, x) => sum + weight(x), 0);
    const total = held(floor);
    floor = falling.filter((x) => x >= floor).find((x) => held(x) >= topP * total) ?? floor;
  }
  return logits.flatMap((x, i) => (x >= floor ? [i] : []));
}

function expected(logits: readonly number[], settings: Settings, seed: number, position: number): number {
  if (settings.temperature === 0) return logits.indexOf(Math.max(...logits));
  const noisy = (i: number): number => (logits[i] as number) / settings.temperature + gumbel(seed, position, i);
  return allowed(logits, settings).reduce((best, i) => (noisy(i) > noisy(best) ? i : best));
}

const next = normal(SEED);
const smooth = Array.from({ length: 37 }, () => Math.fround(next() * 2));
/** Halves, so that many logits are equal, at the edges of top-k and top-p too. */
const coarse = smooth.map((x) => Math.round(x) / 2);
const ROWS = 2;
const RING = 5;

async function checkChoice(
  logits: readonly number[],
  settings: Settings,
  seed: number,
  position: number,
  end: number,
): Promise<void> {
  const prompt = Array.from({ length: RING }, (_, i) => 100 + i);
  const picked = new Array<number>(RING).fill(7);
  const choice = expected(logits, settings, seed, position);
  const want = picked.with(position % RING, choice);
  const use: Use = {
    sizes: { rows: ROWS, vocab: logits.length, settings: 3, ring: RING, clock: 3 },
    data: {
      // The other row is one that must not be read.
      logits: Array.from({ length: ROWS }, (_, r) =>
        r === position % ROWS ? logits : logits.map((x) => 50 - x),
      ).flat(),
      settings: [settings.temperature, settings.topK, settings.topP],
      prompt,
      picked,
      token: [1],
      clock: [position, end, seed],
    },
    want: {
      picked: want,
      token: [position + 1 < end ? (prompt[(position + 1) % RING] as number) : choice],
      clock: [position + 1, end, seed],
    },
  };
  await checkKernel(await load("kernels/index.ts", choose.name), use);
}

describe(`sampling (seed ${SEED})`, () => {
  test.each<[string, readonly number[], Settings, number, number, number]>([
    ["greedy", smooth, { temperature: 0, topK: 0, topP: 1 }, 1, 3, 0],
    ["greedy, of equals the first", coarse, { temperature: 0, topK: 3, topP: 0.5 }, 1, 4, 0],
    ["greedy, all equal", coarse.map(() => -2), { temperature: 0, topK: 0, topP: 1 }, 9, 12, 0],
    ["a prompt token is waiting", smooth, { temperature: 1, topK: 0, topP: 1 }, 1, 3, 9],
    ["everything allowed", smooth, { temperature: 1, topK: 0, topP: 1 }, 123456789, 8, 0],
    ["hot", smooth, { temperature: 10, topK: 0, topP: 1 }, 0xffffffff, 1_000_003, 0],
    ["cold", smooth, { temperature: 0.01, topK: 0, topP: 1 }, 5, 6, 0],
    ["top-k 1", smooth, { temperature: 5, topK: 1, topP: 1 }, 6, 6, 0],
    ["top-k 5", smooth, { temperature: 5, topK: 5, topP: 1 }, 7, 6, 0],
    ["top-k among equals", coarse, { temperature: 5, topK: 4, topP: 1 }, 8, 6, 0],
    ["top-k of more than there are", smooth, { temperature: 2, topK: 1000, topP: 1 }, 9, 6, 0],
    ["top-p that one token holds", smooth, { temperature: 0.1, topK: 0, topP: 0.01 }, 10, 6, 0],
    ["top-p 0.7", smooth, { temperature: 1.5, topK: 0, topP: 0.7 }, 11, 6, 0],
    ["top-p among equals", coarse, { temperature: 1, topK: 0, topP: 0.45 }, 12, 6, 0],
    ["top-k and top-p", smooth, { temperature: 2, topK: 9, topP: 0.6 }, 13, 6, 0],
    ["one token", [3], { temperature: 1, topK: 1, topP: 0.5 }, 14, 0, 0],
  ])("%s", async (_, logits, settings, seed, position, end) => checkChoice(logits, settings, seed, position, end));

  test("the reference draws what the probabilities say", () => {
    const settings = { temperature: 2, topK: 6, topP: 0.9 };
    const set = allowed(smooth, settings);
    const weights = set.map((i) => Math.exp((smooth[i] as number) / 2));
    const total = weights.reduce((a, b) => a + b, 0);
    const draws = 4000;
    const seen = new Map<number, number>();
    for (let position = 0; position < draws; position++) {
      const id = expected(smooth, settings, SEED, position);
      seen.set(id, (seen.get(id) ?? 0) + 1);
    }
    expect([...seen.keys()].every((id) => set.includes(id))).toBe(true);
    // Chi-squared with at most five degrees of freedom stays below 20.5 in 999 of 1000 runs, and the seed is fixed.
    const chi = set.reduce((sum, id, i) => {
      const e = (draws * (weights[i] as number)) / total;
      return sum + ((seen.get(id) ?? 0) - e) ** 2 / e;
    }, 0);
    expect(chi).toBeLessThan(20.5);
  });
});

// ---- Policies ---------------------------------------------------------------------------------------------------------------

/** A full state: positions in some order, the newest of them in the slot that the clock's token took. */
function fullState(slots: number, now: number, salt: number): number[] {
  const draw = uniform(SEED + salt);
  const older = Array.from({ length: now }, (_, i) => i);
  for (let i = older.length - 1; i > 0; i--) {
    const j = Math.floor(draw() * (i + 1));
    [older[i], older[j]] = [older[j] as number, older[i] as number];
  }
  return [...older.slice(0, slots - 1), now];
}

const CLOCK = (now: number): number[] => [now, 0, 0];

describe(`policies (seed ${SEED})`, () => {
  const used = new Set<string>();
  async function check(name: string, use: Use): Promise<void> {
    used.add(name);
    await checkKernel(await load("state/policy.ts", name), use);
  }

  test.each([0, 41])("full at %d", (now) =>
    check("full", { sizes: { clock: 3 }, data: { clock: CLOCK(now) }, want: { free: [now + 1] } }),
  );

  test.each([
    { slots: 2, now: 0, first: 0 },
    { slots: 9, now: 7, first: 0 },
    { slots: 9, now: 8, first: 0 },
    { slots: 43, now: 200, first: 0 },
    { slots: 43, now: 60, first: 4 },
  ])("window, $slots slots at $now, the first $first kept", ({ slots, now, first }) => {
    const positions =
      now + 1 < slots ? Array.from({ length: slots }, (_, i) => i) : fullState(slots, now, slots + first);
    const oldest = Math.min(...positions.filter((p) => p >= first));
    const free = now + 1 < slots ? now + 1 : positions.indexOf(oldest);
    return check("window", {
      sizes: { slots, clock: 3 },
      data: { positions, clock: CLOCK(now) },
      scalars: { first },
      want: { free: [free] },
    });
  });

  test.each([
    { slots: 2, now: 0, recent: 0, first: 0, equal: false },
    { slots: 9, now: 7, recent: 0, first: 0, equal: false },
    { slots: 9, now: 8, recent: 0, first: 0, equal: false },
    { slots: 43, now: 200, recent: 0, first: 0, equal: false },
    { slots: 43, now: 200, recent: 0, first: 0, equal: true },
    { slots: 43, now: 60, recent: 16, first: 5, equal: true },
    { slots: 9, now: 30, recent: 8, first: 0, equal: true },
  ])(
    "tova, $slots slots at $now, recent $recent, first $first, equal scores $equal",
    ({ slots, now, recent, first, equal }) => {
      const heads = 3;
      const draw = normal(SEED + slots + now);
      const positions =
        now + 1 < slots ? Array.from({ length: slots }, (_, i) => i) : fullState(slots, now, slots + recent);
      // One number for a slot in all heads, so that equal scores are equal to the last bit.
      const level = positions.map((_, i) => (equal ? -(i % 3) : Math.fround(draw())));
      const scores = Array.from({ length: heads }, () => level).flat();
      const lse = new Array<number>(heads).fill(2);
      const candidates = positions.flatMap((p, i) => (p >= first && p + recent <= now ? [i] : []));
      const victim = candidates.reduce(
        (best, i) =>
          (level[i] as number) < (level[best] as number) ||
          (level[i] === level[best] && (positions[i] as number) < (positions[best] as number))
            ? i
            : best,
        candidates[0] ?? 0,
      );
      return check("tova", {
        sizes: { heads, slots, clock: 3 },
        data: { scores, lse, positions, clock: CLOCK(now) },
        scalars: { recent, first },
        want: { free: [now + 1 < slots ? now + 1 : victim] },
      });
    },
  );

  test("every policy is checked here", () => {
    expect([...used].sort()).toEqual(Object.keys(POLICIES).sort());
  });
});
