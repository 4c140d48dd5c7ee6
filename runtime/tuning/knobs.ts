/** The knobs of a schedule: what the tuner tries, and what a record may say. */
import type { Knobs } from "../../compiler/index.ts";

/** What is tried for each knob, in the order in which they are gone through. 0 lanes stands for a subgroup. */
export const CHOICES: { readonly [K in keyof Knobs]-?: readonly number[] } = {
  lanes: [1, 0, 32, 64, 128, 256],
  rows: [1, 2, 4, 8, 16],
  unroll: [1, 2, 4, 8, 16],
  depth: [1, 2, 4, 8],
  tileRows: [16, 32, 64, 128],
  tileColumns: [16, 32, 64, 128],
  tileDepth: [8, 16, 32, 64],
  tileStages: [1, 2],
  // Never less precise than what the kernel does untuned.
  precision: [32],
};

/** The largest number that a record may give a knob: what is beyond no kernel compiles with. */
const MOST: { readonly [K in keyof Knobs]-?: number } = {
  lanes: 1024,
  rows: 64,
  unroll: 64,
  depth: 64,
  tileRows: 512,
  tileColumns: 512,
  tileDepth: 512,
  tileStages: 2,
  precision: 32,
};

/**
 * True for knobs that the tuner could have found: known ones, powers of two within reason, and nothing that makes a
 * kernel less precise.
 */
export function areKnobs(x: unknown): x is Knobs {
  if (typeof x !== "object" || x === null || Array.isArray(x)) return false;
  return Object.entries(x).every(([knob, value]) => {
    if (!Object.hasOwn(MOST, knob) || typeof value !== "number") return false;
    if (knob === "precision") return value === 32;
    // No rows: no workgroup tiles.
    if (knob === "tileRows" && value === 0) return true;
    return Number.isInteger(Math.log2(value)) && value >= 1 && value <= MOST[knob as keyof Knobs];
  });
}
