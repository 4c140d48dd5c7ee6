/**
 * Rotary angles: what each pair turns by a position, and the two tables behind models/kernels/rotate.ts.
 *
 * All of it is f64 whatever the weights are stored as; only the tables are rounded, to f32.
 */

import type { Llama3Scaling, ModelSpec, RopeSpec, YarnScaling } from "../config/spec.ts";
import { ROPE_ROWS } from "../kernels/rotate.ts";

/** Positions that the tables reach. */
export const MOST_POSITIONS: number = ROPE_ROWS * ROPE_ROWS;

/** The rotation of all layers of a model. `checkSpec` has looked whether they agree. */
export function ropeOf({ layers }: ModelSpec): RopeSpec {
  return layers[0]?.attention.rope as RopeSpec;
}

/** Radians that a position advances each pair by, [dims / 2]: theta^(-2i / dims), scaled. */
export function frequencies({ theta, dims, scaling }: RopeSpec): Float64Array {
  const plain = Float64Array.from({ length: dims / 2 }, (_, i) => theta ** ((-2 * i) / dims));
  if (scaling.kind === "linear") return plain.map((f) => f / scaling.factor);
  if (scaling.kind === "llama3") return plain.map((f) => llama3(f, scaling));
  if (scaling.kind === "yarn") return yarn(plain, theta, scaling);
  return plain;
}

/** One frequency under Llama 3.1's scaling. */
function llama3(f: number, { factor, lowTurns, highTurns, original }: Llama3Scaling): number {
  const turns = (original * f) / (2 * Math.PI);
  if (turns < lowTurns) return f / factor;
  if (turns > highTurns) return f;
  const kept = (turns - lowTurns) / (highTurns - lowTurns);
  return ((1 - kept) * f) / factor + kept * f;
}

/** All frequencies under YaRN, as its authors' code has them: the passage lies between two numbers of pairs. */
function yarn(plain: Float64Array, theta: number, scaling: YarnScaling): Float64Array {
  const { factor, fastTurns, slowTurns, original, truncate } = scaling;
  const dims = 2 * plain.length;
  /** The pair, not a whole number, that turns so often within the original context. */
  const pairOf = (turns: number): number => (dims * Math.log(original / (turns * 2 * Math.PI))) / (2 * Math.log(theta));
  const [fast, slow] = [pairOf(fastTurns), pairOf(slowTurns)];
  const first = Math.max(truncate ? Math.floor(fast) : fast, 0);
  const last = Math.min(truncate ? Math.ceil(slow) : slow, dims - 1);
  // A passage of no length is a step.
  const length = last === first ? 0.001 : last - first;
  return plain.map((f, i) => {
    const slowed = Math.min(1, Math.max(0, (i - first) / length));
    return (f / factor) * slowed + f * (1 - slowed);
  });
}

/** What cosines and sines are multiplied by. */
function amplitudeOf({ scaling }: RopeSpec): number {
  return scaling.kind === "yarn" ? scaling.amplitude : 1;
}

/**
 * The tables of positions 0 … 1023 and of their multiples by 1024, [fine and coarse, 1024, cos and sin, dims / 2]. A
 * position takes a row of each, so what all are multiplied by stands in the fine one only.
 */
export function ropeTables(rope: RopeSpec): Float32Array {
  const freq = frequencies(rope);
  const half = freq.length;
  const out = new Float32Array(2 * ROPE_ROWS * 2 * half);
  for (let scale = 0; scale < 2; scale++) {
    const amplitude = scale === 0 ? amplitudeOf(rope) : 1;
    for (let row = 0; row < ROPE_ROWS; row++) {
      for (let i = 0; i < half; i++) {
        const angle = row * (scale === 0 ? 1 : ROPE_ROWS) * (freq[i] ?? 0);
        const at = (scale * ROPE_ROWS + row) * 2 * half + i;
        out[at] = amplitude * Math.cos(angle);
        out[at + half] = amplitude * Math.sin(angle);
      }
    }
  }
  return out;
}
