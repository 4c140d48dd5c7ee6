import { size, sum } from "tilestate/dsl";

export function smooth(x) {
  return (x + 1) / 2;
}

/**
 * @param {number} x
 * @param {string} dim
 * @returns {number}
 */
export const mean = (x, dim) => sum(x, dim) / size(dim);
