/**
 * Rotary angles for references, from the words of those who invented the scalings and with no code of the project's.
 *
 * Where the project solves for the pair that turns so often, this one searches for it; where it counts turns, this one
 * measures wavelengths.
 */
import type { RopeSpec } from "../../models/config/spec.ts";

export interface Rotation {
  /** Radians that a position advances each pair by. */
  readonly angles: readonly number[];
  /** What both numbers of a turned pair are multiplied by. */
  readonly amplitude: number;
}

/** The rotation of a layer. */
export function rotationOf(rope: RopeSpec | undefined): Rotation {
  if (rope === undefined) throw new Error("the reference knows no layers without positions");
  const { theta, dims, scaling } = rope;
  /** Radians a position of a pair, which need not be a whole one. */
  const unscaled = (pair: number): number => 1 / theta ** (pair / (dims / 2));
  const all = Array.from({ length: dims / 2 }, (_, pair) => unscaled(pair));
  if (scaling.kind === "none") return { angles: all, amplitude: 1 };
  const { factor } = scaling;
  if (scaling.kind === "linear") return { angles: all.map((angle) => angle / factor), amplitude: 1 };
  const { original } = scaling;
  if (scaling.kind === "llama3") {
    const [longest, shortest] = [original / scaling.lowTurns, original / scaling.highTurns];
    const angles = all.map((angle) => {
      const wavelength = (2 * Math.PI) / angle;
      if (wavelength < shortest) return angle;
      if (wavelength > longest) return angle / factor;
      const smooth = (original / wavelength - scaling.lowTurns) / (scaling.highTurns - scaling.lowTurns);
      return angle * (smooth + (1 - smooth) / factor);
    });
    return { angles, amplitude: 1 };
  }
  const pairTurning = (turns: number): number => {
    let [low, high] = [-1000, 1000];
    for (let i = 0; i < 200; i++) {
      const middle = (low + high) / 2;
      // Later pairs turn less.
      if ((original * unscaled(middle)) / (2 * Math.PI) > turns) low = middle;
      else high = middle;
    }
    return low;
  };
  const round = (pair: number, how: (x: number) => number): number => (scaling.truncate ? how(pair) : pair);
  const begin = Math.max(0, round(pairTurning(scaling.fastTurns), Math.floor));
  const end = Math.min(dims - 1, round(pairTurning(scaling.slowTurns), Math.ceil));
  const angles = all.map((angle, pair) => {
    const way = begin === end ? (pair > begin ? 1 : 0) : (pair - begin) / (end - begin);
    const stretched = Math.max(0, Math.min(1, way));
    return stretched * (angle / factor) + (1 - stretched) * angle;
  });
  return { angles, amplitude: scaling.amplitude };
}
