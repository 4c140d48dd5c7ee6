/**
 * Rotary angles under every scaling against formulas that share nothing with the project's, and the tables made of
 * them.
 */
import { describe, expect, test } from "vitest";
import { frequencies, ropeTables } from "../../../models/blocks/rope.ts";
import type { RopeScaling, RopeSpec } from "../../../models/config/spec.ts";
import { rotationOf } from "../../support/reference-rope.ts";

const YARN = { kind: "yarn", fastTurns: 32, slowTurns: 1, original: 4096, truncate: true, amplitude: 1.2 } as const;
const SCALINGS: readonly RopeScaling[] = [
  { kind: "none" },
  { kind: "linear", factor: 2.5 },
  { kind: "llama3", factor: 8, lowTurns: 1, highTurns: 4, original: 8192 },
  { kind: "llama3", factor: 32, lowTurns: 1.5, highTurns: 3, original: 64 },
  { ...YARN, factor: 4 },
  { ...YARN, factor: 16, truncate: false },
  { ...YARN, factor: 8, fastTurns: 4, slowTurns: 0.25, original: 32 },
  // The passage lies before the first pair, and beyond the last one.
  { ...YARN, factor: 8, fastTurns: 4e6, slowTurns: 2e6 },
  { ...YARN, factor: 8, fastTurns: 1e-6, slowTurns: 1e-7 },
];

describe.each([
  { theta: 10000, dims: 64 },
  { theta: 500000, dims: 128 },
  { theta: 50, dims: 6 },
])("theta $theta, $dims numbers", ({ theta, dims }) => {
  test.each(SCALINGS.map((scaling) => [JSON.stringify(scaling), scaling] as const))("%s", (_, scaling) => {
    const rope: RopeSpec = { theta, dims, scaling };
    const expected = rotationOf(rope);
    const got = frequencies(rope);
    expect(got).toHaveLength(dims / 2);
    for (const [i, angle] of expected.angles.entries()) {
      expect(Math.abs((got[i] ?? Number.NaN) / angle - 1), `pair ${i}`).toBeLessThan(1e-9);
    }
    // A position is a row of each table: the turns add up, and what they are multiplied by counts once.
    const [tables, half, position] = [ropeTables(rope), dims / 2, 5 * 1024 + 700];
    const entry = (table: number, row: number, part: number, i: number): number =>
      tables[((table * 1024 + row) * 2 + part) * half + i] ?? Number.NaN;
    for (const [i, angle] of expected.angles.entries()) {
      const [c, s] = [
        entry(0, 700, 0, i) * entry(1, 5, 0, i) - entry(0, 700, 1, i) * entry(1, 5, 1, i),
        entry(0, 700, 1, i) * entry(1, 5, 0, i) + entry(0, 700, 0, i) * entry(1, 5, 1, i),
      ];
      expect(Math.abs(c - expected.amplitude * Math.cos(position * angle)), `pair ${i}`).toBeLessThan(1e-6);
      expect(Math.abs(s - expected.amplitude * Math.sin(position * angle)), `pair ${i}`).toBeLessThan(1e-6);
    }
  });
});
