/**
 * How the next token is chosen and how long a text may become: the options of a generation, and what is wrong with
 * them.
 */
import { describe } from "../../runtime/common/describe.ts";
import { UserError } from "../../runtime/common/errors.ts";
import { STOPS } from "../cache/state.ts";

/** How the next token is chosen. */
export interface Sampling {
  /** 0 = the most likely token. */
  readonly temperature?: number;
  /** 0 = all tokens. */
  readonly topK?: number;
  /** 1 = all tokens. */
  readonly topP?: number;
  /** A whole number below 2^32; the same seed gives the same text. */
  readonly seed?: number;
  /**
   * Which of the texts of one seed this is, a whole number below 2^32: each draws on its own, whatever else is written
   * beside it. 0 unless given; `generateAll` gives each prompt the number of its place.
   */
  readonly sequence?: number;
}

/** What a text is and what ends it. */
export interface GenerateOptions extends Sampling {
  /** Ends the text, heard after each piece of the prompt and each burst of tokens: its reason is thrown. */
  readonly signal?: AbortSignal | undefined;
  /**
   * When all rows of the decoder are writing texts: throw an error, the default, or wait for a row in the order of
   * asking.
   */
  readonly whenBusy?: "refuse" | "wait" | undefined;
  /** Most tokens to generate; may be Infinity. */
  readonly tokens: number;
  /**
   * How a prompt that is longer than the state is read: `recurrent`, the default, drops a token for each that is read;
   * `oneshot` reads all of it and then reduces the state once.
   */
  readonly prefill?: "recurrent" | "oneshot";
  /**
   * Go on from the state that the last text left, with the prompt behind it (which may be empty after a text that had
   * all its tokens). Read recurrently.
   */
  readonly resume?: boolean;
  /** Ids that end the text; the model's own unless given. */
  readonly stop?: readonly number[];
}

/** Logits from which no token can be chosen, since they are not all numbers or the largest is infinite. */
export class LogitsError extends UserError {
  /** Tells it from other errors where classes are not shared. */
  override readonly name: string = "LogitsError";
  /** Where in its text the token would have been, counted from 0. */
  readonly position: number;

  /**
   * Makes the error.
   * @param position where in its text the token would have been, counted from 0
   */
  constructor(position: number) {
    super(`no token can be chosen for position ${position}: the logits there are no finite numbers`, {
      hint: "weights that are NaN or infinite, or too large for their format, do that; if other models fail too, it is the adapter or its driver (--gpu)",
    });
    this.position = position;
  }
}

/** Below this every temperature picks the most likely token, and its inverse would leave the range of f32. */
const COLDEST = 1e-6;
/** Above this every temperature draws all tokens alike, and its inverse would be no normal f32. */
const HOTTEST = 1e30;

/**
 * The numbers that the choosing kernel reads, [temperature, top-k, top-p, unused]. Throws a `UserError` naming what is
 * out of range.
 */
export function samplingSettings(sampling: Sampling): number[] {
  const { temperature = 0, topK = 0, topP = 1, seed = 0, sequence = 0 } = sampling;
  if (!(temperature >= 0 && temperature < Infinity))
    throw new UserError(`temperature must be 0 or more, got ${temperature}`);
  if (!(topP > 0 && topP <= 1)) throw new UserError(`top-p must be above 0 and at most 1, got ${topP}`);
  if (!(Number.isInteger(topK) && topK >= 0))
    throw new UserError(`top-k must be a whole number of at least 0, got ${topK}`);
  if (!(Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32))
    throw new UserError(`the seed must be a whole number from 0 to ${2 ** 32 - 1}, got ${seed}`);
  if (!(Number.isInteger(sequence) && sequence >= 0 && sequence < 2 ** 32))
    throw new UserError(`the number of the sequence must be whole, from 0 to ${2 ** 32 - 1}, got ${sequence}`);
  return [temperature === 0 ? 0 : Math.min(Math.max(temperature, COLDEST), HOTTEST), topK, topP, 0];
}

/**
 * The word that the noise of a text begins with. Sequences of one seed have different words, since `mixed` takes no two
 * to the same one; sequence 0 has the seed itself.
 */
export function noiseWord({ seed = 0, sequence = 0 }: Sampling): number {
  return (seed ^ mixed(sequence) ^ mixed(0)) >>> 0;
}

/** The hash of dsl/helpers.ts: each word comes from one other. */
function mixed(word: number): number {
  const state = (Math.imul(word, 747796405) + 2891336453) >>> 0;
  const twisted = Math.imul(((state >>> ((state >>> 28) + 4)) ^ state) >>> 0, 277803737) >>> 0;
  return ((twisted >>> 22) ^ twisted) >>> 0;
}

/** The ids that end a text: those of its options, else the model's own. */
export function stopsOf(options: GenerateOptions, config: { readonly eos: readonly number[] }): ReadonlySet<number> {
  return new Set(options.stop ?? config.eos);
}

/** The ids that end a text, as the choosing kernel reads them. Throws a `UserError` when there are too many. */
export function stopTokens(stop: ReadonlySet<number>): Uint32Array {
  if (stop.size > STOPS) throw new UserError(`at most ${STOPS} tokens can end a text, got ${stop.size}`);
  const ids = new Uint32Array(STOPS).fill(0xffffffff);
  ids.set([...stop].map((id) => (Number.isInteger(id) && id >= 0 && id < 2 ** 32 ? id : 0xffffffff)));
  return ids;
}

/**
 * The signal of options that nobody has looked at yet; `checkOptions` refuses those that have something else in its
 * place.
 */
export function signalOf(options: GenerateOptions | undefined): AbortSignal | undefined {
  return options?.signal instanceof AbortSignal ? options.signal : undefined;
}

/**
 * Throws a `UserError` for options that are not what their types say, which nothing else tells a caller without types.
 */
export function checkOptions(options: unknown): asserts options is GenerateOptions {
  if (typeof options !== "object" || options === null)
    throw new UserError(`expected options, such as { tokens: 100 }, got ${describe(options)}`);
  const given = options as Readonly<Record<string, unknown>>;
  for (const name of ["temperature", "topK", "topP", "seed", "sequence"])
    if (given[name] !== undefined && typeof given[name] !== "number")
      throw new UserError(`${name} must be a number, got ${describe(given[name])}`);
  const { signal, stop, prefill } = given;
  if (signal !== undefined && !(signal instanceof AbortSignal))
    throw new UserError(`signal must be an AbortSignal, got ${describe(signal)}`);
  if (stop !== undefined && !(Array.isArray(stop) && stop.every((id) => Number.isInteger(id))))
    throw new UserError(`stop must be a list of token ids, got ${describe(stop)}`);
  if (prefill !== undefined && prefill !== "recurrent" && prefill !== "oneshot")
    throw new UserError(`prefill must be "recurrent" or "oneshot", got ${describe(prefill)}`);
  checkBusy(given.whenBusy);
  checkTokens(given.tokens as number);
}

/** Throws a `UserError` unless `whenBusy` is one of its words. */
export function checkBusy(whenBusy: unknown): void {
  if (whenBusy !== undefined && whenBusy !== "refuse" && whenBusy !== "wait")
    throw new UserError(`whenBusy must be "refuse" or "wait", got ${JSON.stringify(whenBusy)}`);
}

/** Throws a `UserError` unless `tokens` is a count of tokens. */
export function checkTokens(tokens: number): void {
  if (!(tokens >= 1 && (tokens === Infinity || Number.isInteger(tokens))))
    throw new UserError(`the number of tokens to generate must be a whole number of at least 1, got ${tokens}`);
}
