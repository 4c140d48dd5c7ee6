/**
 * Example kernels over vectors, points and images: histogram, prefix sum, convolution, k-means, n-body, blur, Adam,
 * dropout.
 */
import { describe, test } from "vitest";
import { everyAdapter } from "../support/gpu.ts";
import { normal } from "../support/random.ts";
import { blank, type Comparison, compareAdapter, compareInterpreter, given } from "./compare.ts";

const SEED = 20263;

function numbers(count: number, seed: number): number[] {
  const next = normal(SEED + seed);
  return Array.from({ length: count }, next);
}

function at(values: ArrayLike<number> | undefined, i: number): number {
  const x = values?.[i];
  if (x === undefined) throw new Error(`no element ${i}`);
  return x;
}

function histogramCase(n: number, bins: number): Comparison {
  const x = given([n], numbers(n, 1));
  const counts = Array.from({ length: bins }, (_, i) => i);
  const want = counts.slice();
  for (const v of x.values ?? []) {
    if (v >= -1.5 && v < 2) {
      const place = Math.min(Math.trunc(Math.fround(Math.fround(Math.fround(v + 1.5) / 3.5) * bins)), bins - 1);
      want[place] = at(want, place) + 1;
    }
  }
  return {
    file: "histogram.ts",
    tensors: { x, counts: given([bins], counts, "u32") },
    calls: [["histogram", "x", -1.5, 2, "counts"]],
    want: { counts: want },
    tolerance: 0,
  };
}

function prefixCase(parts: number, n: number): Comparison {
  // Small whole numbers: every sum is exact in f32, whatever its order.
  const x = given(
    [parts, n],
    numbers(parts * n, 2).map((v) => Math.round(v * 8)),
  );
  let total = 0;
  const want = Array.from(x.values ?? [], (v) => {
    total += v;
    return total;
  });
  return {
    file: "prefix.ts",
    tensors: { x, totals: blank([parts]), y: blank([parts, n]) },
    calls: [
      ["partTotals", "x", "totals"],
      ["prefix", "x", "totals", "y"],
    ],
    want: { y: want },
    tolerance: 0,
  };
}

function convCase(outputs: number, inputs: number, steps: number, taps: number): Comparison {
  const x = given([inputs, steps], numbers(inputs * steps, 3));
  const w = given([outputs, inputs, taps], numbers(outputs * inputs * taps, 4));
  const bias = given([outputs], numbers(outputs, 5));
  const want: number[] = [];
  for (let o = 0; o < outputs; o++) {
    for (let t = 0; t < steps; t++) {
      let total = at(bias.values, o);
      for (let c = 0; c < inputs; c++) {
        for (let tap = 0; tap < taps; tap++) {
          const from = t + tap - ((taps - 1) >> 1);
          if (from >= 0 && from < steps)
            total += at(x.values, c * steps + from) * at(w.values, (o * inputs + c) * taps + tap);
        }
      }
      want.push(total);
    }
  }
  return {
    file: "conv1d.ts",
    tensors: { x, w, bias, y: blank([outputs, steps]) },
    calls: [["conv1d", "x", "w", "bias", "y"]],
    want: { y: want },
  };
}

function kmeansCase(points: number, centres: number, dim: number): Comparison {
  // Halves keep every sum exact, so that atomic additions in any order give the same.
  const x = given(
    [points, dim],
    numbers(points * dim, 6).map((v) => Math.round(v * 16) / 2),
  );
  const c = given(
    [centres, dim],
    numbers(centres * dim, 7).map((v) => Math.round(v * 16) / 2),
  );
  const sums = new Array<number>(centres * dim).fill(0);
  const counts = new Array<number>(centres).fill(0);
  const nearest = Array.from({ length: points }, (_, p) => {
    const distance = (j: number): number => {
      let d = 0;
      for (let i = 0; i < dim; i++) d += (at(x.values, p * dim + i) - at(c.values, j * dim + i)) ** 2;
      return d;
    };
    let best = 0;
    for (let j = 1; j < centres; j++) if (distance(j) < distance(best)) best = j;
    counts[best] = at(counts, best) + 1;
    for (let i = 0; i < dim; i++) sums[best * dim + i] = at(sums, best * dim + i) + at(x.values, p * dim + i);
    return best;
  });
  return {
    file: "kmeans.ts",
    tensors: {
      x,
      c,
      nearest: blank([points], "u32"),
      sums: given([centres, dim], new Float32Array(centres * dim)),
      counts: given([centres], new Uint32Array(centres), "u32"),
    },
    calls: [["assign", "x", "c", "nearest", "sums", "counts"]],
    want: { nearest, sums, counts },
    tolerance: 0,
  };
}

function nbodyCase(n: number): Comparison {
  const place = given([3, n], numbers(3 * n, 8));
  const velocity = given([3, n], numbers(3 * n, 9));
  const mass = given([n], numbers(n, 10).map(Math.abs));
  const [dt, softening] = [0.01, 0.05];
  const nextPlace = Array.from(place.values ?? []);
  const nextVelocity = Array.from(velocity.values ?? []);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      const away = [0, 1, 2].map((a) => at(place.values, a * n + j) - at(place.values, a * n + i));
      const near = 1 / Math.sqrt(away.reduce((s, d) => s + d * d, softening ** 2));
      for (const [a, d] of away.entries()) {
        nextVelocity[a * n + i] = at(nextVelocity, a * n + i) + dt * d * at(mass.values, j) * near ** 3;
      }
    }
    for (let a = 0; a < 3; a++) nextPlace[a * n + i] = at(nextPlace, a * n + i) + dt * at(nextVelocity, a * n + i);
  }
  return {
    file: "nbody.ts",
    tensors: { place, velocity, mass, nextPlace: blank([3, n]), nextVelocity: blank([3, n]) },
    calls: [["step", "place", "velocity", "mass", dt, softening, "nextPlace", "nextVelocity"]],
    want: { nextPlace, nextVelocity },
  };
}

function blurCase(height: number, width: number, sigma: number): Comparison {
  const x = given([height, width], numbers(height * width, 11));
  const blur = (image: ArrayLike<number>, across: boolean): number[] =>
    Array.from({ length: height * width }, (_, p) => {
      let [total, weights] = [0, 0];
      for (let k = -3; k <= 3; k++) {
        const weight = Math.exp(-(k * k) / (2 * sigma * sigma));
        const row = across ? Math.floor(p / width) : Math.max(0, Math.min(height - 1, Math.floor(p / width) + k));
        const column = across ? Math.max(0, Math.min(width - 1, (p % width) + k)) : p % width;
        total += weight * at(image, row * width + column);
        weights += weight;
      }
      return total / weights;
    });
  return {
    file: "blur.ts",
    tensors: { x, half: blank([height, width]), y: blank([height, width]) },
    calls: [
      ["blurAcross", "x", sigma, "half"],
      ["blurDown", "half", sigma, "y"],
    ],
    want: { y: blur(blur(x.values ?? [], true), false) },
  };
}

function adamCase(n: number, turn: number): Comparison {
  const weights = given([n], numbers(n, 12));
  const gradient = given([n], numbers(n, 13));
  const m = given([n], numbers(n, 14));
  const v = given([n], numbers(n, 15).map(Math.abs));
  const [rate, decay] = [0.01, 0.1];
  const mean = Array.from(m.values ?? [], (x, i) => 0.9 * x + 0.1 * at(gradient.values, i));
  const spread = Array.from(v.values ?? [], (x, i) => 0.999 * x + 0.001 * at(gradient.values, i) ** 2);
  const moved = Array.from(weights.values ?? [], (x, i) => {
    const direction = at(mean, i) / (1 - 0.9 ** turn) / (Math.sqrt(at(spread, i) / (1 - 0.999 ** turn)) + 1e-8);
    return x * (1 - rate * decay) - rate * direction;
  });
  return {
    file: "adam.ts",
    tensors: { weights, gradient, m, v },
    calls: [["adam", "weights", "gradient", "m", "v", turn, rate, decay]],
    want: { weights: moved, m: mean, v: spread },
  };
}

function dropoutCase(n: number): Comparison {
  const pcg = (word: number): number => {
    const state = (Math.imul(word, 747796405) + 2891336453) >>> 0;
    const mixed = Math.imul((state >>> ((state >>> 28) + 4)) ^ state, 277803737) >>> 0;
    return ((mixed >>> 22) ^ mixed) >>> 0;
  };
  const [seed, step, keep] = [7, 3, 0.75];
  const x = given([n], numbers(n, 16));
  const want = Array.from(x.values ?? [], (v, i) => {
    const draw = ((pcg((pcg((pcg(seed) ^ step) >>> 0) ^ i) >>> 0) >>> 8) + 0.5) * 2 ** -24;
    return draw < keep ? v / keep : 0;
  });
  return {
    file: "dropout.ts",
    tensors: { x, y: blank([n]) },
    calls: [["dropout", "x", seed, step, keep, "y"]],
    want: { y: want },
  };
}

const CASES: Readonly<Record<string, Comparison>> = {
  "histogram of 1003 in 13 bins": histogramCase(1003, 13),
  "prefix sum of 1 x 37": prefixCase(1, 37),
  "prefix sum of 5 x 131": prefixCase(5, 131),
  "prefix sum of 3 x 256": prefixCase(3, 256),
  "convolution 3 x 2 x 45, 5 taps": convCase(3, 2, 45, 5),
  "convolution 2 x 3 x 16, 4 taps": convCase(2, 3, 16, 4),
  "k-means of 70 points, 7 centres": kmeansCase(70, 7, 12),
  "k-means of 33 points, 19 centres": kmeansCase(33, 19, 5),
  "n-body of 37": nbodyCase(37),
  "blur 19 x 23": blurCase(19, 23, 1.3),
  "Adam on 131, turn 1": adamCase(131, 1),
  "Adam on 64, turn 900": adamCase(64, 900),
  "dropout of 517": dropoutCase(517),
};

test.each(Object.keys(CASES))("interpreter: %s", async (name) => compareInterpreter(CASES[name] as Comparison));

describe.each(everyAdapter())(`%s, seed ${SEED}`, (adapter) => {
  test.each(Object.keys(CASES))("%s", async (name) => compareAdapter(adapter, CASES[name] as Comparison));
});
