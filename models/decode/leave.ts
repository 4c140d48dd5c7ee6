/**
 * Leaving: a reader may go at any time, by `return()`, by an AbortSignal or because the decoder is destroyed, and is
 * not kept waiting for what it no longer wants.
 *
 * An async generator hears of `return()` only when it yields, and one that reads a prompt does not for minutes. So the
 * generator is wrapped: what is said to the wrapper is noted at once, and whoever works for the text looks at the note
 * between two submissions.
 */

/** Thrown inside of a text whose reader has gone; nobody outside sees it. */
class Left extends Error {}

/** What is known of one reader's wish to go. */
export class Leaving {
  readonly #signal: AbortSignal | undefined;
  readonly #assertLive: () => void;
  readonly #wake: () => void;
  #left = false;
  /** Resolves when there is a reason to look. */
  readonly stirred: Promise<void>;

  /** @param assertLive throws when the text's decoder is no more. */
  constructor(signal: AbortSignal | undefined, assertLive: () => void) {
    this.#signal = signal;
    this.#assertLive = assertLive;
    let wake = (): void => {};
    this.stirred = new Promise((resolve) => {
      wake = resolve;
    });
    this.#wake = wake;
  }

  /** Listens to the signal until `end`. */
  begin(): void {
    this.#signal?.addEventListener("abort", this.#wake, { once: true });
  }

  end(): void {
    this.#signal?.removeEventListener("abort", this.#wake);
  }

  leave(): void {
    this.#left = true;
    this.#wake();
  }

  /** Something has changed that waiters should look at. */
  stir(): void {
    this.#wake();
  }

  /**
   * @throws when the text is not wanted any more: the signal's reason, what `assertLive` throws, or a note that the
   * reader has gone.
   */
  check(): void {
    if (this.#left) throw new Left("the reader has gone");
    this.#signal?.throwIfAborted();
    this.#assertLive();
  }

  /** Is this what `check` throws for a reader that has gone by itself? */
  isLeave(error: unknown): boolean {
    return error instanceof Left;
  }

  /** Is this the reason of the signal? */
  isAbort(error: unknown): boolean {
    return this.#signal?.aborted === true && error === this.#signal.reason;
  }
}

/**
 * An async generator that is told of its end while it works. `leave` is called before the end is asked for, and the
 * pending `next` is then soon done.
 */
export class Leavable<T> implements AsyncGenerator<T, undefined> {
  readonly #inner: AsyncGenerator<T, undefined>;
  readonly #leave: () => void;

  constructor(inner: AsyncGenerator<T, undefined>, leave: () => void) {
    this.#inner = inner;
    this.#leave = leave;
  }

  next(): Promise<IteratorResult<T, undefined>> {
    return this.#inner.next();
  }

  return(): Promise<IteratorResult<T, undefined>> {
    this.#leave();
    return this.#inner.return(undefined);
  }

  throw(error: unknown): Promise<IteratorResult<T, undefined>> {
    this.#leave();
    return this.#inner.throw(error);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }
}
