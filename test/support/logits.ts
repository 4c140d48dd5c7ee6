/** Comparing logits the way the recorded ones ask for: by the largest difference, relative to the spread. */

/** Standard deviation of all values. */
export function spread(values: ArrayLike<number>): number {
  let sum = 0;
  let squares = 0;
  for (let i = 0; i < values.length; i++) {
    const value = values[i] ?? Number.NaN;
    sum += value;
    squares += value * value;
  }
  return Math.sqrt(squares / values.length - (sum / values.length) ** 2);
}

/** Largest absolute difference; NaN (which fails every comparison) when the lengths differ or an element is NaN. */
export function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Number.NaN;
  let worst = 0;
  for (let i = 0; i < a.length; i++) {
    const difference = Math.abs((a[i] ?? Number.NaN) - (b[i] ?? Number.NaN));
    if (Number.isNaN(difference)) return Number.NaN;
    worst = Math.max(worst, difference);
  }
  return worst;
}

/** Row `at` of [rows, vocab]. */
export function row(logits: Float32Array, at: number, vocab: number): Float32Array {
  return logits.subarray(at * vocab, (at + 1) * vocab);
}

/** Minus the log-probability of `id`, in float64. */
export function negativeLogLikelihood(logits: Float32Array, id: number): number {
  let peak = -Infinity;
  for (const x of logits) peak = Math.max(peak, x);
  let total = 0;
  for (const x of logits) total += Math.exp(x - peak);
  return peak + Math.log(total) - (logits[id] ?? Number.NaN);
}

/** Position of the largest value, the first of equals. */
export function argmax(values: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if ((values[i] ?? Number.NaN) > (values[best] ?? Number.NaN)) best = i;
  return best;
}
