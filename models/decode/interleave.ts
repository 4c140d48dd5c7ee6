/** Several texts as one stream of tokens, as they come. */
import { UserError } from "../../runtime/common/errors.ts";
import { Leavable } from "./leave.ts";

/** A token of one of several texts: `sequence` is the place of its prompt in the list. */
export interface BatchToken {
  /** Place of the text's prompt in the list, from 0. */
  readonly sequence: number;
  /** The token. */
  readonly id: number;
}

/** What all texts have in common. */
export interface Together {
  /** Texts that are read at a time. */
  readonly width: number;
  /** Called before any text begins; what it throws ends the whole. */
  readonly check: () => void;
  /** When it is aborted, its reason is thrown at once. */
  readonly signal: AbortSignal | undefined;
}

interface Failed {
  readonly sequence: number;
  readonly error: unknown;
}

/**
 * Reads `width` texts at a time; the next one begins when one has ended. Whoever stops reading ends them all. A text
 * that fails does not end the others: its failure is thrown, with the number of its sequence, when they have ended.
 */
export function interleave(texts: readonly AsyncGenerator<number>[], together: Together): AsyncGenerator<BatchToken> {
  let left = false;
  return new Leavable(
    tokens(texts, together, () => left),
    () => {
      left = true;
      // Whatever is being read ends soon; what becomes of it is waited for where the stream ends.
      for (const text of texts) text.return(undefined).catch(() => {});
    },
  );
}

async function* tokens(
  texts: readonly AsyncGenerator<number>[],
  { width, check, signal }: Together,
  left: () => boolean,
): AsyncGenerator<BatchToken, undefined> {
  type Turn = { readonly sequence: number; readonly step: IteratorResult<number> } | Failed;
  const pending = new Map<number, Promise<Turn>>();
  const ask = (sequence: number): void => {
    const text = texts[sequence] as AsyncGenerator<number>;
    const turn = text.next().then(
      (step): Turn => ({ sequence, step }),
      (error: unknown): Turn => ({ sequence, error }),
    );
    pending.set(sequence, turn);
  };
  const failed: Failed[] = [];
  let begun = 0;
  try {
    check();
    for (;;) {
      for (; !left() && pending.size < width && begun < texts.length; begun++) ask(begun);
      if (pending.size === 0) break;
      const turn = await Promise.race(pending.values());
      const { sequence } = turn;
      pending.delete(sequence);
      if ("error" in turn) {
        signal?.throwIfAborted();
        failed.push(turn);
      } else if (turn.step.done !== true) {
        ask(sequence);
        yield { sequence, id: turn.step.value };
      }
    }
  } finally {
    await Promise.all(texts.map((text) => text.return(undefined).catch(() => {})));
  }
  if (failed.length > 0 && !left()) throw together(failed);
  return undefined;
}

/** One exception for all texts that failed. */
function together(failed: readonly Failed[]): Error {
  const numbers = failed.map((f) => f.sequence).sort((a, b) => a - b);
  const messages = new Set(failed.map(({ error }) => messageOf(error)));
  const where = `sequence${numbers.length > 1 ? "s" : ""} ${numbers.join(", ")}`;
  if (messages.size === 1) return ofSequence(where, failed[0]?.error);
  return new AggregateError(
    failed.map(({ sequence, error }) => ofSequence(`sequence ${sequence}`, error)),
    `${where}: ${[...messages].join("; ")}`,
  );
}

/** Does something with each of several texts; what it throws says which text it is about. */
export function eachOf<T>(texts: readonly T[], work: (text: T) => void): void {
  for (const [i, text] of texts.entries()) {
    try {
      work(text);
    } catch (error) {
      throw ofSequence(`sequence ${i}`, error);
    }
  }
}

/** The same exception, with the text that it belongs to in front. */
function ofSequence(where: string, error: unknown): Error {
  const message = `${where}: ${messageOf(error)}`;
  if (!(error instanceof UserError)) return new Error(message, { cause: error });
  return new UserError(message, { cause: error, ...(error.hint === undefined ? {} : { hint: error.hint }) });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
