/** Several texts as one stream of tokens, as they come. */

/** A token of one of several texts: `sequence` is the place of its prompt in the list. */
export interface BatchToken {
  readonly sequence: number;
  readonly id: number;
}

/** Reads `width` texts at a time; the next one begins when one has ended. Whoever stops reading ends them all. */
export async function* interleave(texts: readonly AsyncGenerator<number>[], width: number): AsyncGenerator<BatchToken> {
  type Turn = { readonly sequence: number; readonly step: IteratorResult<number> };
  const pending = new Map<number, Promise<Turn>>();
  const ask = (sequence: number): void => {
    const turn = (async (): Promise<Turn> => {
      const step = await texts[sequence]?.next();
      return { sequence, step: step ?? { done: true, value: undefined } };
    })();
    // A failure is heard when its turn comes, and must not end the process before that.
    turn.catch(() => {});
    pending.set(sequence, turn);
  };
  let begun = 0;
  try {
    for (;;) {
      for (; pending.size < width && begun < texts.length; begun++) ask(begun);
      if (pending.size === 0) return;
      const { sequence, step } = await Promise.race(pending.values());
      pending.delete(sequence);
      if (step.done === true) continue;
      ask(sequence);
      yield { sequence, id: step.value };
    }
  } finally {
    await Promise.allSettled(pending.values());
    await Promise.all(texts.map((text) => text.return(undefined)));
  }
}
