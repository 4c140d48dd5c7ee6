/** The 16-bit floats: every bit pattern, and rounding to the nearest. */
import { describe, expect, it } from "vitest";
import { decodeBF16, decodeF16, encodeBF16, encodeF16 } from "../../runtime/memory/dtype.ts";

const ALL_HALVES = Uint16Array.from({ length: 65536 }, (_, i) => i);

/** xorshift32: the same words on every run and machine. */
function words(seed: number, count: number): Uint32Array<ArrayBuffer> {
  let state = seed;
  return Uint32Array.from({ length: count }, () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  });
}

describe("16-bit floats", () => {
  it.each([
    ["f16", encodeF16, decodeF16, 0x7c00],
    ["bf16", encodeBF16, decodeBF16, 0x7f80],
  ] as const)("%s: every bit pattern survives decoding and encoding", (_, encode, decode, infinity) => {
    const values = decode(ALL_HALVES);
    const again = encode(values);
    for (let half = 0; half < 65536; half++) {
      if ((half & 0x7fff) > infinity) {
        expect(Number.isNaN(values[half])).toBe(true);
        expect((again[half] as number) & 0x7fff).toBeGreaterThan(infinity);
      } else if (again[half] !== half) {
        expect.fail(`0x${half.toString(16)} became 0x${again[half]?.toString(16)}`);
      }
    }
  });

  it("f16: decoding follows the definition", () => {
    const values = decodeF16(ALL_HALVES);
    for (let half = 0; half < 0x7c00; half++) {
      const exponent = half >> 10;
      const fraction = half & 0x3ff;
      const meant = exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15);
      if (values[half] !== meant || values[half + 0x8000] !== -meant) expect.fail(`0x${half.toString(16)}`);
    }
    expect(values[0x7c00]).toBe(Infinity);
    expect(values[0xfc00]).toBe(-Infinity);
    expect(Object.is(values[0x8000], -0)).toBe(true);
  });

  it.each([
    ["f16", encodeF16, decodeF16, 0x7bff],
    ["bf16", encodeBF16, decodeBF16, 0x7f7f],
  ] as const)("%s: rounds to the nearest, ties to even", (_, encode, decode, largest) => {
    const seed = 20261124;
    const random = new Float32Array(words(seed, 200_000).buffer).filter((value) => Number.isFinite(value));
    const grid = decode(ALL_HALVES.subarray(0, largest + 1));
    // Values that matter: random bits over the whole range of f32, points of the grid's own range, and exact ties with
    // their neighbours.
    const spread = Float32Array.from(random, (_, i) => ((i * 7919) % 140_001) / 977 - 70);
    const ties = Float32Array.from(grid.subarray(0, -1), (value, i) => (value + (grid[i + 1] as number)) / 2);
    const values = new Float32Array([...random, ...spread, ...ties, ...ties.map((value) => value * (1 - 2 ** -23))]);
    const codes = encode(values);
    const gap = (grid[largest] as number) - (grid[largest - 1] as number);
    for (let i = 0; i < values.length; i++) {
      const value = Math.abs(values[i] as number);
      const code = (codes[i] as number) & 0x7fff;
      const at = (index: number): number =>
        index > largest ? (grid[largest] as number) + (index - largest) * gap : (grid[index] as number);
      const error = Math.abs(at(Math.min(code, largest + 1)) - value);
      const below = code === 0 ? Infinity : Math.abs(at(Math.min(code, largest + 1) - 1) - value);
      const above = code > largest ? Infinity : Math.abs(at(code + 1) - value);
      const nearest = error <= below && error <= above;
      const even = (error !== below && error !== above) || code % 2 === 0;
      const beyond = code === largest + 1 && value > at(largest + 1);
      if (!(nearest && even) && !beyond) expect.fail(`seed ${seed}: ${values[i]} became code ${code}`);
    }
  });

  it("keeps signs, infinities, overflow and NaN", () => {
    const values = new Float32Array([-0, Infinity, -Infinity, 65519.996, 65520, 1e30, -1e30, 2 ** -25, 2 ** -26 * 3]);
    expect([...encodeF16(values)]).toEqual([0x8000, 0x7c00, 0xfc00, 0x7bff, 0x7c00, 0x7c00, 0xfc00, 0, 1]);
    const nan = new Float32Array(new Uint32Array([0x7f800001, 0xff800001]).buffer);
    expect([...decodeF16(encodeF16(nan))].every(Number.isNaN)).toBe(true);
    expect([...decodeBF16(encodeBF16(nan))].every(Number.isNaN)).toBe(true);
    expect([...encodeBF16(new Float32Array([3.4028235e38, -1]))]).toEqual([0x7f80, 0xbf80]);
  });
});
