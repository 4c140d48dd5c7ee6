/**
 * The last operation of a step: which token comes next, and the one place where a sequence moves on.
 *
 * The token is the most likely one, or drawn with temperature, top-k and top-p. Nothing is sorted: the k-th largest
 * logit and the edge of the nucleus are found bit by bit on keys that sort like the logits, and Gumbel noise turns a
 * draw into an argmax. The noise is a function of (seed, position, token), where the host has mixed the number of the
 * sequence into the seed, so a run can be repeated on any adapter.
 *
 * All that a step did before was a proposal: a key and a value in a slot that counts as free, and a victim. Only here
 * do they come to count, and not for a sequence at rest. So steps may go by after a text has ended and leave its state
 * as if they had not.
 *
 * A row that is not all numbers, or whose largest is infinite, has no most likely token: 4294967295 is picked, and the
 * sequence comes to rest.
 */
import {
  amax,
  amin,
  argmax,
  bitcast,
  cast,
  exp,
  gumbel,
  max,
  min,
  over,
  program,
  range,
  type Scalar,
  select,
  size,
  sortable,
  sum,
  type Tensor,
  type u32,
} from "../../dsl/index.ts";
import { END, ID, POSITION, RESTS, ROW, SEED, TICK } from "./feed.ts";

/** What stands where no token can be chosen. */
const NONE = 0xffffffff;
/** Bits of an infinity without its sign; those of what is no number are above. */
const INFINITE = 0x7f800000;
/** The keys of the two infinities (dsl/helpers.ts, `sortable`). */
const LOWEST = 0x00800000;
const HIGHEST = 0xff800000;

/**
 * Largest logit of a row, and whether the row can be chosen from: all of it numbers, and the largest of them finite.
 * Adapters may lose what is no number on the way to a maximum, so it is the bits that are compared, as keys that sort
 * like the logits; what is no number is above all of them.
 */
function peakOf(logits: Tensor<"sequences vocab">, row: number): [peak: number, sound: boolean] {
  let top = cast(0, "u32");
  for (const v of over("vocab")) {
    const x = logits.at(row, v);
    top = max(top, amax(select((bitcast(x, "u32") & 0x7fffffff) > INFINITE, cast(NONE, "u32"), sortable(x))));
  }
  const bits = top >= 0x80000000 ? top & 0x7fffffff : 0 - top;
  return [bitcast(bits, "f32"), top > LOWEST && top < HIGHEST];
}

/**
 * Which tokens of a row may be drawn: those whose key is above `key`, and of those with that key the ids up to `last`.
 */
interface Edge {
  readonly key: number;
  readonly last: number;
}

function within(edge: Edge, x: number, v: number): boolean {
  const key = sortable(x);
  return key > edge.key || (key === edge.key && v <= edge.last);
}

/**
 * The edge of the `k` most likely tokens; of equals the lowest ids are among them. The first 32 turns find the key bit
 * by bit; where more tokens reach it than there is room for, the next 32 find the last id, with the same pass over the
 * vocabulary: a kernel is compiled pass by pass.
 */
function topEdge(logits: Tensor<"sequences vocab">, row: number, k: number): [key: number, last: number] {
  let key = cast(0, "u32");
  let last = cast(0, "u32");
  let reach = cast(0, "f32");
  for (const turn of range(64)) {
    const byKey = turn < 32;
    if (byKey || reach > k) {
      const bit = cast(1, "u32") << (31 - (turn & 31));
      const edge = byKey ? key | bit : key;
      const end = byKey ? cast(NONE, "u32") : last | bit;
      let count = 0;
      for (const v of over("vocab")) {
        const x = sortable(logits.at(row, v));
        count += sum(select(x > edge || (x === edge && v < end), 1, 0));
      }
      last = !byKey && count < k ? end : last;
      reach = byKey && count >= k ? count : reach;
      key = byKey && count >= k ? edge : key;
    }
  }
  return [key, reach > k ? last : cast(NONE, "u32")];
}

/**
 * The largest key such that the tokens from it up, of those within `edge`, hold `mass` of their probability. The first
 * turn sums up all of it.
 */
function nucleus(
  logits: Tensor<"sequences vocab">,
  row: number,
  heat: number,
  peak: number,
  edge: Edge,
  mass: number,
): number {
  let total = 0;
  let bound = cast(0, "u32");
  for (const turn of range(33)) {
    const trial = turn === 0 ? cast(0, "u32") : bound | (cast(1, "u32") << (32 - turn));
    let held = 0;
    for (const v of over("vocab")) {
      const x = logits.at(row, v);
      held += sum(select(within(edge, x, v) && sortable(x) >= trial, exp((x - peak) * heat), 0));
    }
    total = turn === 0 ? held : total;
    // However little is asked for, the most likely token is there: in f32 a small `mass` is nothing.
    bound = held > 0 && held >= mass * total ? trial : bound;
  }
  return bound;
}

/** The most likely token of a row, the lowest id on a tie. */
function likeliest(logits: Tensor<"sequences vocab">, row: number, peak: number): number {
  let choice = cast(NONE, "u32");
  for (const v of over("vocab")) choice = min(choice, amin(select(logits.at(row, v) === peak, v, cast(NONE, "u32"))));
  return choice;
}

/**
 * settings is [temperature (0 = greedy), top-k (0 = all), top-p (1 = all)] of each sequence. The choice goes to
 * picked[step, sequence] and becomes the token that the sequence reads next; the sequence comes to rest when the choice
 * is among its `stops` or it has read as many tokens as it may. free [layers, lanes] gets the victim of each layer once
 * all `slots` are taken.
 */
export function choose(
  logits: Tensor<"sequences vocab">,
  settings: Tensor<"sequences settings">,
  stops: Tensor<"sequences stops", u32>,
  victim: Tensor<"layers lanes", u32>,
  slots: Scalar<u32>,
  picked: Tensor<"ring sequences", u32>,
  feed: Tensor<"sequences feed", u32>,
  free: Tensor<"layers lanes", u32>,
): void {
  const b = program("sequences");
  const position = feed.at(b, POSITION);
  const tick = feed.at(b, TICK);
  const end = feed.at(b, END);
  const seed = feed.at(b, SEED);
  const runs = feed.at(b, RESTS) === 0;
  const temperature = settings.at(b, 0);
  const [peak, sound] = peakOf(logits, b);
  let choice = cast(NONE, "u32");
  if (temperature > 0) {
    const heat = 1 / temperature;
    let [key, last] = [cast(0, "u32"), cast(NONE, "u32")];
    let least = cast(0, "u32");
    if (settings.at(b, 1) > 0) [key, last] = topEdge(logits, b, settings.at(b, 1));
    if (settings.at(b, 2) < 1) least = nucleus(logits, b, heat, peak, { key, last }, settings.at(b, 2));
    let best = -Infinity;
    for (const v of over("vocab")) {
      const x = logits.at(b, v);
      const allowed = within({ key, last }, x, v) && sortable(x) >= least;
      const noisy = select(allowed, (x - peak) * heat + gumbel(seed, position, v), -Infinity);
      const top = amax(noisy);
      choice = top > best ? argmax(noisy, v) : choice;
      best = max(best, top);
    }
  } else choice = likeliest(logits, b, peak);
  choice = sound ? choice : cast(NONE, "u32");
  picked.set([tick % size("ring"), b], choice);
  feed.set([b, TICK], tick + 1);
  if (runs) {
    let stopped = 0;
    for (const s of over("stops")) stopped += sum(select(stops.at(b, s) === choice, 1, 0));
    const seen = position + 1;
    feed.set([b, POSITION], seen);
    feed.set([b, ID], min(choice, size("vocab") - 1));
    feed.set([b, ROW], b);
    feed.set([b, RESTS], cast(stopped > 0 || seen >= end || choice >= size("vocab") ? 1 : 0, "u32"));
    for (const l of range(size("layers"))) free.set([l, b], seen < slots ? seen : victim.at(l, b));
  }
}

/** The most likely token of every row, 4294967295 where a row cannot be chosen from. */
export function best(logits: Tensor<"sequences vocab">, picked: Tensor<"sequences", u32>): void {
  const b = program("sequences");
  const [peak, sound] = peakOf(logits, b);
  picked.set([b], sound ? likeliest(logits, b, peak) : cast(NONE, "u32"));
}

/** Rules out the ids from `known` on: their logits become negative infinities, which are never chosen. */
export function ruleOut(logits: Tensor<"sequences vocab">, known: Scalar<u32>): void {
  const b = program("sequences");
  for (const v of range(known, size("vocab"))) logits.set([b, v], bitcast(cast(0xff800000, "u32"), "f32"));
}
