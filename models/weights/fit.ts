/**
 * Whether numbers fit the format that they are to be kept in: one that becomes an infinity makes every token nonsense,
 * and nobody would know why.
 */

import { type Code, formatOf } from "../../compiler/ir/formats.ts";
import { UserError } from "../../runtime/common/errors.ts";
import type { DType } from "../../runtime/memory/dtype.ts";

/** The first magnitude that a float with these bits of exponent and fraction cannot hold. */
function boundOfFloat({ exponent, fraction, ieee }: Code & { kind: "float" }): number {
  const bias = 2 ** (exponent - 1) - 1;
  // Half a step above the largest number: all ones, less what says NaN; and the even neighbour gets the tie.
  const largest = ieee ? 2 ** bias * (2 - 2 ** -fraction) : 2 ** (bias + 1) * (2 - 2 * 2 ** -fraction);
  const half = 2 ** (ieee ? bias : bias + 1) * 2 ** -(fraction + 1);
  return ieee ? largest + half : largest + half * (1 + 2 ** -20);
}

/**
 * The first magnitude that a format cannot hold. Block formats have a scale in half precision, a part of the largest
 * number's magnitude; of the formats with a minimum that is in half precision, too.
 */
function boundOf(format: DType): number {
  const { code, scale } = formatOf(format);
  if (code.kind === "float") return boundOfFloat(code);
  const { code: half } = formatOf("f16");
  if (code.kind === "word" || half.kind !== "float") return Infinity;
  return boundOfFloat(half) * (scale?.minimum === true ? 1 : Math.abs(code.steps));
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
