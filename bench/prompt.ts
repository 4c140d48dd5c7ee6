/** The ids that a benchmark reads. */

/**
 * Ids of a prompt: the given ones, again and again until there are `length`, or else scattered over the vocabulary by a
 * fixed hash.
 */
export function promptOf(vocab: number, length: number, ids?: readonly number[]): number[] {
  return Array.from({ length }, (_, i) => {
    if (ids !== undefined && ids.length > 0) return ids[i % ids.length] as number;
    let x = Math.imul(i + 1, 0x9e3779b9);
    x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
    return ((x ^ (x >>> 13)) >>> 0) % vocab;
  });
}
