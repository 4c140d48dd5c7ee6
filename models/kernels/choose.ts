/**
 * The last operation of a step: which token comes next.
 *
 * Prompt tokens wait in a ring; once they are used up the token is the most likely one, or drawn with temperature, top-k and top-p. Nothing is sorted: the k-th
 * largest logit and the edge of the nucleus are found bit by bit on keys that sort like the logits, and Gumbel noise turns a draw into an argmax. The noise is
 * a function of (seed, position, token), so a run can be repeated on any adapter.
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
  range,
  select,
  size,
  sortable,
  sum,
  type Tensor,
  type u32,
} from "../../dsl/index.ts";

/** Largest logit of a row. */
function peakOf(logits: Tensor<"rows vocab">, row: number): number {
  let peak = -Infinity;
  for (const v of over("vocab")) peak = max(peak, amax(logits.at(row, v)));
  return peak;
}

/** Largest key that at least `k` logits reach. */
function topKey(logits: Tensor<"rows vocab">, row: number, k: number): number {
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
  logits: Tensor<"rows vocab">,
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

/**
 * clock is [position, end of the prompt, seed]; settings is [temperature (0 = greedy), top-k (0 = all), top-p (1 = all)]. `picked` gets the choice at the
 * position's place in its ring, `token` what the next step reads, and the position advances.
 */
export function choose(
  logits: Tensor<"rows vocab">,
  settings: Tensor<"settings">,
  prompt: Tensor<"ring", u32>,
  picked: Tensor<"ring", u32>,
  token: Tensor<"one", u32>,
  clock: Tensor<"clock", u32>,
): void {
  const position = clock.at(0);
  const end = clock.at(1);
  const seed = clock.at(2);
  const row = position % size("rows");
  const temperature = settings.at(0);
  const peak = peakOf(logits, row);
  let choice = cast(0xffffffff, "u32");
  if (temperature > 0) {
    const heat = 1 / temperature;
    let floor = cast(0, "u32");
    if (settings.at(1) > 0) floor = topKey(logits, row, settings.at(1));
    if (settings.at(2) < 1) floor = nucleus(logits, row, heat, peak, floor, settings.at(2));
    let best = -Infinity;
    for (const v of over("vocab")) {
      const x = logits.at(row, v);
      const noisy = select(sortable(x) >= floor, x * heat + gumbel(seed, position, v), -Infinity);
      const top = amax(noisy);
      choice = top > best ? argmax(noisy, v) : choice;
      best = max(best, top);
    }
  } else {
    for (const v of over("vocab"))
      choice = min(choice, amin(select(logits.at(row, v) === peak, v, cast(0xffffffff, "u32"))));
  }
  const next = position + 1;
  picked.set([position % size("ring")], choice);
  token.set([0], next < end ? prompt.at(next % size("ring")) : choice);
  clock.set([0], next);
}

/** The end of a step whose logits nobody needs: the next prompt token. */
export function advance(prompt: Tensor<"ring", u32>, token: Tensor<"one", u32>, clock: Tensor<"clock", u32>): void {
  const next = clock.at(0) + 1;
  token.set([0], prompt.at(next % size("ring")));
  clock.set([0], next);
}
