/**
 * Eviction: which slot of each layer the next token overwrites. The slot with the lowest score goes, the oldest of
 * several.
 *
 * These are templates: the score is a cache policy's, given as a compile-time function, and so is what a policy
 * remembers. Protection, ties, and rows that do not count are the same for all policies and stand here. In: what
 * attention left of the newest token. Out: a victim for each layer and sequence, which `choose`, `advance` and `commit`
 * heed only when all slots are taken and the sequence goes on.
 *
 * Layers are those of one group, whose state has one shape. `positions` and `memory` have all layers of it; what is
 * handed to the others may be one layer alone, the one with the number `layer` in the group.
 */
import {
  amin,
  block,
  exp,
  min,
  over,
  program,
  type Scalar,
  type Static,
  select,
  size,
  type Tensor,
  type Tile,
  type u32,
} from "../../dsl/index.ts";
import { POSITION, RESTS } from "./feed.ts";

/** What every score may be made of: a block of the slots of one layer of one sequence. */
export interface SlotView<O extends string = string> {
  /** The numbers of the slots (u32). */
  readonly slots: Tile;
  /** Absolute position of the token in each of them (u32). */
  readonly position: number;
  /** Position of the newest token (u32). */
  readonly now: number;
  /** What was given for an option, or its default. */
  readonly option: (name: O) => number;
}

/** The same with what attention left, for policies that observe scores. */
export interface ScoredView<O extends string = string> extends SlotView<O> {
  /** Query heads of the layer (u32). */
  readonly heads: number;
  /** The softmax weight that the newest query of a head gives each slot. */
  readonly attention: (head: number) => number;
  /** Its logarithm. */
  readonly logAttention: (head: number) => number;
}

/** The same with what the policy remembers of each slot. */
export interface RememberingView<M extends string = string, O extends string = string> extends ScoredView<O> {
  /** Before this step, where `update` asks; after it, where `score` does. */
  readonly memory: (name: M) => number;
}

/**
 * Names of the first three of a policy's options, whose numbers are a, b, c; d is that of the fourth. "" where it has
 * fewer.
 */
interface Options {
  readonly option0?: string;
  readonly option1?: string;
  readonly option2?: string;
}

/** Names of a policy's memories, and what is remembered of a token that has just come; "" where it has fewer. */
interface Memories {
  readonly memory0: string;
  readonly memory1?: string;
  readonly memory2?: string;
  readonly memory3?: string;
  readonly initial0: number;
  readonly initial1?: number;
  readonly initial2?: number;
  readonly initial3?: number;
}

/**
 * Walks over the slots of layer l of sequence b and returns the one with the lowest score, the oldest of several, that
 * is not protected.
 */
function lowest(
  positions: Tensor<"layers sequences slots", u32>,
  l: number,
  b: number,
  now: number,
  recent: number,
  first: number,
  score: (slots: Tile, position: number) => number,
): number {
  let lowest = Infinity;
  let oldest = 0xffffffff;
  let slot = 0;
  for (const s of over("slots")) {
    const at = positions.at(l, b, s);
    const rated = score(s, at);
    const open = select(at < first || at + recent > now, Infinity, rated);
    const low = amin(open);
    const age = amin(select(open === low, at, 0xffffffff));
    const better = low < lowest || (low === lowest && age < oldest);
    slot = better ? amin(select(open === low && at === age, s, 0xffffffff)) : slot;
    oldest = better ? age : oldest;
    lowest = min(low, lowest);
  }
  return slot;
}

/**
 * For a policy that looks at nothing but positions. victim[i, b] becomes the slot of layer `layer` + i of sequence b
 * that goes.
 */
export function evictByPosition(
  positions: Tensor<"layers sequences slots", u32>,
  clock: Tensor<"sequences clock", u32>,
  recent: Scalar<u32>,
  first: Scalar<u32>,
  layer: Scalar<u32>,
  a: Scalar,
  b: Scalar,
  c: Scalar,
  d: Scalar,
  victim: Tensor<"scored lanes", u32>,
  { score, option0 = "", option1 = "", option2 = "" }: Static<Options & { readonly score: (view: SlotView) => number }>,
): void {
  const i = program("scored");
  const row = program("sequences");
  const now = clock.at(row, POSITION);
  const option = (name: string): number => (name === option0 ? a : name === option1 ? b : name === option2 ? c : d);
  const slot = lowest(positions, i + layer, row, now, recent, first, (slots, position) =>
    score({ slots, position, now, option }),
  );
  victim.set([i, row], slot);
}

/** For a policy that observes the newest scores, as `attend` leaves them. */
export function evict(
  scores: Tensor<"scored sequences heads slots">,
  lse: Tensor<"scored sequences heads">,
  positions: Tensor<"layers sequences slots", u32>,
  clock: Tensor<"sequences clock", u32>,
  recent: Scalar<u32>,
  first: Scalar<u32>,
  layer: Scalar<u32>,
  a: Scalar,
  b: Scalar,
  c: Scalar,
  d: Scalar,
  victim: Tensor<"scored lanes", u32>,
  {
    score,
    option0 = "",
    option1 = "",
    option2 = "",
  }: Static<Options & { readonly score: (view: ScoredView) => number }>,
): void {
  const i = program("scored");
  const row = program("sequences");
  const now = clock.at(row, POSITION);
  const heads = size("heads");
  const option = (name: string): number => (name === option0 ? a : name === option1 ? b : name === option2 ? c : d);
  const slot = lowest(positions, i + layer, row, now, recent, first, (slots, position) => {
    const logAttention = (h: number): number => scores.at(i, row, h, slots) - lse.at(i, row, h);
    const attention = (h: number): number => exp(scores.at(i, row, h, slots) - lse.at(i, row, h));
    return score({ slots, position, now, heads, option, attention, logAttention });
  });
  victim.set([i, row], slot);
}

/**
 * For a policy that remembers numbers of each slot. `free` has the slot of the newest token: what was remembered of the
 * token before it is gone. What `update` says of each memory is kept only in rows that count.
 */
export function evictRemembering(
  scores: Tensor<"scored sequences heads slots">,
  lse: Tensor<"scored sequences heads">,
  positions: Tensor<"layers sequences slots", u32>,
  clock: Tensor<"sequences clock", u32>,
  free: Tensor<"scored lanes", u32>,
  memory: Tensor<"layers sequences memories slots">,
  recent: Scalar<u32>,
  first: Scalar<u32>,
  layer: Scalar<u32>,
  a: Scalar,
  b: Scalar,
  c: Scalar,
  d: Scalar,
  victim: Tensor<"scored lanes", u32>,
  {
    score,
    update,
    option0 = "",
    option1 = "",
    option2 = "",
    memory0,
    memory1 = "",
    memory2 = "",
    memory3 = "",
    initial0,
    initial1 = 0,
    initial2 = 0,
    initial3 = 0,
  }: Static<
    Options &
      Memories & {
        readonly score: (view: RememberingView) => number;
        readonly update: (view: RememberingView, name: string) => number;
      }
  >,
): void {
  const i = program("scored");
  const row = program("sequences");
  const now = clock.at(row, POSITION);
  const counts = clock.at(row, RESTS) === 0;
  const own = free.at(i, row);
  const heads = size("heads");
  const l = i + layer;
  const option = (name: string): number => (name === option0 ? a : name === option1 ? b : name === option2 ? c : d);
  const slot = lowest(positions, l, row, now, recent, first, (slots, position) => {
    const logAttention = (h: number): number => scores.at(i, row, h, slots) - lse.at(i, row, h);
    const attention = (h: number): number => exp(scores.at(i, row, h, slots) - lse.at(i, row, h));
    const fresh = slots === own || slots > now;
    const before0 = select(fresh, initial0, memory.at(l, row, 0, slots));
    const before1 = memory1 === "" ? before0 : select(fresh, initial1, memory.at(l, row, 1, slots));
    const before2 = memory2 === "" ? before0 : select(fresh, initial2, memory.at(l, row, 2, slots));
    const before3 = memory3 === "" ? before0 : select(fresh, initial3, memory.at(l, row, 3, slots));
    const before = (name: string): number =>
      name === memory0 ? before0 : name === memory1 ? before1 : name === memory2 ? before2 : before3;
    const seen = { slots, position, now, heads, option, attention, logAttention, memory: before };
    const after0 = update(seen, memory0);
    const after1 = memory1 === "" ? after0 : update(seen, memory1);
    const after2 = memory2 === "" ? after0 : update(seen, memory2);
    const after3 = memory3 === "" ? after0 : update(seen, memory3);
    if (counts) {
      memory.set([l, row, 0, slots], after0);
      if (memory1 !== "") memory.set([l, row, 1, slots], after1);
      if (memory2 !== "") memory.set([l, row, 2, slots], after2);
      if (memory3 !== "") memory.set([l, row, 3, slots], after3);
    }
    const after = (name: string): number =>
      name === memory0 ? after0 : name === memory1 ? after1 : name === memory2 ? after2 : after3;
    return score({ slots, position, now, heads, option, attention, logAttention, memory: after });
  });
  victim.set([i, row], slot);
}

/**
 * The same scores for a whole prompt: weights [slots], where the token at each position is in the slot of that number.
 */
export function rateByPosition(
  a: Scalar,
  b: Scalar,
  c: Scalar,
  d: Scalar,
  weights: Tensor<"slots">,
  { score, option0 = "", option1 = "", option2 = "" }: Static<Options & { readonly score: (view: SlotView) => number }>,
): void {
  const slots = block("slots");
  const option = (name: string): number => (name === option0 ? a : name === option1 ? b : name === option2 ? c : d);
  const now = size("slots") - 1;
  weights.set([slots], score({ slots, position: slots, now, option }));
}

/** The same with what the last token of the prompt attends to. */
export function rate(
  scores: Tensor<"heads slots">,
  lse: Tensor<"heads">,
  a: Scalar,
  b: Scalar,
  c: Scalar,
  d: Scalar,
  weights: Tensor<"slots">,
  {
    score,
    option0 = "",
    option1 = "",
    option2 = "",
  }: Static<Options & { readonly score: (view: ScoredView) => number }>,
): void {
  const slots = block("slots");
  const option = (name: string): number => (name === option0 ? a : name === option1 ? b : name === option2 ? c : d);
  const [heads, now] = [size("heads"), size("slots") - 1];
  const logAttention = (h: number): number => scores.at(h, slots) - lse.at(h);
  const attention = (h: number): number => exp(scores.at(h, slots) - lse.at(h));
  weights.set([slots], score({ slots, position: slots, now, heads, option, attention, logAttention }));
}
