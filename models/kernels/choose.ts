/**
 * The last operation of a step: which token comes next, and the one place where a sequence moves on.
 *
 * The token is the most likely one, or drawn with temperature, top-k and top-p. Nothing is sorted: the k-th largest logit and the edge of the nucleus are found
 * bit by bit on keys that sort like the logits, and Gumbel noise turns a draw into an argmax. The noise is a function of (seed, position, token), so a run can
 * be repeated on any adapter.
 *
 * All that a step did before was a proposal: a key and a value in a slot that counts as free, and a victim. Only here do they come to count, and not for a
 * sequence at rest. So steps may go by after a text has ended and leave its state as if they had not.
 */
import {
  amax,
  amin,
  argmax,
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

/** Largest logit of a row. */
function peakOf(logits: Tensor<"sequences vocab">, row: number): number {
  let peak = -Infinity;
  for (const v of over("vocab")) peak = max(peak, amax(logits.at(row, v)));
  return peak;
}

/** Largest key that at least `k` logits reach. */
function topKey(logits: Tensor<"sequences vocab">, row: number, k: number): number {
  let bound = cast(0, "u32");
  for (const bit of range(32)) {
    const trial = bound | (cast(1, "u32") << (31 - bit));
    let count = 0;
    for (const v of over("vocab")) count += sum(select(sortable(logits.at(row, v)) >= trial, 1, 0));
    bound = count >= k ? trial : bound;
  }
  return bound;
}

/** Largest key such that the tokens from it up (and from `floor` up) hold `mass` of the probability. */
function nucleus(
  logits: Tensor<"sequences vocab">,
  row: number,
  heat: number,
  peak: number,
  floor: number,
  mass: number,
): number {
  let total = 0;
  for (const v of over("vocab")) {
    const x = logits.at(row, v);
    total += sum(select(sortable(x) >= floor, exp((x - peak) * heat), 0));
  }
  let bound = floor;
  for (const bit of range(32)) {
    const trial = bound | (cast(1, "u32") << (31 - bit));
    let held = 0;
    for (const v of over("vocab")) {
      const x = logits.at(row, v);
      held += sum(select(sortable(x) >= max(trial, floor), exp((x - peak) * heat), 0));
    }
    bound = held >= mass * total ? trial : bound;
  }
  return max(bound, floor);
}

/** The most likely token of a row, the lowest id on a tie. */
function likeliest(logits: Tensor<"sequences vocab">, row: number, peak: number): number {
  let choice = cast(0xffffffff, "u32");
  for (const v of over("vocab"))
    choice = min(choice, amin(select(logits.at(row, v) === peak, v, cast(0xffffffff, "u32"))));
  return choice;
}

/**
 * settings is [temperature (0 = greedy), top-k (0 = all), top-p (1 = all)] of each sequence. The choice goes to picked[step, sequence] and becomes the token
 * that the sequence reads next; the sequence comes to rest when the choice is among its `stops` or it has read as many tokens as it may. free [layers, lanes]
 * gets the victim of each layer once all `slots` are taken.
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
  const peak = peakOf(logits, b);
  let choice = cast(0xffffffff, "u32");
  if (temperature > 0) {
    const heat = 1 / temperature;
    let floor = cast(0, "u32");
    if (settings.at(b, 1) > 0) floor = topKey(logits, b, settings.at(b, 1));
    if (settings.at(b, 2) < 1) floor = nucleus(logits, b, heat, peak, floor, settings.at(b, 2));
    let best = -Infinity;
    for (const v of over("vocab")) {
      const x = logits.at(b, v);
      const noisy = select(sortable(x) >= floor, x * heat + gumbel(seed, position, v), -Infinity);
      const top = amax(noisy);
      choice = top > best ? argmax(noisy, v) : choice;
      best = max(best, top);
    }
  } else choice = likeliest(logits, b, peak);
  picked.set([tick % size("ring"), b], choice);
  feed.set([b, TICK], tick + 1);
  if (runs) {
    let stopped = 0;
    for (const s of over("stops")) stopped += sum(select(stops.at(b, s) === choice, 1, 0));
    const seen = position + 1;
    feed.set([b, POSITION], seen);
    feed.set([b, ID], choice);
    feed.set([b, ROW], b);
    feed.set([b, RESTS], cast(stopped > 0 || seen >= end ? 1 : 0, "u32"));
    for (const l of range(size("layers"))) free.set([l, b], seen < slots ? seen : victim.at(l, b));
  }
}

/** The most likely token of every row. */
export function best(logits: Tensor<"sequences vocab">, picked: Tensor<"sequences", u32>): void {
  const b = program("sequences");
  picked.set([b], likeliest(logits, b, peakOf(logits, b)));
}
