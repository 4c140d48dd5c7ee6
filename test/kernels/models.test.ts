/** Every kernel of the decoder at sizes that do not divide, in every weight format, against the interpreter. */
import { describe, expect, test } from "vitest";
import { loadPrograms, type StorageType, type TileProgram } from "../../compiler/index.ts";
import { FEED, ID, POSITION, RESTS, ROW, SEQUENCE, TICK } from "../../models/kernels/feed.ts";
import * as kernels from "../../models/kernels/index.ts";
import { checkKernel, type Use } from "./harness.ts";

const NAMES = Object.keys(kernels);
const url = new URL("../../models/kernels/index.ts", import.meta.url).href;
const programs = loadPrograms(url, NAMES).then((l) => l.programs);
const used = new Set<string>();

async function check(name: string, use: Use): Promise<void> {
  used.add(name);
  await checkKernel((await programs).get(name) as TileProgram, use);
}

const FORMATS: readonly StorageType[] = ["f32", "f16", "bf16", "q8", "q4"];

/** Rows of `feed`: the given columns, all others 77, which is nobody's place. */
function feedOf(...rows: Readonly<Record<number, number>>[]): number[] {
  return rows.flatMap((row) => Array.from({ length: FEED }, (_, c) => row[c] ?? 77));
}

describe("attend (seed 1)", () => {
  const head = (groups: number, queries: number, dim: number, slots: number, position: number): [string, Use] => [
    `${groups} groups of ${queries} heads of ${dim}, position ${position} of ${slots} slots`,
    {
      sizes: { rows: 2, sequences: 1, tokens: 1, groups, queries, dim, slots, feed: FEED, scored: 2, layers: 3 },
      data: { feed: feedOf({ [POSITION]: position, [SEQUENCE]: 0, [ROW]: 1 }), slot: [slots - 1] },
      scalars: { layer: 1 },
      // Scores of slots that are not live yet are left alone.
      partial: true,
      tolerance: 2e-5,
    },
  ];
  test.each([
    head(2, 1, 8, 1, 0),
    head(1, 2, 16, 5, 0),
    head(1, 4, 64, 5, 4),
    head(1, 7, 80, 5, 2),
    head(1, 8, 96, 5, 100),
    head(2, 2, 128, 5, 3),
    head(2, 1, 64, 129, 127),
    head(1, 2, 16, 129, 128),
    head(1, 3, 20, 129, 40),
  ])("%s", (_, use) => check("attend", use));

  test("leaving no scores", () => {
    const [, use] = head(2, 2, 16, 5, 3);
    const { scored: _, ...sizes } = use.sizes ?? {};
    return check("attendOnly", { ...use, sizes });
  });

  test("three sequences of different ages", () => {
    const of = (position: number, sequence: number): Record<number, number> => ({
      [POSITION]: position,
      [SEQUENCE]: sequence,
      [ROW]: sequence,
    });
    return check("attend", {
      sizes: {
        ...{ rows: 3, sequences: 3, tokens: 3, groups: 2, queries: 2, dim: 16, slots: 9, feed: FEED },
        ...{ scored: 1, layers: 3 },
      },
      data: { feed: feedOf(of(3, 2), of(0, 0), of(400, 1)), slot: [3, 0, 5] },
      // The scores of all layers have one place here.
      scalars: { layer: 2 },
      partial: true,
      tolerance: 2e-5,
    });
  });
});

describe("flash (seed 1)", () => {
  test.each([
    [1, 1, 16, 9, 0],
    [4, 2, 16, 40, 17],
    [3, 1, 64, 33, 24],
  ])("%d heads over %d groups of %d, 9 tokens in %d slots from %d", (heads, groups, dim, slots, from) => {
    const tokens = 9;
    // The last two are padding: both go to the slot behind the others.
    const slot = Array.from({ length: tokens }, (_, t) => from + Math.min(t, tokens - 2));
    const feed = feedOf(...slot.map((position) => ({ [POSITION]: position })));
    const padded = slots > tokens;
    return check("flash", {
      sizes: { heads, groups, dim, slots, tokens, one: 1, feed: FEED, layers: 2 },
      data: { feed, slot },
      scalars: { layer: 1 },
      partial: padded || from + tokens > 0,
      tolerance: 2e-5,
    });
  });
});

describe("products (seed 1)", () => {
  const EPS = 1e-5;
  test.each([...FORMATS.map((dtype) => ["qkv", dtype] as const), ["biasedQkv", "f32"], ["biasedQkv", "f16"]] as const)(
    "%s with %s weights",
    async (kernel, dtype) => {
      const quantised = dtype === "q8" || dtype === "q4";
      await check(kernel, {
        sizes: {
          dim: quantised ? 64 : 50,
          rows: 4 + 2 + 2,
          halves: 2,
          half: 5,
          parts: 2,
          tokens: 3,
          feed: FEED,
          heads: 4,
          groups: 2,
          sequences: 2,
          slots: 5,
        },
        storage: { w: dtype, gamma: quantised ? "f32" : dtype },
        data: {
          feed: feedOf({ [SEQUENCE]: 1 }, { [SEQUENCE]: 0 }, { [SEQUENCE]: 1 }),
          slot: [3, 3, 0],
        },
        scalars: { eps: EPS },
        partial: true,
        tolerance: 2e-5,
      });
    },
  );

  test.each(FORMATS)("swiglu with %s weights", (dtype) =>
    check("swiglu", {
      sizes: { dim: dtype === "f16" ? 129 : 96, ff: 11, tokens: dtype === "f32" ? 6 : 1 },
      storage: { gamma: dtype === "bf16" ? "f32" : dtype, gate: dtype, up: dtype },
      scalars: { eps: EPS },
      tolerance: 5e-5,
    }),
  );

  test.each(FORMATS)("logits with a head in %s", (dtype) =>
    check("logits", {
      sizes: { dim: dtype === "bf16" ? 36 : 64, vocab: 37, tokens: 2 },
      storage: { head: dtype },
      tolerance: 2e-5,
    }),
  );

  test.each(FORMATS)("norm with a scale in %s", (dtype) =>
    check("norm", {
      sizes: { dim: dtype === "bf16" ? 36 : 64, rows: 3, tokens: 2, feed: FEED },
      storage: { gamma: dtype },
      data: { feed: feedOf({ [ROW]: 2 }, { [ROW]: 0 }) },
      scalars: { eps: EPS },
      tolerance: 2e-5,
    }),
  );

  test.each([
    ...FORMATS.map((dtype) => ["project", dtype] as const),
    ["biasedProject", "f32"],
    ["biasedProject", "q8"],
  ] as const)("%s with %s weights", (kernel, dtype) =>
    check(kernel, {
      sizes: { dim: 6, inner: dtype === "f16" ? 70 : 288, tokens: dtype === "q4" ? 1 : 5 },
      storage: { w: dtype },
      tolerance: 2e-5,
    }),
  );

  test.each(FORMATS)("embed from %s", (dtype) =>
    check("embed", {
      sizes: {
        ...{ vocab: 9, dim: dtype.startsWith("q") ? 96 : 67, tokens: 2, feed: FEED },
        ...{ scales: 2, turns: 1024, parts: 2, half: 5 },
      },
      storage: { table: dtype },
      data: { feed: feedOf({ [ID]: 8, [POSITION]: 1030 }, { [ID]: 3, [POSITION]: 0 }) },
    }),
  );
});

describe.each([4, 8, 32])("weights in panels of %d rows (seed 1)", (rows) => {
  /** So many panels, where `few` are not a whole number of them. */
  const whole = (few: number): number => (few % rows === 0 ? few : 3 * rows);
  const scalars = { eps: 1e-5 };
  const tolerance = 2e-5;
  test.each([
    ["f32", 1],
    ["f32", 5],
    ["f16", 1],
    ["bf16", 3],
  ] as const)("project, %s, %d tokens", (dtype, tokens) =>
    check("project", {
      sizes: { dim: whole(40), inner: 72, tokens },
      storage: { w: dtype },
      panels: { w: rows },
      tolerance,
    }),
  );

  test.each([
    ["f32", 36],
    ["f16", 40],
  ] as const)("logits from %s, and a vocabulary that does not divide", (dtype, dim) =>
    check("logits", {
      sizes: { dim, vocab: whole(56), tokens: 2 },
      storage: { head: dtype },
      panels: { head: rows },
      tolerance,
    }),
  );

  test.each(["f32", "f16"] as const)("swiglu, %s", (dtype) =>
    check("swiglu", {
      sizes: { dim: 64, ff: whole(24), tokens: 2 },
      storage: { gate: dtype, up: dtype },
      panels: { gate: rows, up: rows },
      scalars,
      tolerance: 5e-5,
    }),
  );

  test("qkv, whose rows are halves of heads, also where they begin within a panel", async () => {
    const of = (half: number): Use => ({
      sizes: {
        ...{ dim: 48, rows: 8, halves: 2, half, parts: 2, tokens: 2, feed: FEED },
        ...{ heads: 4, groups: 2, sequences: 1, slots: 5 },
      },
      data: { feed: feedOf({ [SEQUENCE]: 0 }, { [SEQUENCE]: 0 }), slot: [3, 0] },
      panels: { w: rows },
      scalars,
      partial: true,
      tolerance,
    });
    await check("qkv", of(whole(16)));
    await check("qkv", of(6));
  });

  test("embed", () =>
    check("embed", {
      sizes: {
        ...{ vocab: whole(24), dim: 72, tokens: 2, feed: FEED },
        ...{ scales: 2, turns: 1024, parts: 2, half: 5 },
      },
      panels: { table: rows },
      data: { feed: feedOf({ [ID]: 23, [POSITION]: 1030 }, { [ID]: 3, [POSITION]: 0 }) },
    }));
});

describe("what goes round a step (seed 1)", () => {
  test.each([[1], [2]])("append, %d groups", (groups) =>
    check("append", {
      sizes: { rows: 3, groups, dim: 10, one: 1, feed: FEED, sequences: 2, slots: 4 },
      data: { cursor: feedOf({ [ROW]: 2, [SEQUENCE]: 1 }), free: [0, 3] },
      partial: true,
    }),
  );

  test.each([
    { what: "to an empty slot", row: 1, position: 6, slots: 8, free: 7, next: [7, 2] },
    { what: "to the victim's", row: 1, position: 7, slots: 8, free: 5, next: [8, 2] },
    { what: "and back to the first row", row: 3, position: 9, slots: 8, free: 5, next: [6, 0] },
  ])("advance $what", ({ row, position, slots, free, next: [then = 0, ahead = 0] }) => {
    const at = { [SEQUENCE]: 1, [TICK]: 4 };
    return check("advance", {
      sizes: { layers: 2, lanes: 2, one: 1, feed: FEED },
      data: { victim: [9, 5, 8, 5], free: [1, 2, 3, 4], cursor: feedOf({ ...at, [POSITION]: position, [ROW]: row }) },
      scalars: { slots },
      want: { free: [1, free, 3, free], cursor: feedOf({ ...at, [POSITION]: then, [ROW]: ahead }) },
    });
  });

  test("commit, for rows that go on", () => {
    const rows = [
      { [POSITION]: 6, [SEQUENCE]: 2, [RESTS]: 0 },
      { [POSITION]: 9, [SEQUENCE]: 0, [RESTS]: 0 },
      { [POSITION]: 9, [SEQUENCE]: 1, [RESTS]: 1 },
    ];
    return check("commit", {
      sizes: { layers: 2, lanes: 4, sequences: 3, feed: FEED },
      data: { victim: [11, 12, 13, 14, 21, 22, 23, 24], free: [1, 2, 3, 4, 5, 6, 7, 8], feed: feedOf(...rows) },
      scalars: { slots: 8 },
      want: { free: [11, 2, 7, 4, 21, 6, 7, 8] },
    });
  });

  test("best, of equals the first", () =>
    check("best", {
      sizes: { sequences: 2, vocab: 5 },
      data: { logits: [1, 3, 3, 0, 2, -1, -2, -3, -1, -9] },
      want: { picked: [1, 0] },
    }));

  test("moveCache", () =>
    check("moveCache", {
      sizes: { one: 1, groups: 2, slots: 3, dim: 6, feed: FEED, sequences: 2, layers: 2 },
      data: { to: feedOf({ [SEQUENCE]: 1 }) },
      scalars: { layer: 1 },
      partial: true,
    }));

  test("moveFree and moveMemory", async () => {
    await check("moveFree", {
      sizes: { one: 1, feed: FEED, layers: 2, lane: 2, lanes: 3 },
      data: { to: feedOf({ [SEQUENCE]: 1 }), free: [4, 99, 6, 99], toFree: [0, 0, 0, 0, 0, 0] },
      want: { toFree: [0, 4, 0, 0, 6, 0] },
    });
    await check("moveMemory", {
      sizes: { one: 1, feed: FEED, layers: 1, memories: 2, slots: 2, sequences: 2 },
      data: { to: feedOf({ [SEQUENCE]: 1 }), memory: [1, 2, 3, 4], toMemory: [9, 9, 9, 9, 9, 9, 9, 9] },
      want: { toMemory: [9, 9, 9, 9, 1, 2, 3, 4] },
    });
  });

  test("moveRow", () => {
    const [from, into] = [Array.from({ length: FEED }, (_, c) => 10 + c), new Array<number>(FEED).fill(3)];
    const moved = from.with(SEQUENCE, 1).with(ROW, 1).with(TICK, 5);
    return check("moveRow", {
      sizes: { one: 1, feed: FEED, settings: 2, stops: 2, layers: 2, lane: 2, lanes: 3, sequences: 2 },
      data: {
        feed: from,
        settings: [0.5, 7],
        stops: [8, 9],
        free: [4, 99, 6, 99],
        to: feedOf({ [SEQUENCE]: 1, [TICK]: 5 }),
        toFeed: [...into, ...into],
        toSettings: [1, 1, 1, 1],
        toStops: [2, 2, 2, 2],
        toFree: [0, 0, 0, 0, 0, 0],
      },
      want: {
        toFeed: [...into, ...moved],
        toSettings: [1, 1, 0.5, 7],
        toStops: [2, 2, 8, 9],
        toFree: [0, 4, 0, 0, 6, 0],
      },
    });
  });
});

describe("a prompt at once (seed 1)", () => {
  const tokens = 43;
  test.each([
    [0, 0],
    [5, 3],
    [43, 0],
  ])("protect, %d recent and %d first", (recent, first) =>
    check("protect", { sizes: { tokens }, scalars: { recent, first } }),
  );
  test("rank, ties included", () =>
    check("rank", {
      sizes: { tokens },
      data: { weights: Array.from({ length: tokens }, (_, i) => ((i * 5) % 13) / 4) },
      want: {
        ranks: Array.from({ length: tokens }, (_, t) => {
          const w = (i: number): number => ((i * 5) % 13) / 4;
          return Array.from({ length: tokens }, (_, s) => s).filter((s) => w(s) > w(t) || (w(s) === w(t) && s > t))
            .length;
        }),
      },
    }));
  test.each([5, 44])("place, %d slots", (slots) =>
    check("place", {
      sizes: { tokens, groups: 2, dim: 6, slots, layers: 2 },
      data: { ranks: Array.from({ length: tokens }, (_, i) => (i * 17) % tokens) },
      scalars: { layer: 1 },
      partial: true,
    }),
  );
});

test.each([0, 1, 5, 37, 64])("ruleOut, all but the first %i", (known) =>
  check("ruleOut", {
    sizes: { sequences: 3, vocab: 64 },
    data: { logits: Array.from({ length: 3 * 64 }, (_, i) => i) },
    scalars: { known },
    want: { logits: Array.from({ length: 3 * 64 }, (_, i) => (i % 64 < known ? i : -Infinity)) },
  }),
);

test("every kernel of models/kernels is checked here or with the sampling", () => {
  expect([...used, "choose"].sort()).toEqual([...NAMES].sort());
});
