/** Whether numbers fit the format that they are to be kept in: one that becomes an infinity makes every token nonsense, and nobody would know why. */

import { UserError } from "../../runtime/common/errors.ts";
import type { DType } from "../../runtime/memory/dtype.ts";

/** Magnitudes from which on a half-precision number is rounded to infinity. */
const HALF = 65520;

/** The first magnitude that a format cannot hold. Block formats have a scale in half precision: the largest number's, a 127th or an 8th of it. */
function boundOf(format: DType): number {
  if (format === "f16") return HALF;
  if (format === "q8") return 127 * HALF;
  if (format === "q4") return 8 * HALF;
  return Infinity;
}

/** Counts the numbers of one tensor that do not fit, as its parts come by. */
export class Fit {
  readonly #format: DType;
  readonly #bound: number;
  #seen = 0;
  #bad = 0;
  #first = "";

  constructor(format: DType) {
    this.#format = format;
    this.#bound = boundOf(format);
  }

  take(values: Float32Array): void {
    const bound = this.#bound;
    for (let i = 0; i < values.length; i++) {
      const value = values[i] as number;
      // NaN is below nothing.
      if (Math.abs(value) < bound) continue;
      if (this.#bad++ === 0) this.#first = `${value} at index ${this.#seen + i}`;
    }
    this.#seen += values.length;
  }

  /** Throws a `UserError` that begins with `what` if any did not fit. */
  check(what: string): void {
    if (this.#bad === 0) return;
    const values = this.#bad === 1 ? "value does" : "values do";
    throw new UserError(
      `${what}: ${this.#bad} of ${this.#seen} ${values} not fit ${this.#format} (the first is ${this.#first})`,
      { hint: "keep the weights as they are stored; if these are no numbers at all, the file is damaged" },
    );
  }
}
