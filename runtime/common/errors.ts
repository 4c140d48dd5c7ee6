/**
 * Errors a person can act on.
 *
 * Everything that is the input's fault (a file, a shape, an option, a missing adapter) is thrown as a `UserError`,
 * whose message is complete by itself: the commands print it without a stack trace. Anything else that escapes is a
 * defect of ours and keeps its trace.
 */

/** A failure caused by input or environment; `message` says what was expected, what was got and where. */
export class UserError extends Error {
  /** Tells it from other errors where classes are not shared. */
  override readonly name: string = "UserError";
  /** One line that tells what to do about it, where there is something to do. */
  readonly hint: string | undefined;

  /**
   * Makes the error.
   * @param message what was expected, what was got and where
   * @param options `hint`: what to do about it; `cause`: the error behind it
   */
  constructor(message: string, options: { readonly hint?: string | undefined; readonly cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.hint = options.hint;
  }
}
