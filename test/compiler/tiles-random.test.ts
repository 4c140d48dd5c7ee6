/**
 * Products of matrices of random sizes, formats, adapters and knobs: lane simulator against tile interpreter.
 * `npm run fuzz products` tries other seeds.
 */
import { describe, expect, it } from "vitest";
import { checkTiled } from "../fuzz/tiled.ts";
import { SEED } from "../support/random.ts";

describe("random products of matrices", () => {
  it(`compute what they mean (seed ${SEED})`, () => {
    let units = 0;
    for (let n = 0; n < 40; n++) if (checkTiled(SEED, n).matrix !== undefined) units++;
    expect(units).toBeGreaterThan(2);
  });
});
