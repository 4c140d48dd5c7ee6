/**
 * Layouts: which lane holds which elements of an axis.
 *
 * An axis is *owned* whole by every lane, or *spread* over the lanes; and spread either over all of them or over some
 * digits of the lane's number, so that two axes of one tile can be spread at once: a thread tile, as every fast matrix
 * product on a GPU has it.
 */

/** A digit of the lane's number: lane / stride % count. */
export interface Digit {
  /** Lanes from one value of the digit to the next. */
  readonly stride: number;
  /** Values that the digit has. */
  readonly count: number;
}

/** How the elements of one axis lie in the registers of lanes. */
export interface AxisLayout {
  /** Each lane has a part of the axis; else each has all of it. */
  readonly spread: boolean;
  /** Elements in one block: lanes · count · width when spread, count otherwise. */
  readonly size: number;
  /** Registers a lane needs along this axis. */
  readonly count: number;
  /** Components of a register along this axis: 1, 2 or 4. */
  readonly width: 1 | 2 | 4;
  /**
   * Registers of a lane that lie side by side in memory: narrow formats fill 16 bytes with several registers' worth.
   */
  readonly chunk: number;
  /** Spread over a part of the lane's number only, the most significant digit first; without them over all of it. */
  readonly digits?: readonly Digit[];
}

/** Lanes that an axis is spread over. */
export function lanesAlong(layout: AxisLayout, lanes: number): number {
  return layout.digits === undefined ? lanes : layout.digits.reduce((n, d) => n * d.count, 1);
}

/** An axis of `size` elements over `lanes` lanes that these digits name, `width` neighbours in a register. */
export function spreadOver(size: number, lanes: number, width: 1 | 2 | 4, digits: readonly Digit[]): AxisLayout {
  return { spread: true, size, count: size / (lanes * width), width, chunk: 1, digits };
}
