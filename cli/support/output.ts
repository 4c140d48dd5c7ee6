/**
 * Standard output, written so that a failure is heard of: a full disk is an error and not a short file, and a reader
 * that has gone is nobody's failure.
 *
 * The runtimes' own streams differ in that: one loses the error, one throws it where nobody can catch it, and one never
 * ends. So text goes to the file descriptor itself, in order, and whoever cares waits for it.
 */
import { write } from "node:fs";
import { UserError } from "../../runtime/common/errors.ts";

/** The reader has gone, as `| head` does: there is nobody left to write for. */
export class ReaderGone extends Error {
  override readonly name: string = "ReaderGone";
}

/** Milliseconds until a pipe that is full is tried again. */
const RETRY_MS = 2;

export class Output {
  readonly #fd: number;
  #waiting = "";
  #writing: Promise<void> | undefined;
  #failure: Error | undefined;
  /** Resolves when nothing can be written any more. */
  readonly broken: Promise<void>;
  readonly #break: () => void;

  constructor(fd: number) {
    this.#fd = fd;
    let broke = (): void => {};
    this.broken = new Promise((resolve) => {
      broke = resolve;
    });
    this.#break = broke;
  }

  /** Puts text in line. What becomes of it is told by `flush`. */
  push(text: string): void {
    // A drain that finds nothing to write is over before it is noted, and would be waited for ever after.
    if (text === "" || this.#failure !== undefined) return;
    this.#waiting += text;
    this.#writing ??= this.#drain();
  }

  /**
   * Waits until all text has left the process.
   * @throws ReaderGone when nobody reads it, UserError when it cannot be written.
   */
  async flush(): Promise<void> {
    await this.#writing;
    if (this.#failure !== undefined) throw this.#failure;
  }

  async #drain(): Promise<void> {
    try {
      while (this.#waiting !== "") {
        const bytes = new TextEncoder().encode(this.#waiting);
        this.#waiting = "";
        for (let at = 0; at < bytes.length; ) at += await this.#write(bytes, at);
      }
    } catch (error) {
      this.#waiting = "";
      this.#failure = failureOf(error as NodeJS.ErrnoException);
      this.#break();
    } finally {
      this.#writing = undefined;
    }
  }

  /** Bytes that were taken; 0 where there is no room at the moment. */
  #write(bytes: Uint8Array, at: number): Promise<number> {
    return new Promise((done, fail) => {
      write(this.#fd, bytes, at, bytes.length - at, null, (error, count) => {
        if (error === null || error === undefined) done(count);
        else if (error.code === "EAGAIN" || error.code === "EINTR") setTimeout(() => done(0), RETRY_MS);
        else fail(error);
      });
    });
  }
}

function failureOf(error: NodeJS.ErrnoException): Error {
  if (error.code === "EPIPE") return new ReaderGone("nobody reads the output any more", { cause: error });
  const why = error.code === "ENOSPC" ? "no space is left on the device (ENOSPC)" : error.message;
  return new UserError(`the output could not be written: ${why}`, { cause: error });
}
