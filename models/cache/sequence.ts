/**
 * What the host knows of one sequence: the only place where it is known. The GPU has its own count in `feed`, which
 * steps that are under way are ahead of.
 *
 * A sequence is empty, or whole (its state has read `seen` tokens and nothing else), or it can only be begun anew:
 * because a prompt was left in the middle, because its text was left before its end, so that the state has read tokens
 * that nobody has seen, or because work on it failed.
 */
import { UserError } from "../../runtime/common/errors.ts";

export class Sequence {
  /** Tokens that the state has read. */
  seen = 0;
  /** The last token of a text that ended because it had as many as were wanted: nothing has read it yet. */
  pending: number | undefined;
  #broken: "part" | "cut" | Error | undefined;

  /** Why nothing may be made of it any more, if something went wrong with it. */
  get failed(): Error | undefined {
    return this.#broken instanceof Error ? this.#broken : undefined;
  }

  /** An empty state. */
  empty(): void {
    this.seen = 0;
    this.pending = undefined;
    this.#broken = undefined;
  }

  /** A prompt is being read: until it is `whole` again, nothing can rely on the state. */
  reading(): void {
    this.pending = undefined;
    this.#broken = "part";
  }

  /** The state has read `seen` tokens, and only them. */
  whole(seen: number): void {
    this.seen = seen;
    this.#broken = undefined;
  }

  /** Its text was left before it ended by itself. */
  cut(): void {
    this.#broken ??= "cut";
  }

  fail(error: Error): void {
    this.#broken = error;
  }

  /** Throws unless a text of the model called `name` can go on from here. */
  assertWhole(name: string): void {
    if (this.#broken instanceof Error) throw this.#broken;
    if (this.#broken === "cut")
      throw new UserError("the last text was left before its end: its state has read tokens that nobody has seen", {
        hint: "begin anew with the whole text as the prompt",
      });
    if (this.#broken === "part")
      throw new UserError(`the decoder of "${name}" has read only a part of its last prompt`, {
        hint: "begin anew: only a text or a prompt that came to its end can be gone on with",
      });
  }
}
