/** Several texts as one stream of tokens, as they come. */
import { UserError } from "../../runtime/errors.ts";

/** A token of one of several texts: `sequence` is the place of its prompt in the list. */
export interface BatchToken {
  readonly sequence: number;
  readonly id: number;
}

/** Reads `width` texts at a time; the next one begins when one has ended. Whoever stops reading ends them all. */
export async function* interleave(texts: readonly AsyncGenerator<number>[], width: number): AsyncGenerator<BatchToken> {
  type Turn = { readonly sequence: number; readonly step: IteratorResult<number> };
  const next = async (sequence: number): Promise<Turn> => {
    const text = texts[sequence];
    if (text === undefined) throw new UserError(`there is no text ${sequence}`);
    return { sequence, step: await text.next() };
  };
  const pending = new Map<number, Promise<Turn>>();
  let begun = 0;
  try {
    for (;;) {
      for (; pending.size < width && begun < texts.length; begun++) pending.set(begun, next(begun));
      if (pending.size === 0) return;
      const { sequence, step } = await Promise.race(pending.values());
      pending.delete(sequence);
      if (step.done === true) continue;
      pending.set(sequence, next(sequence));
      yield { sequence, id: step.value };
    }
  } finally {
    await Promise.allSettled(pending.values());
    await Promise.all(texts.map((text) => text.return(undefined)));
  }
}
