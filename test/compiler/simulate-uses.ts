/**
 * Uses of every built-in kernel, for running them on the lane simulator: sizes that are no multiples, formats, and
 * numbers where they mean something.
 */
import type { StorageType } from "../../compiler/ir/formats.ts";

/** One use of a built-in kernel. What is not given is random: reals between -1 and 1, and 0 for u32. */
export interface Use {
  readonly kernel: string;
  readonly file: string;
  readonly sizes: Readonly<Record<string, number>>;
  readonly given?: Readonly<Record<string, readonly number[]>>;
  readonly storage?: Readonly<Record<string, StorageType>>;
  readonly scalars?: Readonly<Record<string, number>>;
  /** Scalars read from memory. */
  readonly cells?: readonly string[];
  readonly panels?: Readonly<Record<string, number>>;
}

const FORMATS: readonly StorageType[] = ["f32", "f16", "bf16", "q8", "q4"];
const FEED = 8;
const QKV = { rows: 8, halves: 2, half: 4, dim: 64, parts: 2, heads: 4, groups: 2, slots: 5 };
const ATTEND = { rows: 3, sequences: 2, tokens: 2, groups: 2, feed: FEED, scored: 2, layers: 2 };
const TOKENS = { heads: 4, tokens: 19, groups: 2, dim: 8, slots: 7 };
/** A permutation, as ranks are. */
const RANKS = Array.from({ length: 19 }, (_, i) => (i * 7) % 19);
const AGES = Array.from({ length: 66 }, (_, i) => ((i * 5) % 33) + 40 + i);
export const one = { one: 1, sequences: 2 };
/** Where the objects are that complete the eviction kernels, and options that those policies do not have. */
export const POLICY_FILE = "../cache/policies/index";
const NO_OPTIONS = { a: 0, b: 0, c: 0, d: 0 };

/** Rows of `feed`: position, sequence, row, token, tick, end, seed, rests. */
const feed = (...rows: readonly (readonly number[])[]): number[] =>
  rows.flatMap((row) => Array.from({ length: FEED }, (_, c) => row[c] ?? 0));

export const USES: readonly Use[] = [
  ...FORMATS.flatMap((w): Use[] => [
    {
      kernel: "embed",
      file: "embed",
      sizes: { vocab: 6, dim: 64, tokens: 2, feed: FEED, scales: 2, turns: 1024, parts: 2, half: 6 },
      storage: { table: w },
      given: { feed: feed([1030, 0, 0, 5], [3, 0, 0, 2]) },
    },
    { kernel: "project", file: "project", sizes: { dim: 10, inner: 96, tokens: 3 }, storage: { w } },
    {
      kernel: "swiglu",
      file: "swiglu",
      sizes: { ff: 9, dim: 160, tokens: 1 },
      storage: { gate: w, up: w, gamma: w },
      scalars: { eps: 1e-5 },
    },
    {
      kernel: "logits",
      file: "logits",
      sizes: { vocab: 11, dim: 64, tokens: 2 },
      storage: { head: w },
    },
    {
      kernel: "qkv",
      file: "qkv",
      sizes: { ...QKV, tokens: 2, sequences: 2, feed: FEED },
      given: { feed: feed([0, 1], [0, 0]), slot: [3, 4] },
      storage: { w },
      scalars: { eps: 1e-5 },
    },
  ]),
  { kernel: "project", file: "project", sizes: { dim: 7, inner: 37, tokens: 1 } },
  { kernel: "biasedProject", file: "project", sizes: { dim: 7, inner: 37, tokens: 3 } },
  {
    kernel: "biasedQkv",
    file: "qkv",
    sizes: { ...QKV, tokens: 2, sequences: 2, feed: FEED },
    given: { feed: feed([0, 1], [0, 0]), slot: [3, 4] },
    scalars: { eps: 1e-5 },
  },
  ...[1, 9].flatMap((tokens): Use[] => [
    { kernel: "project", file: "project", sizes: { dim: 24, inner: 40, tokens }, panels: { w: 8 } },
    {
      kernel: "project",
      file: "project",
      sizes: { dim: 12, inner: 72, tokens },
      storage: { w: "f16" },
      panels: { w: 4 },
    },
  ]),
  {
    kernel: "norm",
    file: "logits",
    sizes: { dim: 37, rows: 3, tokens: 2, feed: FEED },
    given: { feed: feed([7, 0, 2], [3, 1, 0]) },
    scalars: { eps: 1e-5 },
  },
  { kernel: "project", file: "project", sizes: { dim: 4, inner: 1024, tokens: 9 }, storage: { w: "q4" } },
  ...[5, 36, 60].map(
    (now): Use => ({
      kernel: "attend",
      file: "attend",
      sizes: { ...ATTEND, queries: 2, slots: 37, dim: 32 },
      given: { feed: feed([now, 1, 2], [2, 0, 0]), slot: [9, 2] },
      scalars: { layer: 1 },
    }),
  ),
  {
    kernel: "attend",
    file: "attend",
    sizes: { ...ATTEND, groups: 1, queries: 5, slots: 64, dim: 20 },
    given: { feed: feed([40, 0, 1], [70, 1, 0]), slot: [40, 3] },
    scalars: { layer: 0 },
  },
  {
    kernel: "attendOnly",
    file: "attend",
    sizes: { ...ATTEND, queries: 2, slots: 37, dim: 32 },
    given: { feed: feed([36, 1, 2], [2, 0, 0]), slot: [9, 2] },
    scalars: { layer: 1 },
  },
  {
    kernel: "flash",
    file: "flash",
    sizes: { heads: 4, groups: 2, tokens: 7, slots: 19, dim: 16, one: 1, feed: FEED, layers: 2 },
    given: { feed: feed([4], [5], [6], [7], [8], [9], [10]), slot: [4, 5, 6, 7, 8, 9, 10] },
    scalars: { layer: 1 },
  },
  ...[
    [0, 0, 1],
    [0.8, 0, 1],
    [0.8, 5, 1],
    [1.2, 0, 0.7],
    [0.5, 20, 0.9],
  ].map(
    (settings): Use => ({
      kernel: "choose",
      file: "choose",
      sizes: { sequences: 2, vocab: 120, settings: 3, stops: 2, ring: 8, layers: 2, lanes: 2, feed: FEED },
      given: {
        settings: [...settings, ...settings],
        feed: feed([5, 0, 0, 3, 9, 100, 11], [50, 1, 1, 3, 9, 51, 12]),
        victim: [1, 2, 3, 4],
      },
      scalars: { slots: 9 },
    }),
  ),
  {
    kernel: "choose",
    file: "choose",
    sizes: { sequences: 1, vocab: 37, settings: 3, stops: 1, ring: 4, layers: 1, lanes: 1, feed: FEED },
    given: { settings: [0, 0, 1], feed: feed([2, 0, 0, 9, 6, 9, 1, 1]), stops: [4] },
    scalars: { slots: 9 },
  },
  { kernel: "best", file: "choose", sizes: { sequences: 3, vocab: 37 } },
  {
    kernel: "advance",
    file: "append",
    sizes: { ...one, feed: FEED, layers: 2, lanes: 2 },
    given: { cursor: feed([8, 1, 2, 0, 4]), victim: [3, 4, 5, 6], free: [1, 2, 3, 4] },
    scalars: { slots: 8 },
  },
  {
    kernel: "append",
    file: "append",
    sizes: { ...one, rows: 3, groups: 2, dim: 16, slots: 5, feed: FEED },
    given: { cursor: feed([8, 1, 2, 0, 4]), free: [0, 4] },
  },
  { kernel: "protect", file: "oneshot", sizes: TOKENS, scalars: { recent: 3, first: 2 } },
  { kernel: "rank", file: "oneshot", sizes: TOKENS },
  {
    kernel: "place",
    file: "oneshot",
    sizes: { ...TOKENS, one: 1, layers: 2 },
    given: { ranks: RANKS },
    scalars: { layer: 1 },
  },
  {
    kernel: "commit",
    file: "append",
    sizes: { ...one, feed: FEED, layers: 2, lanes: 2 },
    given: { feed: feed([8, 1, 2, 0, 4], [3, 0]), victim: [3, 4, 5, 6], free: [1, 2, 3, 4] },
    scalars: { slots: 8 },
  },
  {
    kernel: "moveFree",
    file: "move",
    sizes: { ...one, feed: FEED, layers: 3, lane: 2, lanes: 2 },
    given: { free: [1, 2, 3, 4, 5, 6], to: feed([0, 1]) },
  },
  {
    kernel: "moveMemory",
    file: "move",
    sizes: { ...one, feed: FEED, layers: 2, memories: 2, slots: 37 },
    given: { to: feed([0, 1]) },
  },
  {
    kernel: "moveCache",
    file: "move",
    sizes: { ...one, groups: 2, slots: 5, dim: 12, feed: FEED, layers: 2 },
    given: { to: feed([0, 1]), positions: [5, 6, 7, 8, 9, 9, 8, 7, 6, 5] },
    scalars: { layer: 1 },
  },
  {
    kernel: "moveRow",
    file: "move",
    sizes: { ...one, feed: FEED, settings: 4, stops: 3, layers: 3, lane: 2, lanes: 2 },
    given: {
      feed: feed([1, 2, 3, 4, 5, 6, 7, 8]),
      free: [1, 2, 3, 4, 5, 6],
      stops: [7, 8, 9],
      to: feed([0, 1, 0, 0, 3]),
    },
  },
  { kernel: "ruleOut", file: "choose", sizes: { sequences: 2, vocab: 37 }, scalars: { known: 30 } },
  {
    kernel: "window",
    file: POLICY_FILE,
    sizes: { ...one, slots: 33, scored: 1, clock: 1, layers: 1, lanes: 2 },
    given: { positions: AGES, clock: [90, 120] },
    scalars: { recent: 0, first: 42, layer: 0, ...NO_OPTIONS },
  },
  {
    kernel: "tova",
    file: POLICY_FILE,
    sizes: { ...one, slots: 33, heads: 3, clock: 1, scored: 1, layers: 2, lanes: 2 },
    given: { clock: [90, 120], positions: [...AGES, ...AGES, ...AGES, ...AGES].slice(0, 132) },
    scalars: { recent: 25, first: 42, layer: 1, ...NO_OPTIONS },
  },
  { kernel: "windowAtOnce", file: POLICY_FILE, sizes: { slots: 43 }, scalars: NO_OPTIONS },
  { kernel: "tovaAtOnce", file: POLICY_FILE, sizes: { slots: 43, heads: 3 }, scalars: NO_OPTIONS },
];
