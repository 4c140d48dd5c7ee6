/** Two sides that take turns: never both at a time, and each is first in every other round. */

/** What this side and the other gave, in this order whoever began. */
export type Pair<T> = readonly [here: T, there: T];

/** Asks both sides, one after the other: in rounds 0, 2, 4, … this one first. */
export async function inTurn<S, T>(sides: Pair<S>, round: number, ask: (side: S) => Promise<T>): Promise<Pair<T>> {
  const [a, b] = sides;
  if (round % 2 === 0) {
    const here = await ask(a);
    return [here, await ask(b)];
  }
  const there = await ask(b);
  return [await ask(a), there];
}
