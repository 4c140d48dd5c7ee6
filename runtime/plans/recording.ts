/**
 * Recording: the kernel calls that a function makes become the parts of a plan instead of being run.
 *
 * The function is called once and must be done when it returns, so there is one recording at a time in a process. What
 * would not end up in the plan is refused: a function that awaits, a kernel of another `Gpu`, a plan that is run, a
 * recording inside.
 */
import { describe, isThenable } from "../common/describe.ts";
import { UserError } from "../common/errors.ts";
import type { Dispatch } from "../kernels/dispatch.ts";

/** What was recorded: dispatches, and lists of those that a run repeats. */
export type Recorded = Dispatch | readonly Dispatch[];

/** Who records. */
type Owner = object;

let current: Recording | undefined;

/** The recording under way. */
export function recording(): Recording | undefined {
  return current;
}

export class Recording {
  readonly label: string;
  readonly #owner: Owner;
  readonly #parts: Recorded[] = [];
  /** The part that is repeated, inside of one. */
  #repeated: Dispatch[] | undefined;
  /** Variants that were called: they are kept while this is recorded and until the plan is made. */
  readonly #held: Dispatch[] = [];
  /** The first thing that was refused, in case that nobody heard of it. */
  #refusal: UserError | undefined;

  private constructor(owner: Owner, label: string) {
    this.#owner = owner;
    this.label = label;
  }

  /**
   * Records what `fn` calls. `strays` hears of a promise that `fn` returned: what still runs behind it was not
   * recorded.
   */
  static of(owner: Owner, label: string, fn: unknown, strays: Strays): Recording {
    if (typeof label !== "string") throw new UserError(`record: expected a label for the plan, got ${describe(label)}`);
    if (current !== undefined) {
      throw current.refused(
        `record("${label}"): a recording inside a recording ("${current.label}")`,
        "record one after the other; gpu.repeat marks a part that is repeated",
      );
    }
    const made = new Recording(owner, label);
    const what = `record("${label}")`;
    checkFunction(fn, what);
    current = made;
    try {
      checkResult(fn(), what, strays);
    } catch (error) {
      made.release();
      throw error;
    } finally {
      current = undefined;
    }
    if (made.#refusal === undefined) return made;
    made.release();
    throw made.#refusal;
  }

  get parts(): readonly Recorded[] {
    return this.#parts;
  }

  /** Takes down a call of a kernel that `owner` loaded. */
  add(owner: Owner, kernel: string, prepare: () => Dispatch): void {
    if (owner !== this.#owner) {
      throw this.refused(
        `kernel ${kernel} was loaded by another Gpu than the one that records "${this.label}"`,
        "load it by the gpu that records",
      );
    }
    const dispatch = prepare();
    dispatch.variant.home.hold(dispatch.variant);
    this.#held.push(dispatch);
    (this.#repeated ?? this.#parts).push(dispatch);
  }

  /** Records what `fn` calls as a part that is repeated. */
  repeat(owner: Owner, fn: unknown, strays: Strays): void {
    if (owner !== this.#owner) throw this.refused(`repeat: another Gpu records "${this.label}"`);
    if (this.#repeated !== undefined) {
      throw this.refused(`repeat: a part to repeat inside of another, in the recording "${this.label}"`, NO_NESTING);
    }
    const what = `repeat in the recording "${this.label}"`;
    const part: Dispatch[] = [];
    this.#repeated = part;
    try {
      checkFunction(fn, what);
      checkResult(fn(), what, strays);
    } catch (error) {
      if (error instanceof UserError) this.#refusal ??= error;
      throw error;
    } finally {
      this.#repeated = undefined;
    }
    this.#parts.push(part);
  }

  /** The error for what cannot be recorded. Whoever swallows it gets no plan either. */
  refused(message: string, hint?: string): UserError {
    const error = new UserError(message, hint === undefined ? {} : { hint });
    this.#refusal ??= error;
    return error;
  }

  /** Lets go of the variants: the plan holds them, or there is none. */
  release(): void {
    for (const { variant } of this.#held.splice(0)) variant.home.release(variant);
  }
}

/**
 * Functions that go on after a recording had ended. While there are any, calls of kernels may be theirs, and are
 * refused.
 */
export class Strays {
  readonly #running: Set<string> = new Set();

  /** Remembers that something runs until `promise` is settled. */
  watch(what: string, promise: PromiseLike<unknown>): void {
    this.#running.add(what);
    const done = (): void => {
      this.#running.delete(what);
    };
    promise.then(done, done);
  }

  /** Lets those end that only wait for the end of this turn. */
  async pass(): Promise<void> {
    if (this.#running.size > 0) await new Promise((next) => setTimeout(next, 0));
  }

  /** @throws UserError while one runs. */
  assertNone(kernel: string): void {
    const [what] = this.#running;
    if (what === undefined) return;
    throw new UserError(
      `kernel ${kernel}: called while the function that was given to ${what} still runs; its calls after an await are not recorded`,
      { hint: NO_AWAIT },
    );
  }
}

const NO_NESTING = "parts do not nest: give plan.run the product of the turns";
const NO_AWAIT = "await what is needed before, and only call kernels inside";
const WAITS: ReadonlySet<string> = new Set(["AsyncFunction", "AsyncGeneratorFunction", "GeneratorFunction"]);

/**
 * Refuses what is no function, and functions that do not do their work when they are called, before anything of them
 * runs.
 */
function checkFunction(fn: unknown, what: string): asserts fn is () => unknown {
  if (typeof fn !== "function")
    throw new UserError(`${what}: expected a function that calls kernels, got ${describe(fn)}`);
  const kind = Object.prototype.toString.call(fn).slice(8, -1);
  if (!WAITS.has(kind)) return;
  const got =
    kind === "AsyncFunction"
      ? "an async function"
      : kind === "GeneratorFunction"
        ? "a generator"
        : "an async generator";
  throw new UserError(`${what}: expected a function that calls kernels and returns, got ${got}`, { hint: NO_AWAIT });
}

function checkResult(result: unknown, what: string, strays: Strays): void {
  if (!isThenable(result)) return;
  strays.watch(what, result);
  throw new UserError(`${what}: expected a function that calls kernels and returns, got one that returns a promise`, {
    hint: NO_AWAIT,
  });
}
